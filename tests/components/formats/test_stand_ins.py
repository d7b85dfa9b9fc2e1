"""Raw files that are another thing: told in words by every reader."""

import gzip
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from components.formats.errors import FormatError
from components.formats.idx import read_shape
from components.formats.squad import read_squad
from components.formats.tsv import read_rows

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 440449768\n"
UTF_16 = "text in UTF-16, where UTF-8 is expected"
READERS: dict[str, Callable[[Path], Iterable[Any]]] = {
    "TSV file": read_rows,
    "JSON": read_squad,
    "idx file": read_shape,
}


@pytest.mark.parametrize("expected", READERS)
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (POINTER, "is a Git LFS pointer: git lfs pull"),
        (b"<!DOCTYPE html><html>Not found</html>", "is no {}: an HTML page"),
        (b"PK\x03\x04\x14\x00\x00\x00", "is no {}: a zip archive; unpack it"),
        ("{}\t{}".encode("utf-16"), f"is no {{}}: {UTF_16}"),
    ],
)
def test_what_a_raw_file_is_in_place_of_itself_is_told(
    tmp_path: Path, expected: str, content: bytes, told: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(FormatError) as caught:
        list(READERS[expected](path))
    assert str(caught.value) == f"{path}: {told.format(expected)}"


def test_only_idx_files_may_be_gzipped_and_only_once(tmp_path: Path) -> None:
    path, zipped = tmp_path / "file", gzip.compress(b"one\ttwo\n")
    for expected, content in (("TSV file", zipped), ("JSON", zipped), ("idx file", gzip.compress(zipped))):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=f"file: is no {expected}: a gzip file; unpack it"):
            list(READERS[expected](path))
