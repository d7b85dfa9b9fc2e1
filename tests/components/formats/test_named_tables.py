"""Tables whose columns have names: CSV, TSV and JSON Lines."""

from pathlib import Path

import pytest

from components.formats.errors import FormatError
from components.formats.tables import Row, read_header, read_table


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_cell_in_quotes_holds_commas_line_ends_and_quotes(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", '\ufefftext,label\r\n"Good, they said:\n""fine""",1\r\nbad,0\r\n\r\n')
    assert read_header(path) == ["text", "label"]
    assert list(read_table(path)) == [
        Row(3, {"text": 'Good, they said:\n"fine"', "label": "1"}),
        Row(4, {"text": "bad", "label": "0"}),
    ]


def test_another_delimiter_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text;label\nso, so;1\n")
    assert [row.cells for row in read_table(path, ";")] == [{"text": "so, so", "label": "1"}]


def test_quotes_of_tsv_are_text(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", 'text\tlabel\n"good\t1\n')
    assert [row.cells for row in read_table(path)] == [{"text": '"good', "label": "1"}]


def test_scalars_of_objects_are_texts_and_others_left_out(tmp_path: Path) -> None:
    line = '{"text": "é", "label": 1, "sure": true, "score": 0.5, "none": null, "list": [1]}'
    path = write(tmp_path, "a.jsonl", f"{line}\n")
    (row,) = read_table(path)
    assert row.cells == {"text": "é", "label": "1", "sure": "true", "score": "0.5"}
    assert read_header(path) == ["text", "label", "sure", "score"]


def test_a_file_without_a_header_has_the_columns_that_are_told(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "one\ntwo\n")
    assert [row.cells["text"] for row in read_table(path, columns=["text"])] == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "content", "number", "wrong"),
    [
        ("a.csv", "a,b\n1\n", 2, "expected 2 columns, got 1"),
        ("a.tsv", b"a\tb\n1\t\xff\n", 2, "expected UTF-8, got byte 0xff"),
        ("a.jsonl", "{\n", 1, "expected JSON, got: Expecting property name"),
        ("a.jsonl", "[1]\n", 1, "expected a JSON object, got '[1]'"),
    ],
)
def test_a_bad_row_is_told_with_its_line(
    tmp_path: Path, name: str, content: str | bytes, number: int, wrong: str
) -> None:
    (row,) = read_table(write(tmp_path, name, content))
    assert (row.number, row.cells) == (number, {})
    assert row.wrong.startswith(wrong)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.csv", "", r"a\.csv:1: expected a header, got an empty file"),
        ("a.csv", "a,a\n1,2\n", r"a\.csv:1: expected a name of its own for each column, got 'a'"),
        ("a.csv", "a,\n1,2\n", r"a\.csv:1: expected a name of its own for each column, got ''"),
        ("a.csv", 'a,b\n"1,2\n', r"a\.csv:2: expected CSV, got: unexpected end of data"),
        ("a.csv", b"a,b\n1,\xff\n", r"a\.csv: after line \d: expected UTF-8, got byte 0xff"),
        ("a.csv", b"PK\x03\x04 and so on", r"a\.csv: is no TSV file: a zip archive"),
        ("a.txt", "a\n", r"a\.txt: expected a name that ends in \.csv, \.tsv, \.jsonl"),
    ],
)
def test_a_file_that_cannot_be_read_to_its_end_is_refused(
    tmp_path: Path, name: str, content: str | bytes, error: str
) -> None:
    with pytest.raises(FormatError, match=error):
        list(read_table(write(tmp_path, name, content)))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"none\.csv: cannot be read: No such file"):
        read_header(tmp_path / "none.csv")
