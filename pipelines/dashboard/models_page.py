"""Published models: versions, where each comes from, and how to call them."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from components.errors import UserError
from components.protocols import AskedOnPages, Question
from components.registry import registry
from components.registry.registry import PublishedVersion
from components.task import Task
from pipelines import program
from pipelines.dashboard import describe
from pipelines.prediction import journey
from pipelines.runs.history import Run
from pipelines.tasks import all_tasks

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REST, _GRPC = "localhost:8501", "localhost:8500"
# What is longer is no example that one reads.
_MOST_CHARACTERS: Final = 2000


class Summary(NamedTuple):
    """A task with its live version; None where none is published."""

    task: Task
    live: PublishedVersion | None
    num_versions: int


class VersionRow(NamedTuple):
    """A version with the run that made it; None where that is not under this pipeline root."""

    version: PublishedVersion
    is_live: bool
    created: datetime
    metrics: Mapping[str, float]
    run: Run | None


class Call(NamedTuple):
    """How to ask a model: a title, and what to paste."""

    title: str
    text: str


class Model(NamedTuple):
    """The page of one task's versions, newest first."""

    task: Task
    versions: Sequence[VersionRow]
    metric_names: Sequence[str]
    calls: Sequence[Call]


def summaries(models_dir: str) -> list[Summary]:
    """Returns all tasks, those with a published version first."""
    found = [_summary(models_dir, task) for task in all_tasks().tasks.values()]
    return sorted(found, key=lambda each: (each.live is None, each.task.name))


def model(models_dir: str, task: Task, runs: Sequence[Run]) -> Model:
    """Returns the page of a task; `runs` are those under the pipeline root."""
    by_id = {run.run_id: run for run in runs}
    versions = registry.versions(models_dir, task.name)[::-1]
    rows = [
        VersionRow(
            version,
            version is versions[0],
            datetime.fromisoformat(version.created),
            describe.numbers(version.metrics),
            by_id.get(version.source.get("run_id", "")),
        )
        for version in versions
    ]
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    return Model(task, rows, names, calls(task, models_dir, runs[0].data["dir"] if runs else None))


def _summary(models_dir: str, task: Task) -> Summary:
    versions = registry.versions(models_dir, task.name)
    return Summary(task, versions[-1] if versions else None, len(versions))


def calls(task: Task, models_dir: str, data_dir: str | None) -> list[Call]:
    """Returns how to serve a task's model and ask it: the shell, REST by curl, Python, gRPC.

    What is asked is of the raw data, where the task has no sample.
    """
    serve = Call("Serve it", program.command("serve", task.name, "--models", models_dir))
    question = _sample(task, data_dir)
    if question is None:
        asked = program.command("predict", task.name, "INPUT", "--server", _GRPC)
        return [serve, Call("Ask it by gRPC", asked)]
    inputs = {name: _to_json(value) for name, value in question.inputs.items()}
    body = {"signature_name": question.signature, "inputs": inputs}
    if len(json.dumps(body)) > _MOST_CHARACTERS:
        return [serve]
    return [serve, Call("REST, by curl", _curl(task, body)), Call("Python, by REST", _python(task, body)),
            Call("Python, by gRPC", _grpc(task, question))]  # fmt: skip


def _sample(task: Task, data_dir: str | None) -> Question | None:
    """Returns a question that is short; None where there is none, as of a task that takes large files."""
    asking = task.fitted_asking
    try:
        if asking.sample.inputs:
            return next(iter(asking.questions(asking.sample)), None)
        is_small = isinstance(asking, AskedOnPages) and asking.entry.kind != "file"
        return journey.question(task, Path(data_dir), 1) if is_small and data_dir else None
    except (UserError, OSError):
        return None


def _curl(task: Task, body: Mapping[str, Any]) -> str:
    url = f"http://{_REST}/v1/models/{task.name}:predict"
    return f"curl -d {shlex.quote(json.dumps(body, ensure_ascii=False))} {url}"


def _python(task: Task, body: Mapping[str, Any]) -> str:
    return (
        "import json\nfrom urllib.request import urlopen\n\n"
        f"body = {body!r}\n"
        f'url = "http://{_REST}/v1/models/{task.name}:predict"\n'
        'print(json.load(urlopen(url, json.dumps(body).encode()))["outputs"])\n'
    )


def _grpc(task: Task, question: Question) -> str:
    fills = "".join(
        f"request.inputs[{name!r}].CopyFrom(tf.make_tensor_proto({value.tolist()!r}))\n"
        for name, value in question.inputs.items()
    )
    return (
        "import grpc\nimport tensorflow as tf\n"
        "from tensorflow_serving.apis.predict_pb2 import PredictRequest\n"
        "from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub\n\n"
        "request = PredictRequest()\n"
        f"request.model_spec.name = {task.name!r}\n"
        f"request.model_spec.signature_name = {question.signature!r}\n"
        f"{fills}"
        f'with grpc.insecure_channel("{_GRPC}") as channel:\n'
        "    print(PredictionServiceStub(channel).Predict(request))\n"
    )


def _to_json(value: NDArray[Any]) -> Any:
    """Returns an array as TensorFlow Serving's JSON has it: texts as they are, other bytes as {"b64": …}."""
    return [_text(item) for item in value] if value.dtype == object else value.tolist()


def _text(item: bytes) -> Any:
    try:
        return item.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(item).decode()}
