from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from apache_beam.internal import pickler
from tfx.types import standard_artifacts

from components.example_gen.component import example_gen
from components.example_gen.executor import Executor
from components.formats.errors import FormatError
from components.formats.tsv import write_tsv
from components.sources.glue import COLA, MNLI, MRPC, XNLI
from components.sources.tsv import TsvSource

IN_PROCESS = ["--runner=DirectRunner", "--allow_unsafe_triggers", "--sdk_container_image=none"]
TWO_PROCESSES = [*IN_PROCESS, "--direct_num_workers=2", "--direct_running_mode=multi_processing"]
# Ten rows or so a part.
SMALL_PARTS = COLA.override({"part_size_bytes": 200}, "source")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    directory.mkdir()
    for name, count in (("train.tsv", 40), ("dev.tsv", 12)):
        rows = [("src", str(i % 2), "", f"Sentence «{i}» of {name}.") for i in range(count)]
        write_tsv(directory / name, rows)
    return directory


def run(source: TsvSource, data_dir: Path, output: Path, beam_args: Sequence[str] = IN_PROCESS) -> None:
    """Runs the executor with the properties that the node would give it."""
    node = example_gen(source, str(data_dir))
    examples = standard_artifacts.Examples()
    examples.uri = str(output)
    context = Executor.Context(beam_pipeline_args=list(beam_args), tmp_dir=str(output.parent))
    Executor(context).Do({}, {"examples": [examples]}, dict(node.exec_properties))


def records(output: Path, split: str) -> list[dict[str, Any]]:
    files = sorted(str(file) for file in (output / f"Split-{split}").iterdir())
    return [parse(record.numpy()) for record in tf.data.TFRecordDataset(files, "GZIP")]


def parse(record: bytes) -> dict[str, Any]:
    features = tf.train.Example.FromString(record).features.feature
    return {key: (value.bytes_list.value or value.int64_list.value)[0] for key, value in features.items()}


def test_every_row_becomes_an_example_in_the_files_order(data_dir: Path, tmp_path: Path) -> None:
    run(SMALL_PARTS, data_dir, tmp_path / "out")
    assert len(list((tmp_path / "out/Split-train").iterdir())) > 3
    assert records(tmp_path / "out", "train") == [
        {"text_a": f"Sentence «{i}» of train.tsv.".encode(), "label": i % 2, "length": b"1-32"}
        for i in range(40)
    ]
    assert len(records(tmp_path / "out", "eval")) == 12


def test_validation_rows_are_carved_from_train_and_lost_nowhere(data_dir: Path, tmp_path: Path) -> None:
    run(COLA.override({"validation_fraction": 0.25}, "source"), data_dir, tmp_path / "out")
    kept, held_out, test = (records(tmp_path / "out", name) for name in ("train", "eval", "test"))
    assert len(kept) + len(held_out) == 40
    assert 3 <= len(held_out) <= 18
    assert len(test) == 12


def test_parts_reach_other_processes_whole(data_dir: Path) -> None:
    parts = SMALL_PARTS.parts(data_dir, SMALL_PARTS.input_splits[0])
    sent = [pickler.loads(pickler.dumps(part)) for part in parts]
    assert [list(part.records()) for part in sent] == [list(part.records()) for part in parts]


