"""Where files are found, locally and in an object store, for which ram:// stands here."""

from pathlib import Path

import pytest
import tensorflow as tf

from components import files
from components.example_gen.digests import data_digests
from components.formats.errors import FormatError
from components.sources import finding
from components.sources.glue import COLA, MRPC
from components.sources.idx import IdxSource
from components.sources.squad import SquadSource

NAMES = (
    *("train-images.idx3-ubyte", "train-labels.idx1-ubyte"),
    *("t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"),
)


@pytest.fixture(params=["", "ram://"], ids=["local", "object store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    root = f"{request.param}{tmp_path}/data [1]"
    tf.io.gfile.makedirs(root)
    return root


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (IdxSource(), tuple(f"MNIST/raw/{name}" for name in NAMES)),
        (IdxSource(), tuple(f"{name}/{name}" for name in NAMES)),
        (COLA, ("CoLA/dev.tsv", "CoLA/train.tsv")),
        (MRPC, ("msr_paraphrase_test.txt", "msr_paraphrase_train.txt")),
        (SquadSource(), ("squad/dev-v2.0.json", "squad/train-v2.0.json")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_the_files_below_are_those_that_count(folder: str, source: object, names: tuple[str, ...]) -> None:
    for name in names:
        files.write_text(f"{folder}/{name}", name)
    assert sorted(data_digests(source, folder)) == sorted(names)


@pytest.mark.parametrize("source", [IdxSource(), COLA, SquadSource()])
def test_no_folder_an_empty_one_and_other_files_are_told_apart(folder: str, source: object) -> None:
    with pytest.raises(FormatError, match=r"/nowhere: expected a folder with .*, got: No such file or dir"):
        data_digests(source, f"{folder}/nowhere")
    with pytest.raises(FormatError, match=r"expected .*, got an empty folder$"):
        data_digests(source, folder)
    files.write_text(f"{folder}/sub/notes.txt", "")
    with pytest.raises(FormatError, match=r"expected .*, got only sub$"):
        data_digests(source, folder)


def test_similar_names_come_first_the_most_similar_one_of_all(folder: str) -> None:
    for name in ("a.txt", "z/Train.TSV", "z/train.csv", "dev.tsv", "train.tsv.gz"):
        files.write_text(f"{folder}/{name}", "")
    got = "only train.tsv.gz, z/Train.TSV, z/train.csv, a.txt, dev.tsv, …"
    assert str(finding.missing(folder, ["train.tsv"])) == f"{folder}: expected train.tsv, got {got}"


def test_no_more_is_looked_at_than_can_be_shown_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "_MAX_LOOKED_AT", 3)
    for number in range(9):
        (tmp_path / f"sub{number}").mkdir()
        (tmp_path / f"sub{number}" / "train.tsv").touch()
    assert str(finding.missing(str(tmp_path), ["train.tsv"])).endswith(
        "got only sub0/train.tsv, sub1/train.tsv, sub2/train.tsv, sub0, sub1, …"
    )


def test_a_link_that_leads_back_is_no_endless_way(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    assert str(finding.missing(str(tmp_path), ["train.tsv"])).endswith("got only loop")
