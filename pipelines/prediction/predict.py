"""Asks a model about files or texts: what is asked, of whom, and the answers."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components import files
from components.errors import Failure, UserError
from components.export.results import read_results
from components.patterns import check_literal
from components.progress import BOARD
from components.protocols import Draws, Given, Question, Reply, WritesFiles
from components.task import Task
from pipelines import program
from pipelines.runs.launch import check_writable

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows of one call: what a convolution makes of 10,000 images at once does not fit into memory.
_BATCH_SIZE: Final = 256


class PredictError(UserError):
    """A model that does not exist or does not fit the task."""


class PredictFailed(Failure):
    """A model whose files cannot be loaded."""


# (signature, inputs) -> outputs, by name; the batch is the first axis of each.
Ask = Callable[[str, "Mapping[str, NDArray[Any]]"], "dict[str, NDArray[Any]]"]


def questions(task: Task, given: Given) -> list[Question]:
    """Returns what to ask a task's model; raises UserError."""
    return list(task.fitted_asking.questions(given))


def predict(task: Task, questions: Sequence[Question], ask: Ask) -> list[Reply]:
    """Returns a reply for every row of every question."""
    return list(replies(task, questions, ask))


def replies(task: Task, questions: Iterable[Question], ask: Ask) -> Iterator[Reply]:
    """Yields them as they come, some rows a call."""
    return (reply for question in questions for reply in _replies(task, question, ask))


def check_written(task: Task, out: Path) -> WritesFiles:
    """Returns what writes a task's replies for other tools; raises PredictError where there is no such."""
    asking = task.fitted_asking
    if not isinstance(asking, WritesFiles):
        raise PredictError(f"--out {out}: expected a task whose answers other tools read, got {task.name}")
    check_writable(str(out.parent if asking.is_file(out) else out))
    return asking


def check_drawn(task: Task, picture: Path) -> Draws:
    """Returns what draws a task's replies; raises PredictError where there is no such, or for no .png."""
    asking = task.fitted_asking
    if not isinstance(asking, Draws):
        raise PredictError(f"--picture {picture}: expected a task whose answers are drawn, got {task.name}")
    if picture.suffix.lower() != ".png":
        raise PredictError(f"--picture {picture}: expected a name that ends in .png")
    check_writable(str(picture.parent))
    return asking


@contextlib.contextmanager
def recording(
    task: Task, questions: Iterable[Question], out: Path | None, picture: Path | None
) -> Iterator[Callable[[Reply], None]]:
    """Enters with what adds a reply to the files and the picture, which appear once all are there."""
    names = [name for question in questions for name in question.names]
    with contextlib.ExitStack() as stack:
        adders = []
        if out is not None:
            adders.append(stack.enter_context(check_written(task, out).writing(out, names)))
        if picture is not None:
            adders.append(stack.enter_context(check_drawn(task, picture).drawing(picture)))

        def record(reply: Reply) -> None:
            for add in adders:
                add(reply)

        yield record


def load(task: Task, model_dir: str) -> Ask:
    """Returns what asks a SavedModel of the task."""
    check_model(task, model_dir)
    model = _load(model_dir)

    def ask(signature: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        import tensorflow as tf

        if signature not in model.signatures:
            known = ", ".join(sorted(model.signatures))
            raise PredictError(f"{model_dir}: no signature {signature!r}; known: {known}")
        with _watching(model):
            tensors = {key: tf.constant(value) for key, value in inputs.items()}
            try:
                outputs = _answering(model, signature)(tensors)
            except tf.errors.InvalidArgumentError as error:
                raise PredictError(f"signature {signature!r}: {_refused(error.message)}") from error
            return {key: value.numpy() for key, value in outputs.items()}

    return ask


def _refused(message: str) -> str:
    """Returns what a graph's assertion says, without where it is in the graph."""
    found = re.search(r"assertion failed: \[(.*?)\]\n", message)
    return found[1] if found else " ".join(message.split())


def _answering(model: Any, signature: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Returns what answers as a signature does, of inputs by name; it tells of windows where it can."""
    watched = getattr(model, "watched", {}).get(signature)
    return watched or (lambda inputs: model.signatures[signature](**inputs))


@contextlib.contextmanager
def _watching(model: Any) -> Iterator[None]:
    """Lets the BOARD know of the windows of an answer; models of tasks without windows have none."""
    if hasattr(model, "windows"):
        model.windows.assign([0, 0])
        BOARD.windows = lambda: tuple(model.windows.numpy().tolist())
    try:
        yield
    finally:
        BOARD.windows = None


def published_model(models_dir: str, task: str) -> str:
    """Returns the folder of a task's live version."""
    from components.registry import registry

    check_literal(models_dir)
    version = registry.live(models_dir, task)
    if version is None:
        raise PredictError(
            f"no published model of {task!r} in {models_dir}; "
            f"`{program.command('run', task, '--data', 'DIR')}` makes one"
        )
    return version.path


def check_model(task: Task, model_dir: str) -> None:
    """Raises PredictError for a local folder that is no SavedModel, or one of another task."""
    check_literal(model_dir)
    if files.is_uri(model_dir):
        return
    if not Path(model_dir, "saved_model.pb").is_file():
        raise PredictError(f"{model_dir}: expected a SavedModel, but there is no saved_model.pb")
    got = read_results(model_dir).get("task")
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


def _replies(task: Task, question: Question, ask: Ask) -> Iterator[Reply]:
    size = task.windowing.examples_per_call if task.windowing else _BATCH_SIZE
    for start in range(0, len(question.names), size):
        asked = question.rows(start, start + size)
        yield from task.fitted_asking.replies(asked, ask(asked.signature, asked.inputs))
