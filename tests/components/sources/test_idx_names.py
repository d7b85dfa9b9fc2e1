"""The names by which people have MNIST's files, and those of the sets that are like it."""

import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from components.example_gen.digests import data_digests
from components.features import LABEL
from components.formats.errors import FormatError
from components.formats.idx import write_idx
from components.sources.idx import IdxSource

MNIST = (
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)
MNIST_BELOW = tuple(f"MNIST/raw/{name}" for name in MNIST)
EMNIST = tuple(f"emnist-digits-{name.replace('t10k', 'test')}" for name in MNIST)


def write(directory: Path, names: tuple[str, ...] = MNIST, first_label: int = 0) -> Path:
    """Two images for training and one to test, of which the labels count up."""
    for number, name in enumerate(names):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        count = 2 - number // 2
        labels = np.arange(first_label, first_label + count, dtype=np.uint8)
        write_idx(path, np.zeros((count, 28, 28), np.uint8) if "images" in name else labels)
    return directory


def read(directory: Path, source: IdxSource | None = None) -> list[int]:
    """The labels of both splits."""
    source = source or IdxSource()
    source.check(directory)
    parts = [part for split in source.input_splits for part in source.parts(directory, split)]
    return [record[LABEL] for part in parts for record in part.records()]


def wrong(directory: Path, source: IdxSource | None = None) -> str:
    with pytest.raises(FormatError) as caught:
        read(directory, source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        tuple(name.replace("-idx", ".idx") for name in MNIST),
        tuple(f"{name.replace('-idx', '.idx')}.gz" for name in MNIST),
        MNIST_BELOW,
        tuple(f"raw/{name}.gz" for name in MNIST),
        tuple(f"{name}/{name}" for name in MNIST),
        tuple(f"{name}/{name.replace('-idx', '.idx')}" for name in MNIST),
        tuple(f"{name}.gz/{name}" for name in MNIST),
        EMNIST,
        tuple(f"gzip/{name}.gz" for name in EMNIST),
        tuple(f"EMNIST/raw/{name}" for name in EMNIST),
    ],
    ids=lambda names: names[0],
)
def test_the_names_that_people_have_are_read(tmp_path: Path, names: tuple[str, ...]) -> None:
    write(tmp_path, names)
    assert read(tmp_path) == [0, 1, 0]
    assert sorted(data_digests(IdxSource(), str(tmp_path))) == sorted(names)


def test_a_file_that_is_there_twice_is_read_once(tmp_path: Path) -> None:
    write(write(tmp_path), tuple(name.replace("-idx", ".idx") for name in MNIST))
    assert read(tmp_path) == [0, 1, 0]
    assert sorted(data_digests(IdxSource(), str(tmp_path))) == sorted(MNIST)


def test_other_files_in_a_folder_of_a_files_name_are_not_taken_for_it(tmp_path: Path) -> None:
    write(tmp_path, (f"{MNIST[0]}/{MNIST[0]}", *MNIST[1:]))
    write(tmp_path / MNIST[0], MNIST[1:], first_label=3)
    assert read(tmp_path) == [0, 1, 0]


@pytest.mark.parametrize(
    ("others", "named"),
    [
        (
            tuple(name.replace("-idx", ".idx") for name in MNIST),
            "train-labels-idx1-ubyte and train-labels.idx1-ubyte",
        ),
        (
            MNIST_BELOW,
            "train-labels-idx1-ubyte and MNIST/raw/train-labels-idx1-ubyte",
        ),
        # A part of another set by the same names, too.
        (MNIST_BELOW[:2], "train-labels-idx1-ubyte and MNIST/raw/train-labels-idx1-ubyte"),
        (EMNIST, "emnist-digits-train-labels-idx1-ubyte and train-labels-idx1-ubyte"),
    ],
)
def test_two_files_of_different_content_are_both_named(
    tmp_path: Path, others: tuple[str, ...], named: str
) -> None:
    write(write(tmp_path), others, first_label=3)
    assert wrong(tmp_path) == f"{tmp_path}: expected one file, or `prefix` to tell which, got {named}"


