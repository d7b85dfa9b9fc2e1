"""Asks a SavedModel about files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, runtime_checkable

from components.errors import Failure, UserError
from components.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows of one call: what a convolution makes of 10,000 images at once does not fit into memory.
_BATCH_SIZE: Final = 256


class PredictError(UserError):
    """A model that does not exist or does not fit the task."""


class PredictFailed(Failure):
    """A model whose files cannot be loaded."""


@runtime_checkable
class ReadsInputs(Protocol):
    """What a task's preprocessing has in addition where `millrace predict` can read files for it."""

    def read_inputs(self, path: Path) -> tuple[str, Mapping[str, NDArray[Any]]]:
        """Returns the signature and its inputs by name, batch first, that ask about a file."""


class Answer(NamedTuple):
    """The most probable class of one input, and its probability in [0, 1]."""

    input: str
    prediction: str
    probability: float


class _Request(NamedTuple):
    path: Path
    signature: str
    inputs: Mapping[str, NDArray[Any]]


def predict(task: Task, paths: Sequence[Path], model_dir: str) -> list[Answer]:
    """Returns an answer for every input in the files; nothing is loaded before all of them are checked."""
    reader = task.preprocessing
    if not isinstance(reader, ReadsInputs):
        raise PredictError(f"task {task.name!r} takes no files; ask a model server instead")
    requests = [_Request(path, *reader.read_inputs(path)) for path in paths]
    _check_model(task, model_dir)
    model = _load(model_dir)
    return [answer for request in requests for answer in _ask(model, model_dir, request)]


def published_model(models_dir: str, task: str) -> str:
    """Returns the folder of a task's live version."""
    from components.pusher import registry

    version = registry.live(models_dir, task)
    if version is None:
        raise PredictError(
            f"no published model of {task!r} in {models_dir}; `millrace run {task} --data DIR` makes one"
        )
    return version.path


def _check_model(task: Task, model_dir: str) -> None:
    """Raises PredictError for a local folder that is no SavedModel, or one of another task."""
    if "://" in model_dir:
        return
    folder = Path(model_dir)
    if not (folder / "saved_model.pb").is_file():
        raise PredictError(f"{model_dir}: expected a SavedModel, but there is no saved_model.pb")
    origin = folder / "assets.extra" / "millrace.json"
    if not origin.is_file():
        return
    got = json.loads(origin.read_text(encoding="utf-8")).get("task")
    if got not in (None, task.name):
        raise PredictError(f"{model_dir}: expected a model of task {task.name!r}, got one of {got!r}")


def _load(model_dir: str) -> Any:
    import tensorflow as tf

    try:
        return tf.saved_model.load(model_dir)
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise PredictFailed(f"{model_dir}: cannot be loaded: {str(error).splitlines()[0]}") from error


def _ask(model: Any, model_dir: str, request: _Request) -> Iterator[Answer]:
    import tensorflow as tf

    if request.signature not in model.signatures:
        known = ", ".join(sorted(model.signatures))
        raise PredictError(f"{model_dir}: no signature {request.signature!r}; known: {known}")
    signature = model.signatures[request.signature]
    size = len(next(iter(request.inputs.values())))
    for start in range(0, size, _BATCH_SIZE):
        batch = {key: value[start : start + _BATCH_SIZE] for key, value in request.inputs.items()}
        outputs = signature(**{key: tf.constant(value) for key, value in batch.items()})
        arrays = {key: value.numpy() for key, value in outputs.items()}
        for row, (prediction, probability) in enumerate(_classes(arrays), start):
            name = str(request.path) if size == 1 else f"{request.path}[{row}]"
            yield Answer(name, prediction, probability)


def _classes(outputs: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, float]]:
    """Yields class and probability of each row of a classifier's answer."""
    if not {"classes", "probabilities"} <= outputs.keys():
        raise PredictError(f"expected outputs classes and probabilities, got {', '.join(sorted(outputs))}")
    for label, probabilities in zip(outputs["classes"], outputs["probabilities"], strict=True):
        yield str(label), float(probabilities[label])
