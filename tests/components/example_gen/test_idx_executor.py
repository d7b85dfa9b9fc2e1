import hashlib
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.errors import Failure
from components.example_gen.component import example_gen
from components.example_gen.digests import data_digests
from components.example_gen.executor import Executor
from components.features import IMAGE, LABEL
from components.formats.errors import FormatError
from components.formats.idx import read_idx, write_idx
from components.sources.idx import IdxSource

IN_PROCESS = ["--runner=DirectRunner", "--allow_unsafe_triggers", "--sdk_container_image=none"]
TWO_PROCESSES = [*IN_PROCESS, "--direct_num_workers=2", "--direct_running_mode=multi_processing"]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    directory.mkdir()
    generator = np.random.default_rng(0)
    for prefix, count in (("train", 40), ("t10k", 12)):
        images = generator.integers(256, size=(count, 28, 28)).astype(np.uint8)
        write_idx(directory / f"{prefix}-images-idx3-ubyte", images)
        write_idx(directory / f"{prefix}-labels-idx1-ubyte", (np.arange(count) % 10).astype(np.uint8))
    return directory


def run(
    source: IdxSource,
    data_dir: Path,
    output: Path,
    beam_args: Sequence[str] = IN_PROCESS,
) -> standard_artifacts.Examples:
    """Runs the executor with the properties that the node would give it."""
    node = example_gen(source, str(data_dir))
    examples = standard_artifacts.Examples()
    examples.uri = str(output)
    context = Executor.Context(beam_pipeline_args=list(beam_args), tmp_dir=str(output.parent))
    Executor(context).Do({}, {"examples": [examples]}, dict(node.exec_properties))
    return examples


def records(output: Path, split: str) -> list[bytes]:
    files = sorted(str(file) for file in (output / f"Split-{split}").iterdir())
    return [record.numpy() for record in tf.data.TFRecordDataset(files, "GZIP")]


