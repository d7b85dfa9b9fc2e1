"""Prism, Beam's runner in Go, which takes jobs by the protocol of Flink's and Spark's job servers.

It listens on all interfaces, so that it runs in a network namespace without any but the loopback.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from google.protobuf import json_format
from programs import Programs

pytestmark = pytest.mark.takes(6)

ALONE: Final = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
LOOPBACK: Final = ("sh", "-c", 'ip link set lo up && exec "$@"', "loopback")
COMMAND_S: Final = 600
SETTINGS: Final = {
    "mnist": ("model.filters=[4,4]", "model.hidden_dim=16", "train.num_steps=10"),
    "cola": (
        "preprocessing.vocabulary_size=200", "model.encoder.vocabulary_size=200",
        "model.encoder.hidden_dim=16", "model.encoder.num_heads=2", "model.encoder.num_layers=1",
        "model.encoder.intermediate_dim=16", "train.num_steps=2",
    ),
}  # fmt: skip


class Ran(NamedTuple):
    """The pipeline roots of this process and of Prism, and what `evaluate` said of one model by each."""

    task: str
    here: Path
    prism: Path
    measured_here: dict[str, Any]
    measured_by_prism: dict[str, Any]

    def outputs(self, node: str, key: str) -> tuple[Path, Path]:
        """Returns the folders of an output: here, and by Prism."""
        (here,), (prism,) = (
            root.glob(f"artifacts/{self.task}/{node}/{key}/*") for root in (self.here, self.prism)
        )
        return here, prism


def millrace(*arguments: object, before: Sequence[str] = ()) -> str:
    """Runs a command line, and returns what it prints."""
    command = [*before, sys.executable, "-m", "pipelines.cli.main", *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=COMMAND_S, check=True).stdout


@pytest.fixture(scope="module")
def by_prism(programs: Programs) -> tuple[str, ...]:
    """What makes a command one on Prism: Beam's options."""
    return ("--beam", "runner=PrismRunner", "--beam", f"prism_location={programs.path('prism')}")


@pytest.fixture(scope="module", params=list(SETTINGS))
def ran(
    request: pytest.FixtureRequest, by_prism: Sequence[str], tmp_path_factory: pytest.TempPathFactory
) -> Ran:
    task, folder = request.param, tmp_path_factory.mktemp(request.param)
    settings = [f"--set={setting}" for setting in SETTINGS[task]]
    data, here, prism = folder / "data", folder / "here", folder / "prism"
    millrace("data", "make", task, "--out", data)
    run = ("run", task, "--data", data, *settings)
    millrace(*run, "--pipeline-root", here, "--until", "Trainer")
    alone = (*ALONE, *LOOPBACK)
    millrace(*run, "--pipeline-root", prism, "--until", "Transform", *by_prism, before=alone)
    (model,) = here.glob(f"artifacts/{task}/Trainer/model/*/Format-Serving")
    measure = ("evaluate", task, data, "--model", model, "--json")
    measured = millrace(*measure), millrace(*measure, *by_prism, before=alone)
    return Ran(task, here, prism, *map(json.loads, measured))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def examples(folder: Path) -> dict[str, list[str]]:
    """Returns each split's examples, sorted; in what order they and their features lie, runners decide."""
    import tensorflow as tf

    splits = {}
    for split in folder.glob("Split-*"):
        records = tf.data.TFRecordDataset([str(file) for file in split.iterdir()], compression_type="GZIP")
        found = (tf.train.Example.FromString(record) for record in records.as_numpy_iterator())
        splits[split.name] = sorted(str(sorted(example.features.feature.items())) for example in found)
    return splits


def statistics(folder: Path) -> dict[str, Any]:
    """Returns the numbers of each feature of the split train, by where they are."""
    from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

    content = (folder / "Split-train/FeatureStats.pb").read_bytes()
    (dataset,) = DatasetFeatureStatisticsList.FromString(content).datasets
    features = {feature.path.step[0]: json_format.MessageToDict(feature) for feature in dataset.features}
    return dict(leaves({"examples": dataset.num_examples, **features}))


def leaves(document: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yields what a document holds: {"a": [1]} -> ("/a/0", 1)."""
    inner = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in inner:
        if isinstance(value, (dict, list)):
            yield from leaves(value, f"{where}/{key}")
        else:
            yield f"{where}/{key}", value


def test_example_gen_writes_the_same_examples(ran: Ran) -> None:
    here, prism = map(examples, ran.outputs("ExampleGen", "examples"))
    assert here["Split-train"]
    assert here == prism


def test_statistics_schema_and_anomalies_are_the_same(ran: Ran) -> None:
    here, prism = map(statistics, ran.outputs("StatisticsGen", "statistics"))
    assert here["/examples"] > 0
    assert prism == pytest.approx(here)
    for output in (("SchemaGen", "schema"), ("ExampleValidator", "anomalies")):
        made_here, made_by_prism = map(files, ran.outputs(*output))
        assert made_here == made_by_prism != {}


def test_transform_writes_the_same_examples_and_vocabulary(ran: Ran) -> None:
    here, prism = map(examples, ran.outputs("Transform", "transformed_examples"))
    assert here["Split-train"]
    assert here == prism
    graphs = ran.outputs("Transform", "transform_graph")
    assets = [files(graph / "transform_fn/assets") for graph in graphs]
    assert assets[0] == assets[1]
    assert bool(assets[0]) == (ran.task == "cola")


def test_the_evaluator_measures_the_same(ran: Ran) -> None:
    here, prism = (dict(leaves(measured)) for measured in (ran.measured_here, ran.measured_by_prism))
    assert here["/num_examples"] > 0
    assert prism == pytest.approx(here)
