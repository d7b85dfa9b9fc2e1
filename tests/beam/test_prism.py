"""Prism, Beam's runner in Go, which takes jobs by the protocol of Flink's and Spark's job servers.

MILLRACE_PRISM names its binary: `go install github.com/apache/beam/sdks/v2/go/cmd/prism@v2.74.0`. It listens
on all interfaces, so that it runs in a network namespace without any but the loopback.
"""

import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

PRISM = os.environ.get("MILLRACE_PRISM", "")
ALONE = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
LOOPBACK = ("sh", "-c", 'ip link set lo up && exec "$@"', "loopback")


def _why_not() -> str:
    """Returns why Prism cannot be run here, or nothing."""
    if not os.path.isfile(PRISM):
        return f"MILLRACE_PRISM: expected Prism's binary, got {PRISM or 'nothing'}"
    if os.geteuid() or not all(map(shutil.which, ("ip", "unshare"))):
        return "a network namespace needs root, iproute2 and util-linux"
    return ""


pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(_why_not()), reason=_why_not())]


class Ran(NamedTuple):
    """The pipeline roots of runs on the same data, in this process and on Prism."""

    here: Path
    prism: Path


def millrace(*arguments: object, before: Sequence[str] = ()) -> str:
    """Runs a command line, and returns what it prints."""
    done = subprocess.run(
        [*before, sys.executable, "-m", "pipelines.cli.main", *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
        check=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("mnist")
    data, here, prism = folder / "data", folder / "here", folder / "prism"
    millrace("data", "make", "mnist", "--out", data)
    run = ("run", "mnist", "--data", data, "--until", "Transform", "--pipeline-root")
    millrace(*run, here)
    options = ("--beam", "runner=PrismRunner", "--beam", f"prism_location={PRISM}")
    millrace(*run, prism, *options, before=(*ALONE, *LOOPBACK))
    return Ran(here, prism)


def outputs(root: Path, node: str, key: str) -> Path:
    (folder,) = root.glob(f"artifacts/mnist/{node}/{key}/*")
    return folder


def unpacked(folder: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(folder.glob("Split-*/*.gz")):
        yield f"{file.parent.name}/{file.name}", gzip.decompress(file.read_bytes())


def examples(split: Path) -> list[str]:
    """Returns the examples of a split, sorted; in what order they and their features lie, runners decide."""
    import tensorflow as tf

    records = tf.data.TFRecordDataset([str(file) for file in split.iterdir()], compression_type="GZIP")
    found = (tf.train.Example.FromString(record) for record in records.as_numpy_iterator())
    return sorted(str(sorted(example.features.feature.items())) for example in found)


def test_example_gen_writes_the_same_shards(ran: Ran) -> None:
    here, prism = (dict(unpacked(outputs(root, "ExampleGen", "examples"))) for root in (ran.here, ran.prism))
    assert here
    assert here == prism


def test_statistics_gen_counts_the_same(ran: Ran) -> None:
    from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

    counted = []
    for root in (ran.here, ran.prism):
        folder = outputs(root, "StatisticsGen", "statistics")
        content = (folder / "Split-train/FeatureStats.pb").read_bytes()
        (dataset,) = DatasetFeatureStatisticsList.FromString(content).datasets
        means = {feature.path.step[0]: feature.num_stats.mean for feature in dataset.features}
        counted.append({"examples": dataset.num_examples, **means})
    here, prism = counted
    assert here["examples"] > 0
    assert prism == pytest.approx(here)


@pytest.mark.parametrize("split", ["Split-train", "Split-eval"])
def test_transform_writes_the_same_examples(ran: Ran, split: str) -> None:
    here, prism = (outputs(root, "Transform", "transformed_examples") for root in (ran.here, ran.prism))
    assert examples(here / split) == examples(prism / split) != []