def digests(output: Path) -> dict[str, str]:
    files = [file for file in output.rglob("*") if file.is_file()]
    return {str(f.relative_to(output)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def parse(record: bytes) -> tuple[bytes, int]:
    features = tf.train.Example.FromString(record).features.feature
    assert set(features) == {IMAGE, LABEL}
    return features[IMAGE].bytes_list.value[0], features[LABEL].int64_list.value[0]


def test_every_image_becomes_an_example_in_the_files_order(data_dir: Path, tmp_path: Path) -> None:
    examples = run(IdxSource(range_size=16), data_dir, tmp_path / "out")
    assert examples.split_names == '["train", "eval"]'
    train = [parse(record) for record in records(tmp_path / "out", "train")]
    expected = np.random.default_rng(0).integers(256, size=(40, 28, 28)).astype(np.uint8)
    assert [image for image, _ in train] == [image.tobytes() for image in expected]
    assert [label for _, label in train] == [i % 10 for i in range(40)]
    assert len(records(tmp_path / "out", "eval")) == 12


def test_shards_are_named_in_order_and_nothing_else_is_left(data_dir: Path, tmp_path: Path) -> None:
    run(IdxSource(range_size=16), data_dir, tmp_path / "out")
    assert sorted(digests(tmp_path / "out")) == [
        "Split-eval/data_tfrecord-00000-of-00001.gz",
        "Split-train/data_tfrecord-00000-of-00003.gz",
        "Split-train/data_tfrecord-00001-of-00003.gz",
        "Split-train/data_tfrecord-00002-of-00003.gz",
        "counts.json",
        "data_digests.json",
    ]
    assert json.loads((tmp_path / "out" / "counts.json").read_text()) == {"eval": 12, "train": 40}
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == {
        "Split-train",
        "Split-eval",
        "counts.json",
        "data_digests.json",
    }


def test_the_artifact_says_what_it_holds(data_dir: Path, tmp_path: Path) -> None:
    examples = run(IdxSource(), data_dir, tmp_path / "out")
    assert examples.get_string_custom_property("payload_format") == "FORMAT_TF_EXAMPLE"
    assert examples.get_string_custom_property("file_format") == "tfrecords_gzip"


def test_the_same_files_give_the_same_bytes(data_dir: Path, tmp_path: Path) -> None:
    source = IdxSource(range_size=16, validation_fraction=0.25)
    run(source, data_dir, tmp_path / "first")
    run(source, data_dir, tmp_path / "second")
    assert digests(tmp_path / "first") == digests(tmp_path / "second")


@pytest.mark.slow
def test_two_worker_processes_give_the_bytes_of_one(data_dir: Path, tmp_path: Path) -> None:
    source = IdxSource(range_size=8, validation_fraction=0.25)
    run(source, data_dir, tmp_path / "one")
    run(source, data_dir, tmp_path / "two", TWO_PROCESSES)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_validation_records_are_carved_from_train_and_lost_nowhere(data_dir: Path, tmp_path: Path) -> None:
    examples = run(IdxSource(validation_fraction=0.25), data_dir, tmp_path / "out")
    assert examples.split_names == '["train", "eval", "test"]'
    run(IdxSource(), data_dir, tmp_path / "whole")
    train, held_out = records(tmp_path / "out", "train"), records(tmp_path / "out", "eval")
    assert sorted(train + held_out) == sorted(records(tmp_path / "whole", "train"))
    assert records(tmp_path / "out", "test") == records(tmp_path / "whole", "eval")
    # Binomial with n = 40 and p = 0.25: 10 ± 2.7.
    assert 3 <= len(held_out) <= 18


def test_a_split_without_records_is_an_error(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="split 'eval': expected at least one record, got none"):
        run(IdxSource(validation_fraction=1e-9), data_dir, tmp_path / "out")
    assert not digests(tmp_path / "out")


def test_bad_files_are_refused_before_anything_is_written(data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FormatError, match="truncated"):
        run(IdxSource(), data_dir, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "beam_args", [IN_PROCESS, pytest.param(TWO_PROCESSES, marks=pytest.mark.slow)], ids=["one", "two"]
)
def test_what_a_worker_finds_is_one_line_and_leaves_no_split(
    data_dir: Path, tmp_path: Path, beam_args: list[str]
) -> None:
    labels = np.zeros(40, np.uint8)
    labels[33] = 10
    write_idx(data_dir / "train-labels-idx1-ubyte", labels)
    with pytest.raises(FormatError) as caught:
        run(IdxSource(range_size=16), data_dir, tmp_path / "out", beam_args)
    path = data_dir / "train-labels-idx1-ubyte"
    assert str(caught.value) == f"{path}: expected labels from 0 to 9, got 10 at index 33"
    assert not digests(tmp_path / "out")


def test_a_gzip_file_becomes_one_shard_since_each_would_be_decompressed_from_the_start(
    data_dir: Path, tmp_path: Path
) -> None:
    run(IdxSource(range_size=16), data_dir, tmp_path / "plain")
    compress(data_dir / "train-images-idx3-ubyte")
    run(IdxSource(range_size=16), data_dir, tmp_path / "gzip")
    assert [file.name for file in (tmp_path / "gzip/Split-train").iterdir()] == [
        "data_tfrecord-00000-of-00001.gz"
    ]
    assert records(tmp_path / "gzip", "train") == records(tmp_path / "plain", "train")


def test_a_gzip_file_that_ends_early_is_found_by_the_worker_that_reads_its_end(
    data_dir: Path, tmp_path: Path
) -> None:
    path = compress(data_dir / "train-images-idx3-ubyte")
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(FormatError, match="ends early"):
        run(IdxSource(range_size=16), data_dir, tmp_path / "out")
    assert not digests(tmp_path / "out")


def compress(path: Path) -> Path:
    """Puts a gzipped file in the place of a plain one."""
    zipped = path.with_suffix(".gz")
    write_idx(zipped, read_idx(path))
    path.unlink()
    return zipped


def test_the_digests_are_those_of_the_raw_files(data_dir: Path, tmp_path: Path) -> None:
    run(IdxSource(), data_dir, tmp_path / "out")
    written = json.loads((tmp_path / "out/data_digests.json").read_text())
    assert written == digests(data_dir) == data_digests(IdxSource(), str(data_dir))


def test_a_full_disk_is_a_failure_in_one_line(data_dir: Path, tmp_path: Path, full_disk: Path) -> None:
    with pytest.raises(Failure, match="cannot be written") as caught:
        run(IdxSource(), data_dir, full_disk / "out")
    assert "\n" not in str(caught.value)
    assert not digests(full_disk)


@pytest.fixture
def full_disk(tmp_path: Path) -> Any:
    """A file system of 16 KiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a small file system")
    yield mount
    # Lazily: TensorFlow keeps the file open that it could not finish.
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


def test_no_prism_binary_is_asked_for(
    data_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="apache_beam")
    run(IdxSource(), data_dir, tmp_path / "out")
    assert not [record for record in caplog.records if "prism" in record.getMessage().lower()]


def test_real_digits_arrive_complete(real_data: Path, tmp_path: Path) -> None:
    run(IdxSource(range_size=4000), real_data / "mnist", tmp_path / "out")
    assert len(records(tmp_path / "out", "train")) == 7000
    assert len(records(tmp_path / "out", "eval")) == 1000
