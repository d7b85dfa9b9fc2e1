"""Lines and cells of tab-separated files; more of them, as a task's rows, is in test_tsv.py."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.formats.errors import FormatError
from components.formats.tsv import count_lines, cut_file, read_lines, read_rows, write_tsv


def test_rows_end_at_line_feeds_alone_and_quotes_are_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_bytes('\ufeffa\t"b\r\n\n\r\t\u2028c\x85\r\td'.encode())
    assert list(read_rows(path)) == [["a", '"b'], [""], ["\r", "\u2028c\x85\r", "d"]]


def test_a_row_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_bytes(b"a\nb\xff\n")
    with pytest.raises(FormatError, match=r"rows\.tsv:2: expected UTF-8, got byte 0xff: 'b\ufffd'"):
        list(read_rows(path))


@given(st.binary(max_size=60).map(lambda content: content.replace(b"\0", b"\n")), st.integers(1, 70))
def test_parts_hold_the_lines_of_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, size: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "parts.tsv"
    path.write_bytes(content)
    parts = list(cut_file(path, size))
    whole = list(read_lines(path))
    assert [
        (count_lines(path, start) + number, line)
        for start, stop in parts
        for number, line in read_lines(path, start, stop)
    ] == whole
    assert all(stop - start >= size for start, stop in parts[:-1])
    assert [start for start, _ in parts[1:]] == [stop for _, stop in parts[:-1]]


def test_a_file_is_cut_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "hole.tsv"
    with path.open("wb") as file:
        # A gigabyte of which the disk holds the last line.
        file.seek(1 << 30)
        file.write(b"\nlast\n")
    began = time.process_time()
    assert list(cut_file(path, (1 << 30) + 1)) == [(0, (1 << 30) + 1), ((1 << 30) + 1, (1 << 30) + 6)]
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize("cells", [("a\tb", "c"), ("a", "b\nc"), ("a", "b\r"), ("a", "b\0")])
def test_a_cell_that_would_become_several_is_not_written(tmp_path: Path, cells: tuple[str, str]) -> None:
    with pytest.raises(FormatError, match="expected cells without tab, line end or NUL"):
        write_tsv(tmp_path / "out.tsv", [cells])
    assert not list(tmp_path.iterdir())