def test_a_prefix_tells_which_set_is_meant(tmp_path: Path) -> None:
    write(write(tmp_path), EMNIST, first_label=3)
    assert read(tmp_path, IdxSource(prefix="emnist-digits-")) == [3, 4, 3]
    assert read(tmp_path, IdxSource(prefix="")) == [0, 1, 0]
    got = "got only .*emnist-digits-train-images-idx3-ubyte"
    expected = f"expected emnist-letters-train-images-idx3-ubyte or .*, {got}"
    assert re.search(expected, wrong(tmp_path, IdxSource(prefix="emnist-letters-")))


def test_files_of_two_sets_are_not_mixed(tmp_path: Path) -> None:
    write(tmp_path, (*EMNIST[:2], *MNIST[2:]))
    name = "emnist-digits-test-images-idx3-ubyte"
    assert wrong(tmp_path).startswith(f"{tmp_path}: expected {name} or {name}.gz, got only emnist-digits-")


def test_a_set_that_lacks_files_does_not_hide_a_whole_one(tmp_path: Path) -> None:
    write(write(tmp_path), EMNIST[:3], first_label=3)
    assert read(tmp_path) == [0, 1, 0]


def test_what_lies_there_is_named_with_similar_names_first(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d", "e", "f", "sub/train-images-idx3-ubyte.zip"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert wrong(tmp_path) == (
        f"{tmp_path}: expected train-images-idx3-ubyte or train-images-idx3-ubyte.gz, "
        "got only sub/train-images-idx3-ubyte.zip, a, b, c, d, …"
    )


def test_a_link_to_nothing_is_named_where_a_file_is_needed(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "train-dangling").symlink_to("/nonexistent/x")
    (tmp_path / "train-images.idx3-ubyte").symlink_to("/nonexistent/x")
    assert read(tmp_path) == [0, 1, 0]
    (tmp_path / MNIST[0]).unlink()
    (tmp_path / MNIST[0]).symlink_to("/nonexistent/x")
    assert wrong(tmp_path) == f"{tmp_path}/{MNIST[0]}: a link to nothing"


def qmnist_labels(path: Path, labels: list[int]) -> None:
    """Eight columns of int32, of which the first is the class: idx type 0x0c, two axes."""
    table = np.zeros((len(labels), 8), ">i4")
    table[:, 0], table[:, 1] = labels, 4
    path.write_bytes(gzip.compress(struct.pack(">3I", 0x0C02, len(labels), 8) + table.tobytes()))


def test_the_first_column_of_the_labels_of_qmnist_is_the_class(tmp_path: Path) -> None:
    write(tmp_path, ("qmnist-train-images-idx3-ubyte.gz",))
    write_idx(tmp_path / "qmnist-test-images-idx3-ubyte.gz", np.zeros((1, 28, 28), np.uint8))
    qmnist_labels(tmp_path / "qmnist-train-labels-idx2-int.gz", [7, 2])
    qmnist_labels(tmp_path / "qmnist-test-labels-idx2-int.gz", [5])
    assert read(tmp_path) == [7, 2, 5]
    qmnist_labels(tmp_path / "qmnist-test-labels-idx2-int.gz", [-1])
    assert wrong(tmp_path).endswith("idx2-int.gz: expected labels from 0 to 9, got -1 at index 0")
    qmnist_labels(tmp_path / "qmnist-test-labels-idx2-int.gz", [5, 6])
    assert "expected 1 labels, one for each of qmnist-test-images" in wrong(tmp_path)


@pytest.mark.parametrize("name", MNIST)
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "excess", [b"x", b"garbage" * 9, gzip.compress(b"x")], ids=["byte", "more", "member"]
)
def test_bytes_behind_the_declared_data_are_refused(
    tmp_path: Path, name: str, zipped: bool, excess: bytes
) -> None:
    write(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    path.write_bytes((gzip.compress(content) if zipped else content) + excess)
    assert f"{path}: expected" in wrong(tmp_path)


def test_a_gzip_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / MNIST[1]
    path.write_bytes(2 * gzip.compress(path.read_bytes()))
    assert "got more: trailing bytes" in wrong(tmp_path)
