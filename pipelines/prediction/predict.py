"""Asks a model about files or texts: what is asked, of whom, and the answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, runtime_checkable

from components import files
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


@runtime_checkable
class ReadsTexts(Protocol):
    """What a task's preprocessing has in addition where `millrace predict` can ask about texts."""

    def read_texts(
        self, texts: Sequence[str], pairs: Sequence[tuple[str, str]]
    ) -> tuple[str, Mapping[str, NDArray[Any]]]:
        """Returns the signature and its inputs by name, batch first, that ask about texts or pairs."""


@runtime_checkable
class ReadsRows(Protocol):
    """What a task's source has in addition where its raw files hold texts."""

    def read_unlabelled(self, path: Path) -> Iterator[tuple[str, str | None]]:
        """Yields the text, or the two texts, of each row of a file without labels."""


class Answer(NamedTuple):
    """The most probable class of one input, and its probability in [0, 1]."""

    input: str
    prediction: str
    probability: float


# (signature, inputs) -> outputs, by name; the batch is the first axis of each.
Ask = Callable[[str, "Mapping[str, NDArray[Any]]"], "dict[str, NDArray[Any]]"]


class Question(NamedTuple):
    """One call of a model, and what a reader calls each of its rows."""

    signature: str
    inputs: Mapping[str, NDArray[Any]]
    names: Sequence[str]


def read_questions(task: Task, arguments: Sequence[str], rows_file: Path | None) -> list[Question]:
    """Returns what to ask about files or texts, and about the rows of a file; raises UserError."""
    reader = task.preprocessing
    if isinstance(reader, ReadsTexts):
        texts, pairs = _texts(task, arguments, rows_file)
        names = [*texts, *(" | ".join(pair) for pair in pairs)]
        return [Question(*reader.read_texts(texts, pairs), names)]
    if rows_file is not None:
        raise PredictError(f"--pairs: task {task.name!r} takes no texts")
    if not isinstance(reader, ReadsInputs):
        raise PredictError(f"task {task.name!r} takes no files; ask a model server instead")
    return [_about_file(argument, *reader.read_inputs(Path(argument))) for argument in arguments]


def predict(questions: Sequence[Question], ask: Ask) -> list[Answer]:
    """Returns an answer for every row of every question."""
    return [answer for question in questions for answer in _answers(question, ask)]


def load(task: Task, model_dir: str) -> Ask:
    """Returns what asks a SavedModel of the task."""
    _check_model(task, model_dir)
    model = _load(model_dir)

    def ask(signature: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        import tensorflow as tf

        if signature not in model.signatures:
            known = ", ".join(sorted(model.signatures))
            raise PredictError(f"{model_dir}: no signature {signature!r}; known: {known}")
        outputs = model.signatures[signature](**{key: tf.constant(value) for key, value in inputs.items()})
        return {key: value.numpy() for key, value in outputs.items()}

    return ask


def _texts(
    task: Task, arguments: Sequence[str], rows_file: Path | None
) -> tuple[list[str], list[tuple[str, str]]]:
    """Returns single texts, and pairs of them."""
    texts, pairs = list(arguments), []
    source = task.source
    if rows_file is not None:
        if not isinstance(source, ReadsRows):
            raise PredictError(f"--pairs: the source of task {task.name!r} reads no texts from a file")
        for text_a, text_b in source.read_unlabelled(rows_file):
            if text_b is None:
                texts.append(text_a)
            else:
                pairs.append((text_a, text_b))
    return texts, pairs


def _about_file(argument: str, signature: str, inputs: Mapping[str, NDArray[Any]]) -> Question:
    size = len(next(iter(inputs.values())))
    return Question(signature, inputs, [argument] if size == 1 else [f"{argument}[{i}]" for i in range(size)])


def published_model(models_dir: str, task: str) -> str:
    """Returns the folder of a task's live version."""
    from components.registry import registry

    version = registry.live(models_dir, task)
    if version is None:
        raise PredictError(
            f"no published model of {task!r} in {models_dir}; `millrace run {task} --data DIR` makes one"
        )
    return version.path


def _check_model(task: Task, model_dir: str) -> None:
    """Raises PredictError for a local folder that is no SavedModel, or one of another task."""
    if files.is_uri(model_dir):
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

    # Registers the operations that text models use.
    import tensorflow_text  # noqa: F401

    try:
        return tf.saved_model.load(model_dir)
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise PredictFailed(f"{model_dir}: cannot be loaded: {str(error).splitlines()[0]}") from error


def _answers(question: Question, ask: Ask) -> Iterator[Answer]:
    for start in range(0, len(question.names), _BATCH_SIZE):
        batch = {key: value[start : start + _BATCH_SIZE] for key, value in question.inputs.items()}
        classes = _classes(ask(question.signature, batch))
        names = question.names[start : start + _BATCH_SIZE]
        for name, (prediction, probability) in zip(names, classes, strict=True):
            yield Answer(name, prediction, probability)


def _classes(outputs: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, float]]:
    """Yields the class, by its name where it has one, and its probability, for each row of an answer."""
    if not {"classes", "probabilities"} <= outputs.keys():
        raise PredictError(f"expected outputs classes and probabilities, got {', '.join(sorted(outputs))}")
    names = outputs.get("labels", outputs["classes"])
    for row, (label, probabilities) in enumerate(
        zip(outputs["classes"], outputs["probabilities"], strict=True)
    ):
        name = names[row]
        yield name.decode() if isinstance(name, bytes) else str(name), float(probabilities[label])
