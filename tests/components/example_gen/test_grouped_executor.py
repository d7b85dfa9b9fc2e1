"""A source with groups, bad records, counts by value and features of any number of values, all the way."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tensorflow as tf
from ml_metadata.proto import metadata_store_pb2
from tfx import v1 as tfx
from tfx.orchestration import metadata
from tfx.types import standard_artifacts

from components.config import Config
from components.example_gen.component import example_gen
from components.example_gen.executor import Executor
from components.example_gen.schema import TaskSchemaGen
from components.example_gen.validation import ExampleValidator
from components.features import Feature
from components.formats.errors import FormatError
from components.protocols import BadRecord, Found, Record, Source, Split

BEAM_ARGS = ["--runner=DirectRunner", "--allow_unsafe_triggers", "--sdk_container_image=none"]

_logger = logging.getLogger(__name__)


class Visits(NamedTuple):
    """Some lines of a file: a patient, a site, then any number of pulses."""

    path: Path
    lines: slice

    @property
    def file(self) -> str:
        return self.path.name

    def records(self) -> Iterator[Record | BadRecord]:
        for line in self.path.read_text().splitlines()[self.lines]:
            patient, *rest = line.split()
            if not rest:
                yield BadRecord(f"{self.file}: expected a site, got none: {line!r}")
                continue
            site, *pulses = rest
            # A half is what float32 holds.
            yield {
                "patient": patient.encode(),
                "site": site.encode(),
                "pulses": [int(pulse) for pulse in pulses],
                "halves": [int(pulse) / 2 for pulse in pulses],
            }


class VisitSource(Config):
    """Visits of patients; ten lines a part."""

    validation_fraction: float = 0.0
    max_bad: int = 0
    sites: tuple[str, ...] = ()
    group_key: str | None = "patient"

    @property
    def features(self) -> Mapping[str, Feature]:
        return {
            "patient": Feature(dtype="bytes", served=False),
            "site": Feature(dtype="bytes", served=False),
            "pulses": Feature(dtype="int64", shape=None, minimum=20, maximum=250),
            "halves": Feature(dtype="float32", shape=None),
        }

    @property
    def input_splits(self) -> tuple[Split, ...]:
        return (Split("train", "train.txt", self.validation_fraction), Split("test", "test.txt"))

    @property
    def evaluation_split(self) -> str:
        return "test"

    @property
    def counted_by(self) -> str | None:
        return "site" if self.sites else None

    def check(self, directory: Path) -> None:
        for split in self.input_splits:
            if not (directory / split.pattern).is_file():
                raise FormatError(f"{directory}: expected {split.pattern}, got none")

    def parts(self, directory: Path, split: Split) -> list[Visits]:
        path = directory / split.pattern
        count = len(path.read_text().splitlines())
        return [Visits(path, slice(start, start + 10)) for start in range(0, count, 10)]

    def check_found(self, file: str, found: Found) -> None:
        if found.num_bad > self.max_bad:
            raise FormatError(f"{found.first_bad} (the first of {found.num_bad})")
        for site in self.sites:
            if not found.good[site.encode()]:
                raise FormatError(f"{file}: expected visits at {site}, got none")
        _logger.warning("%s: %s, %d bad", file, dict(found.good), found.num_bad)

    def sample(self, count: int, seed: int) -> list[Record]:
        return [{"pulses": [60], "halves": [30.0]}] * count


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """60 visits of 20 patients, three each, which are far apart, with 0, 1 and 3 pulses."""
    directory = tmp_path / "data"
    directory.mkdir()
    visits = [f"p{i % 20} {'ab'[i % 2]} {['', '60', '61 62 63'][i % 3]}" for i in range(60)]
    (directory / "train.txt").write_text("\n".join(visits))
    (directory / "test.txt").write_text("q0 a\nq1 a 70\nq2 b 71 72 73\n")
    return directory


def run(source: VisitSource, data_dir: Path, output: Path) -> None:
    examples = standard_artifacts.Examples()
    examples.uri = str(output)
    context = Executor.Context(beam_pipeline_args=BEAM_ARGS, tmp_dir=str(output.parent))
    properties = dict(example_gen(source, str(data_dir)).exec_properties)
    Executor(context).Do({}, {"examples": [examples]}, properties)


def patients(output: Path, split: str) -> list[bytes]:
    files = sorted(str(file) for file in (output / f"Split-{split}").iterdir())
    examples = [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(files, "GZIP")]
    return [example.features.feature["patient"].bytes_list.value[0] for example in examples]


def test_the_source_is_one() -> None:
    assert isinstance(VisitSource(), Source)


def test_a_group_stays_on_one_side_of_a_split(data_dir: Path, tmp_path: Path) -> None:
    run(VisitSource(validation_fraction=0.4), data_dir, tmp_path / "out")
    train, held_out = (Counter(patients(tmp_path / "out", split)) for split in ("train", "eval"))
    assert set(train) | set(held_out) == {f"p{i}".encode() for i in range(20)}
    assert not set(train) & set(held_out)
    assert {*train.values(), *held_out.values()} == {3}
    # Binomial with n = 20 and p = 0.4: 8 ± 2.2.
    assert 2 <= len(held_out) <= 14
    counts = json.loads((tmp_path / "out/counts.json").read_text())
    assert counts == {"train": train.total(), "eval": held_out.total(), "test": 3}


def test_without_a_key_records_of_a_group_part(data_dir: Path, tmp_path: Path) -> None:
    run(VisitSource(validation_fraction=0.4, group_key=None), data_dir, tmp_path / "out")
    assert set(patients(tmp_path / "out", "train")) & set(patients(tmp_path / "out", "eval"))


def write_bad_lines(data_dir: Path) -> None:
    """The 6th and the 56th line are bad, which are in the first and in the last part."""
    lines = (data_dir / "train.txt").read_text().splitlines()
    lines[5], lines[55] = "first", "last"
    (data_dir / "train.txt").write_text("\n".join(lines))


def test_bad_records_are_counted_over_all_parts_of_a_file(data_dir: Path, tmp_path: Path) -> None:
    write_bad_lines(data_dir)
    with pytest.raises(FormatError) as caught:
        run(VisitSource(max_bad=1), data_dir, tmp_path / "out")
    assert str(caught.value) == "train.txt: expected a site, got none: 'first' (the first of 2)"
    assert not list((tmp_path / "out").iterdir())


def test_what_is_found_is_told_once_by_the_source_in_this_process(
    data_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_bad_lines(data_dir)
    source = VisitSource(max_bad=2, sites=("a", "b"))
    with caplog.at_level(logging.WARNING, logger=__name__):
        run(source, data_dir, tmp_path / "out")
    told = [record.getMessage() for record in caplog.records if record.name == __name__]
    # Both bad lines were visits at b.
    assert sorted(told) == [
        "test.txt: {b'a': 2, b'b': 1}, 0 bad",
        "train.txt: {b'a': 30, b'b': 28}, 2 bad",
    ]
    assert {file.name for file in (tmp_path / "out").iterdir() if file.is_file()} == {
        "counts.json",
        "data_digests.json",
    }


def test_a_value_that_a_source_demands_and_that_is_nowhere_leaves_nothing(
    data_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(FormatError, match=r"^test.txt: expected visits at c, got none$"):
        run(VisitSource(sites=("a", "c")), data_dir, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def validate(root: Path) -> dict[str, Any]:
    """Runs the four data nodes with LocalDagRunner; returns the states of their executions."""
    source, connection = VisitSource(), metadata.sqlite_metadata_connection_config(str(root / "metadata.db"))
    examples, schema = example_gen(source, str(root / "data")), TaskSchemaGen(source.features)
    statistics = tfx.components.StatisticsGen(
        examples=examples.outputs["examples"], schema=schema.outputs["schema"]
    )
    validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"])
    tfx.orchestration.LocalDagRunner().run(
        tfx.dsl.Pipeline(
            pipeline_name="visits",
            pipeline_root=str(root / "runs"),
            components=[examples, schema, statistics, validator],
            metadata_connection_config=connection,
            beam_pipeline_args=BEAM_ARGS,
        )
    )
    with metadata.Metadata(connection) as handle:
        states = [execution.last_known_state for execution in handle.store.get_executions()]
    return dict(Counter(metadata_store_pb2.Execution.State.Name(state) for state in states))


def test_a_feature_of_any_number_of_values_is_valid_with_none_one_and_three(
    data_dir: Path, tmp_path: Path
) -> None:
    assert validate(tmp_path) == {"COMPLETE": 4}


def test_a_value_out_of_range_is_found_among_any_number(data_dir: Path, tmp_path: Path) -> None:
    with (data_dir / "test.txt").open("a") as file:
        file.write("q3 a 60 251 60\n")
    with pytest.raises(ValueError, match=r"split 'test', feature 'pulses': .*251"):
        validate(tmp_path)


def test_a_feature_of_any_number_of_values_may_have_none_anywhere(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "test.txt").write_text("q0 a\nq1 b\n")
    assert validate(tmp_path) == {"COMPLETE": 4}
