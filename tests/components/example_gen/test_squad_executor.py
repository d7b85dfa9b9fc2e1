"""SQuAD's files through ExampleGen: shards, counts, and the line that tells what was repaired."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from components.example_gen.component import example_gen
from components.example_gen.executor import Executor
from components.features import ANSWER_STARTS, ANSWERS, CONTEXT, IS_IMPOSSIBLE
from components.formats.errors import FormatError
from components.formats.squad import V2, read_squad, write_squad
from components.sources.squad import SquadSource
from pipelines.datasets.made_squad import make_squad

BEAM_ARGS = ["--runner=DirectRunner", "--allow_unsafe_triggers", "--sdk_container_image=none"]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Made questions of version 2.0, every 100th of which has its answers at 0."""
    directory = tmp_path / "data"
    directory.mkdir()
    make_squad(directory, version=V2)
    for path in directory.iterdir():
        questions = [
            question._replace(answers=tuple(answer._replace(start=0) for answer in question.answers))
            if number % 100 == 0
            else question
            for number, question in enumerate(read_squad(path))
        ]
        write_squad(path, questions, V2)
    return directory


def run(source: SquadSource, data_dir: Path, output: Path) -> None:
    examples = standard_artifacts.Examples()
    examples.uri = str(output)
    context = Executor.Context(beam_pipeline_args=BEAM_ARGS, tmp_dir=str(output.parent))
    Executor(context).Do(
        {}, {"examples": [examples]}, dict(example_gen(source, str(data_dir)).exec_properties)
    )


def test_all_questions_arrive_repaired_and_one_line_a_file_tells_so(
    data_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import tensorflow as tf

    with caplog.at_level(logging.WARNING, logger="components.sources.squad"):
        run(SquadSource(validation_fraction=0.2), data_dir, tmp_path / "out")
    counts = json.loads((tmp_path / "out/counts.json").read_text())
    assert counts["train"] + counts["eval"] == 6000
    assert counts["test"] == 400
    files = [str(file) for file in sorted((tmp_path / "out").rglob("*.gz"))]
    for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        answers, starts = feature[ANSWERS].bytes_list.value, feature[ANSWER_STARTS].int64_list.value
        context = feature[CONTEXT].bytes_list.value[0].decode()
        assert bool(answers) == (feature[IS_IMPOSSIBLE].int64_list.value[0] == 0)
        assert all(context.startswith(t.decode(), s) for t, s in zip(answers, starts, strict=True))
    told = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0] for line in told] == ["dev-v2.0.json", "train-v2.0.json"]
    assert all("moved to where their text is, 0 found but" in line for line in told)


def test_impossible_questions_are_too_much_for_version_1(data_dir: Path, tmp_path: Path) -> None:
    for name in ("train", "dev"):
        (data_dir / f"{name}-v2.0.json").rename(data_dir / f"{name}-v1.1.json")
    with pytest.raises(FormatError, match=r"expected an answer, as in version 1.1, got none \(the first of"):
        run(SquadSource(), data_dir, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
