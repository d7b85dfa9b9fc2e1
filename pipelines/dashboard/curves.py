"""Learning curves, of the events that the Trainer writes for TensorBoard.

Read without TensorFlow: a file of records, each an Event (tensorboard/compat/proto/event.proto).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tensorboard.compat.proto.event_pb2 import Event

from components.charts import Line
from components.formats.tfrecord import whole_records
from pipelines.dag.nodes import TRAINER
from pipelines.runs.history import NodeRun, Run

_MODEL_RUN: Final = "ModelRun"
_EVENTS: Final = "events.out.tfevents.*"

# By what is measured, and then by where: {"loss": {"train": [(100, 0.5)]}}.
Curves = Mapping[str, list[Line]]


def of_run(run: Run, root: str) -> Curves:
    """Returns the curves of a run's Trainer, also while it trains; empty before."""
    trainer = run.node(TRAINER)
    folder = _folder(run, trainer, Path(root).resolve()) if trainer else None
    return read(folder) if folder else {}


def read(folder: Path) -> Curves:
    """Returns the curves in a folder of TensorBoard's, by the name of what is measured."""
    curves: dict[str, list[Line]] = {}
    for place in sorted({path.parent for path in folder.rglob(_EVENTS)}):
        for name, points in _scalars(place).items():
            line = Line(str(place.relative_to(folder)), sorted(points.items()))
            curves.setdefault(name, []).append(line)
    return curves


def _folder(run: Run, trainer: NodeRun, root: Path) -> Path | None:
    """Returns where the Trainer writes its events; None for what lies elsewhere."""
    known = next((a for a in trainer.artifacts if a.type == _MODEL_RUN), None)
    if known:
        folder = Path(known.uri)
    elif trainer.state == "running":
        # TFX tells of outputs when they are whole.
        started = trainer.started.timestamp()
        folders = Path(root, "artifacts", run.task, TRAINER, "model_run").glob("*")
        newest = max(((path.stat().st_mtime, path) for path in folders if path.is_dir()), default=None)
        if newest is None or newest[0] < started:
            return None
        folder = newest[1]
    else:
        return None
    resolved = folder.resolve()
    return resolved if resolved.is_dir() and resolved.is_relative_to(root) else None


def _scalars(place: Path) -> dict[str, dict[int, float]]:
    """Returns the values by step, of what was written twice the last, since a training may have gone on."""
    found: dict[str, dict[int, float]] = {}
    for path in sorted(place.glob(_EVENTS)):
        for record in whole_records(path):
            event = Event.FromString(record)
            for value in event.summary.value:
                number = _number(value)
                if number is not None:
                    found.setdefault(value.tag, {})[event.step] = number
    return found


def _number(value: Any) -> float | None:
    """Returns the scalar of a summary's value; None for other summaries."""
    if value.WhichOneof("value") == "simple_value":
        return float(value.simple_value)
    tensor = value.tensor
    if value.WhichOneof("value") != "tensor" or len(tensor.tensor_shape.dim):
        return None
    if tensor.float_val:
        return float(tensor.float_val[0])
    return struct.unpack("<f", tensor.tensor_content)[0] if len(tensor.tensor_content) == 4 else None
