"""How to ask a published model: what to paste into a shell or a program, signature by signature."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from components import files
from components.canary.replay import WARMUP_REQUESTS
from components.errors import UserError
from components.protocols import AskedOnPages, Question
from components.registry.registry import PublishedVersion
from components.task import Task
from pipelines import program
from pipelines.dashboard import saved_models
from pipelines.dashboard.saved_models import Signature
from pipelines.prediction import journey

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.protocols import Arrays

_REST, _GRPC = "localhost:8501", "localhost:8500"
# What is longer is no example that one reads.
_MOST_CHARACTERS: Final = 2000


class Call(NamedTuple):
    """How to ask a model: a title, and what to paste."""

    title: str
    text: str


class Way(NamedTuple):
    """A signature of the live version: how many rows servers ask it first, and how to call it."""

    signature: Signature
    num_warmup_rows: int
    calls: Sequence[Call]


def serve(task: Task, models_dir: str) -> Call:
    """Returns how to serve a task's live version."""
    return Call("Serve it", program.command("serve", task.name, "--models", models_dir))


def calls(task: Task, models_dir: str, data_dir: str | None) -> list[Call]:
    """Returns how to serve a task's model and ask it: the shell, REST by curl, Python, gRPC.

    What is asked is of the raw data, where the task has no sample.
    """
    first = serve(task, models_dir)
    question = _sample(task, data_dir)
    if question is None:
        asked = program.command("predict", task.name, "INPUT", "--server", _GRPC)
        return [first, Call("Ask it by gRPC", asked)]
    return [first, *(_asked(task, question) if _is_short(_body(question)) else [])]


def ways(task: Task, version: PublishedVersion, data_dir: str | None, url: str) -> list[Way]:
    """Returns a version's signatures and how to call them; none of one that is not on this machine.

    What is asked is what `calls` asks, or else what servers are warmed up by; `url` is that of the model's
    page, below which the latter is.
    """
    if files.is_uri(version.path):
        return []
    folder = Path(version.path)
    sample, recorded = _sample(task, data_dir), saved_models.warmup_requests(folder)
    return [_way(task, folder, signature, recorded.get(signature.name), sample, url)
            for signature in saved_models.signatures(folder)]  # fmt: skip


def request_of(version: PublishedVersion, signature: str) -> dict[str, Any] | None:
    """Returns the first row of the request that warms a signature up, as REST has it; None for none."""
    recorded = saved_models.warmup_requests(Path(version.path)).get(signature)
    return _body(_first_row(signature, recorded)) if recorded else None


def _way(
    task: Task, folder: Path, signature: Signature, recorded: Arrays | None, sample: Question | None, url: str
) -> Way:
    num_rows = len(next(iter(recorded.values()))) if recorded else 0
    if sample is not None and sample.signature == signature.name and _is_short(_body(sample)):
        return Way(signature, num_rows, _asked(task, sample))
    if not recorded:
        return Way(signature, 0, [])
    question = _first_row(signature.name, recorded)
    if _is_short(_body(question)):
        return Way(signature, num_rows, _asked(task, question))
    return Way(signature, num_rows, _asked_by_files(task, folder, signature.name, url))


def _first_row(signature: str, recorded: Arrays) -> Question:
    return Question(signature, {name: value[:1] for name, value in recorded.items()}, [""])


def _body(question: Question) -> dict[str, Any]:
    # Brings gRPC.
    from components.serving.rest.json.strings import to_json

    inputs = {name: to_json(value.tolist()) for name, value in question.inputs.items()}
    return {"signature_name": question.signature, "inputs": inputs}


def _is_short(body: Mapping[str, Any]) -> bool:
    return len(json.dumps(body)) <= _MOST_CHARACTERS


def _asked(task: Task, question: Question) -> list[Call]:
    body = _body(question)
    return [Call("REST, by curl", _curl(task, body)), Call("Python, by REST", _python(task, body)),
            Call("Python, by gRPC", _grpc(task, question))]  # fmt: skip


def _asked_by_files(task: Task, folder: Path, signature: str, url: str) -> list[Call]:
    """Returns how to ask what is too long to be pasted: while this page is served, or of the model's file."""
    asked = f"{url}/requests/{signature}"
    curl = f"curl -s {asked} | curl -d @- {_url(task)}"
    return [Call("REST, by curl", curl), Call("Python, by REST", _python(task, asked)),
            Call("Python, by gRPC", _recorded_grpc(folder, signature))]  # fmt: skip


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


def _url(task: Task) -> str:
    return f"http://{_REST}/v1/models/{task.name}:predict"


def _curl(task: Task, body: Mapping[str, Any]) -> str:
    return f"curl -d {shlex.quote(json.dumps(body, ensure_ascii=False))} {_url(task)}"


def _python(task: Task, body: Mapping[str, Any] | str) -> str:
    """Returns what sends a body, or that behind a URL."""
    got = f"json.load(urlopen({body!r}))" if isinstance(body, str) else repr(body)
    return (
        "import json\nfrom urllib.request import urlopen\n\n"
        f"body = {got}\n"
        f'url = "{_url(task)}"\n'
        'print(json.load(urlopen(url, json.dumps(body).encode()))["outputs"])\n'
    )


def _grpc(task: Task, question: Question) -> str:
    fills = "".join(
        f"request.inputs[{name!r}].CopyFrom(tf.make_tensor_proto({value.tolist()!r}{_dtype(value)}))\n"
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


def _recorded_grpc(folder: Path, signature: str) -> str:
    return (
        "import grpc\nimport tensorflow as tf\n"
        "from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog\n"
        "from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub\n\n"
        f"records = tf.data.TFRecordDataset({str(folder / WARMUP_REQUESTS)!r})\n"
        "logs = map(PredictionLog.FromString, records.as_numpy_iterator())\n"
        "requests = [log.predict_log.request for log in logs]\n"
        "by_signature = {request.model_spec.signature_name: request for request in requests}\n"
        f'with grpc.insecure_channel("{_GRPC}") as channel:\n'
        f"    print(PredictionServiceStub(channel).Predict(by_signature[{signature!r}]))\n"
    )


def _dtype(value: NDArray[Any]) -> str:
    return "" if value.dtype == object else f", {str(value.dtype)!r}"