def test_a_bad_first_row_is_refused_before_anything_is_written(data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "dev.tsv"
    path.write_bytes(b"src\t7\t\tSeven.\n" + path.read_bytes())
    with pytest.raises(FormatError, match=r"dev.tsv:1: expected label 0 or 1, got '7'"):
        run(SMALL_PARTS, data_dir, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "beam_args", [IN_PROCESS, pytest.param(TWO_PROCESSES, marks=pytest.mark.slow)], ids=["one", "two"]
)
def test_bad_rows_of_different_parts_add_up(data_dir: Path, tmp_path: Path, beam_args: list[str]) -> None:
    rows = (data_dir / "train.tsv").read_bytes().splitlines(keepends=True)
    rows[8], rows[35] = b"eight\n", b"thirty-five\n"
    (data_dir / "train.tsv").write_bytes(b"".join(rows))
    with pytest.raises(FormatError) as caught:
        run(SMALL_PARTS.override({"max_bad_rows": 1}, "source"), data_dir, tmp_path / "out", beam_args)
    assert str(caught.value) == (
        f"{data_dir}/train.tsv:9: expected 4 columns, got 1: 'eight' (the first of more than 1 bad rows)"
    )
    assert not list((tmp_path / "out").iterdir())


def test_bad_rows_that_are_left_out_are_told_once(
    data_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = (data_dir / "train.tsv").read_bytes().splitlines(keepends=True)
    rows[8], rows[35] = b"eight\n", b"thirty-five\n"
    (data_dir / "train.tsv").write_bytes(b"".join(rows))
    with caplog.at_level("WARNING", logger="components"):
        run(SMALL_PARTS.override({"max_bad_rows": 2}, "source"), data_dir, tmp_path / "out")
    assert [record.getMessage() for record in caplog.records if record.name.startswith("components")] == [
        "train.tsv: left out 2 bad rows beside 38 good ones; the first: "
        f"{data_dir}/train.tsv:9: expected 4 columns, got 1: 'eight'"
    ]


def test_bad_rows_that_are_allowed_are_in_no_shard(data_dir: Path, tmp_path: Path) -> None:
    with (data_dir / "train.tsv").open("a") as file:
        file.write("src\t7\t\tSeven.\nsrc\t1\t\tThe end.\n")
    run(SMALL_PARTS.override({"max_bad_rows": 1}, "source"), data_dir, tmp_path / "out")
    train = records(tmp_path / "out", "train")
    assert len(train) == 41
    assert train[-1]["text_a"] == b"The end."


def test_what_a_worker_finds_is_one_line_with_the_line_of_the_file(data_dir: Path, tmp_path: Path) -> None:
    with (data_dir / "train.tsv").open("a") as file:
        file.write("src\t7\t\tSeven.\n")
    with pytest.raises(FormatError) as caught:
        run(SMALL_PARTS, data_dir, tmp_path / "out")
    path = data_dir / "train.tsv"
    assert str(caught.value) == rf"{path}:41: expected label 0 or 1, got '7': 'src\t7\t\tSeven.'"
    assert not list((tmp_path / "out").rglob("Split-*"))


def test_both_dev_files_of_mnli_end_in_one_split(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(8)]
    row = [*names, "P.", "H."]
    for name in ("train", "dev_matched", "dev_mismatched"):
        write_tsv(
            tmp_path / f"{name}.tsv",
            [[*names, "sentence1", "sentence2", "gold_label"], [*row, "neutral"], [*row, "entailment"]],
        )
    run(MNLI, tmp_path, tmp_path / "out")
    got = [(record["domain"], record["label"]) for record in records(tmp_path / "out", "eval")]
    assert got == [(b"matched", 2), (b"matched", 1), (b"mismatched", 2), (b"mismatched", 1)]


def test_the_classes_and_settings_of_mrpc_and_xnli_reach_the_executor(tmp_path: Path) -> None:
    header, row = ("Quality", "", "", "#1 String", "#2 String"), ("1", "", "", "A.", "B.")
    for name in ("train", "test"):
        write_tsv(tmp_path / f"msr_paraphrase_{name}.txt", [header, row], byte_order_mark=True)
    original = MRPC.override({"original": True}, "source")
    run(original, tmp_path, tmp_path / "mrpc")
    assert records(tmp_path / "mrpc", "eval")[0]["text_b"] == b"B."
    write_tsv(tmp_path / "multinli.train.de.tsv", [("premise", "hypo", "label"), ("p", "h", "neutral")])
    empty = [""] * 4
    write_tsv(
        tmp_path / "xnli.dev.tsv",
        [
            ("language", "gold_label", *empty, "sentence1", "sentence2"),
            ("en", "neutral", *empty, "p", "h"),
            ("de", "neutral", *empty, "P", "H"),
        ],
    )
    german = XNLI.override({"train_language": "de", "eval_languages": ("de",)}, "source")
    run(german, tmp_path, tmp_path / "xnli")
    assert [record["text_a"] for record in records(tmp_path / "xnli", "eval")] == [b"P"]


def test_the_real_sentences_of_cola_arrive_complete(real_data: Path, tmp_path: Path) -> None:
    run(COLA.override({"part_size_bytes": 100_000}, "source"), real_data / "cola", tmp_path / "out")
    train = records(tmp_path / "out", "train")
    assert len(train) == 8551
    assert sum(record["label"] for record in train) == 6023
    assert len(records(tmp_path / "out", "eval")) == 527
