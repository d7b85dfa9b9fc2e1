"""What was counted of a run's data, what does not fit, and how far they are from the live version's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError
from tensorflow_metadata.proto.v0.anomalies_pb2 import Anomalies

from components.errors import Failure, UserError
from components.export.origin import STATISTICS_FILE
from components.registry import registry
from components.statistics import NO_NAMES, Counted, Distance, Names, distances, read
from components.task import Drift
from pipelines.dashboard.paths import inside
from pipelines.runs.history import Run

_STATISTICS: Final = ("ExampleStatistics", "FeatureStats.pb")
_ANOMALIES: Final = ("ExampleAnomalies", "SchemaDiff.pb")
_SPLIT: Final = "Split-"
_TRAIN: Final = "train"


class Found(NamedTuple):
    """What one split has of a feature."""

    split: str
    counted: Counted


class Feature(NamedTuple):
    """A raw feature in each split."""

    name: str
    splits: Sequence[Found]


class Moved(NamedTuple):
    """How far a feature is from what the live version was trained on, and how far that is fine."""

    distance: Distance
    limit: float


class Beside(NamedTuple):
    """A run's training data beside the live version's: what there is to say, or each feature."""

    note: str
    moved: Sequence[Moved] = ()


def features(run: Run, root: str, names: Names = NO_NAMES) -> list[Feature]:
    """Returns the raw features of a run's data; none before StatisticsGen. `names`: of their categories."""
    by_name: dict[str, list[Found]] = {}
    for split, content in _files(run, root, *_STATISTICS):
        for counted in read(content, names):
            by_name.setdefault(counted.feature, []).append(Found(split, counted))
    return [Feature(name, splits) for name, splits in sorted(by_name.items())]


def anomalies(run: Run, root: str) -> list[str]:
    """Returns what does not fit the schema: "eval: label: Out-of-range values: …"."""
    return [
        f"{split}: {name}: {info.short_description}: {info.description}"
        for split, content in _files(run, root, *_ANOMALIES)
        for name, info in sorted(_parsed(Anomalies, content).anomaly_info.items())
    ]


def beside_live(run: Run, root: str, models_dir: str, drift: Drift, names: Names = NO_NAMES) -> Beside | None:
    """Returns how the training data of a run differ from the live version's; None before StatisticsGen."""
    now = dict(_files(run, root, *_STATISTICS)).get(_TRAIN)
    if now is None:
        return None
    try:
        live = registry.live(models_dir, run.task)
        before = registry.read_file(live, STATISTICS_FILE) if live else None
    except (UserError, Failure) as error:
        return Beside(f"The live version cannot be read: {error}")
    if live is None:
        return Beside(f"No version of {run.task} is live, to hold these data against.")
    found = distances(before or b"", now, names)
    if not found:
        return Beside(f"Version {live.version}, which is live, does not say what its data were like.")
    note = f"Training data beside those of version {live.version}, which is live."
    return Beside(note, [Moved(each, drift.limit(each.feature)) for each in found])


def _files(run: Run, root: str, type_name: str, name: str) -> Iterator[tuple[str, bytes]]:
    """Yields the splits of an artifact and their files, the training data first."""
    artifact = run.artifact(type_name)
    folders = sorted(Path(artifact.uri).glob(f"{_SPLIT}*"), reverse=True) if artifact else ()
    for folder in folders:
        if path := inside(folder / name, root):
            yield folder.name.removeprefix(_SPLIT), path.read_bytes()


def _parsed(kind: Any, content: bytes) -> Any:
    try:
        return kind.FromString(content)
    except DecodeError:
        return kind()
