"""One raw example on its way: what each part of a task makes of it, up to the answer, and in which file."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from components import files
from components.errors import UserError
from components.protocols import (
    AskedOnPages,
    BadRecord,
    Given,
    Note,
    Prepared,
    Question,
    ReadsAssets,
    Record,
    TakesFiles,
    Windowing,
)
from components.registry import registry
from components.task import Task
from pipelines.prediction import predict
from pipelines.prediction.predict import Ask
from pipelines.runs.history import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NUMBERS: Final = 16
_CHARACTERS: Final = 400
_ROOT: Final = Path(__file__).parents[2]
# In a transform graph.
_ASSETS: Final = "transform_fn/assets"
_VOCABULARY: Final = "vocabulary.txt"
# Ids of no tokens.
_SEGMENT_IDS: Final = "segment_ids"


class Step(NamedTuple):
    """What one part makes of the example, by name, and the file that does it."""

    title: str
    file: str
    shown: Mapping[str, str]


class Places(NamedTuple):
    """Where the newest run of a task, and its live model, are; None where there is none."""

    data_dir: str | None
    transform_graph: str | None
    model_dir: str | None
    # What the run was set to, by section.
    settings: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


def places(runs: Sequence[Run], models_dir: str, task: str) -> Places:
    """Returns where to look for what a task's example becomes; `runs` are the task's, newest first."""
    live = registry.live(models_dir, task)
    model_dir = live.path if live else None
    for run in runs:
        graph = run.artifact("TransformGraph")
        if graph and run.settings and Path(graph.uri).is_dir():
            return Places(run.data["dir"], graph.uri, model_dir, run.settings)
    return Places(runs[0].data["dir"] if runs else None, None, model_dir)


def followed(task: Task, data_dir: Path, row: int, places: Places) -> list[Step]:
    """Returns the steps of a row of the training data; raises UserError where there is none."""
    # Before anything heavy.
    _record(task, data_dir, row)
    task = as_run(task, places.settings)
    ask = predict.load(task, places.model_dir) if places.model_dir and places.transform_graph else None
    return list(steps(task, data_dir, row, places.transform_graph, ask))


def as_run(task: Task, settings: Mapping[str, Mapping[str, Any]]) -> Task:
    """Returns the task as it was run; as it is declared where that is no longer possible."""
    known = {name for name, _ in task.sections()}
    try:
        return task.override({name: values for name, values in settings.items() if name in known})
    except UserError:
        return task


def steps(
    task: Task, data_dir: Path, row: int, transform_graph: str | None, ask: Ask | None
) -> Iterator[Step]:
    """Yields the steps of a row of the training data, counted from 1; raises UserError where there is none.

    Features and windows need a `transform_graph`, of a run of the task; an answer needs a model.
    """
    record = _record(task, data_dir, row)
    yield Step("Raw row", _file(task.source), {key: _value(value) for key, value in record.items()})
    serialized = _example(record)
    yield Step("tf.Example", "components/examples.py", {"serialized": f"{len(serialized):,} bytes"})
    if transform_graph is not None:
        features = _features(transform_graph, serialized)
        yield Step("Features", _file(task.preprocessing), _shown(features, transform_graph))
        if task.windowing is not None:
            yield Step("Windows", _file(task.windowing), _windows(task.windowing, features, transform_graph))
    with tempfile.TemporaryDirectory() as folder:
        for question in task.fitted_asking.questions(_given(task, record, Path(folder))):
            yield Step("Request", _file(task.asking), _request(question, folder))
            if ask is not None:
                yield from _answered(task, question, ask)


def question(task: Task, data_dir: Path, row: int) -> Question | None:
    """Returns what asks a model about a row of the training data; UserError where there is no such row."""
    record = _record(task, data_dir, row)
    with tempfile.TemporaryDirectory() as folder:
        found = next(iter(task.fitted_asking.questions(_given(task, record, Path(folder)))), None)
        return found._replace(inputs=dict(found.inputs)) if found else None


def _record(task: Task, data_dir: Path, row: int) -> Record:
    split = task.source.input_splits[0]
    every = (record for part in task.source.parts(data_dir, split) for record in part.records())
    good = (record for record in every if not isinstance(record, (BadRecord, Note)))
    found = next(itertools.islice(good, row - 1, None), None)
    if found is None:
        raise UserError(f"row {row}: expected one of the rows of split {split.name!r} in {data_dir}")
    return found


def _example(record: Record) -> bytes:
    from components.examples import to_example

    return bytes(to_example(record).SerializeToString())


def _features(transform_graph: str, serialized: bytes) -> dict[str, Any]:
    import tensorflow as tf
    import tensorflow_text  # noqa: F401
    import tensorflow_transform as tft

    output = tft.TFTransformOutput(transform_graph)
    raw = tf.io.parse_example([serialized], output.raw_feature_spec())
    return dict(output.transform_features_layer()(raw))


def _shown(tensors: Mapping[str, Any], transform_graph: str) -> dict[str, str]:
    """Returns tensors by name, and of ids of tokens the tokens, too."""
    vocabulary = Path(transform_graph, _ASSETS, _VOCABULARY)
    tokens = files.read_text(str(vocabulary)).split("\n") if vocabulary.is_file() else []
    shown = {}
    for key, value in tensors.items():
        array = _dense(value)
        shown[key] = _tensor(array)
        if tokens and key.endswith("_ids") and key != _SEGMENT_IDS:
            shown[f"{key}, read"] = _cut(" ".join(tokens[number] for number in array.ravel()[:_CHARACTERS]))
    return shown


def _windows(windowing: Windowing, features: Mapping[str, Any], transform_graph: str) -> dict[str, str]:
    from components.windows.padding import pad

    if isinstance(windowing, ReadsAssets):
        windowing = windowing.with_assets(str(Path(transform_graph, _ASSETS)))
    padded = pad(features)
    if isinstance(windowing, Prepared):
        padded = windowing.prepared(padded)
    places = windowing.places(padded)
    taken = windowing.take(padded, places[:1])
    first = {f"first window's {key}": text for key, text in _shown(taken, transform_graph).items()}
    return {"windows": f"{len(places):,}", **first}


def _given(task: Task, record: Record, folder: Path) -> Given:
    """Returns what a person would give to ask about the record."""
    asking = task.fitted_asking
    if isinstance(asking, AskedOnPages) and asking.entry.kind == "text":
        texts = [text for name in asking.entry.names if (text := _text(record, name)) is not None]
        fields = {name: text for name in asking.fields if (text := _text(record, name)) is not None}
        if texts:
            return Given(texts=texts, fields=fields)
    return asking.written(record, folder / task.name) if isinstance(asking, TakesFiles) else asking.sample


def _text(record: Record, name: str) -> str | None:
    value = record.get(name)
    return value.decode() if isinstance(value, bytes) else None


def _request(question: Question, folder: str) -> dict[str, str]:
    inputs = {f"inputs.{name}": _tensor(value) for name, value in question.inputs.items()}
    return {"signature_name": question.signature, **inputs}


def _answered(task: Task, question: Question, ask: Ask) -> Iterator[Step]:
    outputs = ask(question.signature, question.inputs)
    shown = {name: _tensor(value) for name, value in outputs.items()}
    yield Step("Outputs", _file(task.model), shown)
    for reply in task.fitted_asking.replies(question, outputs):
        yield Step("Answer", _file(task.asking), {"sentence": reply.sentence})


def _dense(value: Any) -> NDArray[Any]:
    import numpy as np
    import tensorflow as tf

    dense = tf.sparse.to_dense(value) if isinstance(value, tf.SparseTensor) else value
    return np.asarray(dense.to_tensor() if isinstance(dense, tf.RaggedTensor) else dense)


def _tensor(array: NDArray[Any]) -> str:
    """Returns "int64[1, 4]: 101 7 9 102", the first few of many."""
    flat = array.ravel()
    first = " ".join(_value(item) for item in flat[:_NUMBERS].tolist())
    more = " …" if flat.size > _NUMBERS else ""
    kind = "string" if array.dtype == object else str(array.dtype)
    return _cut(f"{kind}{list(array.shape)}: {first}{more}")


def _value(value: Any) -> str:
    if isinstance(value, bytes):
        return _bytes(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _cut(" ".join(_value(item) for item in value[:_NUMBERS]))
    return str(value)


def _bytes(value: bytes) -> str:
    """Returns a text as it is written in JSON; of other bytes, how many there are."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return f"{len(value):,} bytes"
    return _cut(json.dumps(text, ensure_ascii=False)) if text.isprintable() else f"{len(value):,} bytes"


def _cut(text: str) -> str:
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}…"


def _file(part: object) -> str:
    """Returns the file that declares the class of a part: "components/sources/idx.py"."""
    import inspect

    path = Path(inspect.getfile(type(part)))
    return str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else str(path)
