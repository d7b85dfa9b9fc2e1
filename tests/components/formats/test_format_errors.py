from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from components import files
from components.formats.errors import FormatError, unreadable
from components.formats.idx import read_idx
from components.formats.squad import read_squad
from components.formats.tsv import read_rows


@pytest.mark.parametrize("read", [read_idx, read_rows, read_squad])
def test_a_link_to_nothing_is_said_to_be_one(tmp_path: Path, read: Callable[[Path], Iterable[Any]]) -> None:
    (tmp_path / "x").symlink_to("/nonexistent/x")
    with pytest.raises(FormatError) as caught:
        list(read(tmp_path / "x"))
    assert str(caught.value) == f"{tmp_path}/x: a link to nothing"


def test_files_beside_the_data_that_are_links_to_nothing_are_said_to_be_such(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").symlink_to("/nonexistent/x")
    with pytest.raises(OSError, match="a link to nothing") as caught:
        files.read_bytes(f"{tmp_path}/vocab.txt")
    assert caught.value.filename == f"{tmp_path}/vocab.txt"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(21, "Is a directory"), "Is a directory"),
        (OSError("Not a gzipped file"), "Not a gzipped file"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_an_error_is_never_without_words(error: OSError, reason: str) -> None:
    assert str(unreadable("x", error)) == f"x: cannot be read: {reason}"
