"""Documents of plain text: whole, in ranges, in gzip, and what is no text."""

import gzip
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.formats.errors import FormatError
from components.formats.plain_text import next_line, read_documents, split_sentences, unpacked
from components.formats.tsv import cut_file


def written(folder: Path, content: str | bytes, name: str = "a.txt") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def documents(path: Path, *limits: int) -> list[list[str]]:
    return [list(lines) for lines in read_documents(path, *limits)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n \n\t\n", []),
        ("a\nb\n\nc", [["a", "b"], ["c"]]),
        ("\n\na\n\n\n \nb\n\n", [["a"], ["b"]]),
        ("\ufeffa\r\nb\r\n\r\nc\r\n", [["a", "b"], ["c"]]),
        ("\ufeff\na", [["a"]]),
        # A no-break space, NEL, a line separator, a lone carriage return and an ideographic space part words.
        ("a\u00a0b\u0085c\u2028d\re\u3000f\n\u3000\ng", [["a b c d e f"], ["g"]]),
        ("春。\n\n秋。", [["春。"], ["秋。"]]),
    ],
)
def test_lines_are_read_in_documents(tmp_path: Path, text: str, expected: list[list[str]]) -> None:
    assert documents(written(tmp_path, text)) == expected


def test_a_document_that_is_not_read_is_skipped(tmp_path: Path) -> None:
    path = written(tmp_path, "a\nb\nc\n\nd\ne\n")
    assert [next(lines) for lines in read_documents(path)] == ["a", "d"]


@given(st.lists(st.sampled_from(["", " ", "a", "bc", "def"]), max_size=30), st.integers(1, 40))
def test_ranges_side_by_side_have_each_document_once_and_whole(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], size: int
) -> None:
    path = written(tmp_path_factory.mktemp("cut"), "\n".join(lines))
    parts = [document for limits in cut_file(path, size) for document in documents(path, *limits)]
    assert parts == documents(path)


def test_a_range_within_one_document_has_none_and_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = written(tmp_path, b"a\nb\nc\n\xff\n\nd\n")
    assert documents(path, 2, 4) == []
    assert documents(path, 8) == [["d"]]


@pytest.mark.parametrize(("position", "line"), [(0, 0), (1, 3), (2, 3), (3, 3), (4, 4), (5, 6), (6, 6)])
def test_the_next_line_starts_at_a_position_or_after(tmp_path: Path, position: int, line: int) -> None:
    assert next_line(written(tmp_path, "ab\n\nc\n"), position) == line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\n\nb\0c\n", "a.txt:3: expected text, got a NUL byte: 'b\\x00c'"),
        (b"a\nb\xe9t\xe9\n", "a.txt:2: expected UTF-8, got byte 0xe9: 'b\ufffdt\ufffd'"),
        (b"a\n" + b"b" * 65537, f"a.txt:2: expected a line of at most 65536 bytes, got more: '{'b' * 80}…'"),
    ],
)
def test_what_is_no_text_is_one_line_that_says_where(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        documents(written(tmp_path, content))
    assert str(caught.value) == f"{tmp_path}/{message}"


def test_the_bound_on_a_line_is_that_which_is_set(tmp_path: Path) -> None:
    path = written(tmp_path, "abc\n")
    assert [list(lines) for lines in read_documents(path, max_line_bytes=4)] == [["abc"]]
    with pytest.raises(FormatError, match=r"a.txt:1: expected a line of at most 3 bytes, got more"):
        [list(lines) for lines in read_documents(path, max_line_bytes=3)]


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_gzip_is_told_by_its_content(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, gzip.compress(b"a\n") + gzip.compress(b"\nb\n"), name)
    with unpacked(path) as plain:
        assert documents(plain) == [["a"], ["b"]]
    assert not plain.exists()
    plain_path = written(tmp_path, b"a\n", name)
    with unpacked(plain_path) as plain:
        assert plain == plain_path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"a\n" * 100, mtime=0)[:-4], "expected a whole gzip file, got: "),
        (gzip.compress(b"a\n" * 100, mtime=0)[:20] + b"\xff" * 20, "expected a whole gzip file, got: "),
        ("\ufeffa\n".encode("utf-16"), "is no plain text: text in UTF-16, where UTF-8 is expected"),
        (gzip.compress(b"<!DOCTYPE html>", mtime=0), "is no plain text: an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer: git lfs pull"),
    ],
)
def test_other_files_are_told(tmp_path: Path, content: bytes, message: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(FormatError) as caught, unpacked(path):
        pass
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(FormatError, match=r"a.txt: cannot be read: No such file"),
        unpacked(tmp_path / "a.txt"),
    ):
        pass


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, b"one line of a document\n" * 400_000)
    tracemalloc.start()
    count = sum(1 for lines in read_documents(path) for _ in lines)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 400_000
    assert most < 1 << 20


@pytest.mark.parametrize(
    ("paragraph", "sentences"),
    [
        ("", []),
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("no full stop", ["no full stop"]),
        ("Dr. No paid 3.50 to Mr. J. Smith. Why?", ["Dr. No paid 3.50 to Mr. J. Smith.", "Why?"]),
        ("He said: “Go.” She went.", ["He said: “Go.”", "She went."]),
        ("“Go!” he said. (It was late.) I went.", ["“Go!” he said.", "(It was late.)", "I went."]),
        (
            "Fruit, e.g. Apples, i.e. Pippins. See Fig. 3.",
            ["Fruit, e.g. Apples, i.e. Pippins.", "See Fig. 3."],
        ),
        ("In the U.S. Army. 3 came.", ["In the U.S. Army.", "3 came."]),
        ("So did I. You too…  Well...", ["So did I.", "You too…", "Well..."]),
        ("He paused... then left. No. Yes.", ["He paused... then left.", "No.", "Yes."]),
        ("春。「夏！」秋？冬", ["春。", "「夏！」", "秋？", "冬"]),
        ("Ärzte kamen. Übrigens z.B. Anna.", ["Ärzte kamen.", "Übrigens z.B. Anna."]),
    ],
)
def test_a_paragraph_is_split_where_a_sentence_ends(paragraph: str, sentences: list[str]) -> None:
    assert list(split_sentences(paragraph)) == sentences


@given(st.text())
def test_nothing_but_white_space_is_lost_in_splitting(paragraph: str) -> None:
    assert "".join("".join(split_sentences(paragraph)).split()) == "".join(paragraph.split())


def test_a_real_corpus_has_its_chapters(real_data: Path) -> None:
    found = documents(real_data / "corpus/kjv.txt")
    assert (len(found), sum(map(len, found))) == (361, 11016)
    assert found[0][0] == "In the beginning God created the heaven and the earth."
