import contextlib
import json
import logging
import tracemalloc
from collections import Counter
from pathlib import Path

import pydantic
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.example_gen.found import Tally
from components.features import LABEL, LENGTH, TEXT_A, TEXT_B
from components.formats.errors import FormatError
from components.formats.tsv import MAX_ROW_BYTES, read_rows, write_tsv
from components.protocols import BadRecord, Found, Source, Split
from components.sources.tsv import TsvSource
from components.sources.tsv_layout import Column, TsvFile
from components.sources.tsv_parser import length_range

# The layout of CoLA, and a pair task with a header and its label in the last column.
SINGLE = TsvSource(
    labels=("0", "1"),
    train=TsvFile(
        name="train.tsv",
        header=False,
        label=Column(index=1, names=("label",)),
        text_a=Column(index=3, names=("sentence",)),
    ),
    evaluation=(
        TsvFile(
            name="dev.tsv",
            header=False,
            label=Column(index=1, names=("label",)),
            text_a=Column(index=3, names=("sentence",)),
        ),
    ),
)


def pair_file(name: str, domain: str) -> TsvFile:
    return TsvFile(
        name=name,
        header=True,
        text_a=Column(index=0, names=("one",)),
        text_b=Column(index=1, names=("two", "second")),
        label=Column(index=-1, names=("gold",)),
        slice=domain,
    )


PAIRS = TsvSource(
    labels=("no", "yes"),
    synonyms={"nope": "no"},
    train=pair_file("train.tsv", "here"),
    evaluation=(pair_file("dev_a.tsv", "here"), pair_file("dev_b.tsv", "there")),
    evaluation_pattern="dev_?.tsv",
    slice_key="domain",
)
TRAIN = PAIRS.input_splits[0]


def write(directory: Path, content: bytes, name: str = "train.tsv") -> Path:
    (directory / name).write_bytes(content)
    return directory / name


def records(source: TsvSource, directory: Path, split: int = 0) -> list[dict]:
    parts = source.parts(directory, source.input_splits[split])
    return [record for part in parts for record in part.records() if not isinstance(record, BadRecord)]


def everything(source: TsvSource, directory: Path) -> list:
    """The bad records, too, with the numbers of their lines."""
    try:
        return [record for part in source.parts(directory, TRAIN) for record in part.records()]
    except FormatError as error:
        return [str(error)]


def read_whole(source: TsvSource, directory: Path) -> None:
    """Does what a run does, of which each part could be in another process."""
    source.check(directory)
    found: dict[str, Tally] = {}
    for split in source.input_splits:
        for part in source.parts(directory, split):
            tally = found.setdefault(part.file, Tally(source.counted_by))
            for _ in tally.pass_on(part.records()):
                pass
    for file, tally in found.items():
        source.check_found(file, tally.found)


def texts(source: TsvSource, directory: Path) -> list[str]:
    return [record[TEXT_A].decode() for record in records(source, directory)]


def check(source: TsvSource, directory: Path) -> str:
    """Returns what is wrong, in one line; the evaluation files are made right."""
    for file in source.evaluation_files:
        write(directory, b"one\ttwo\tgold\na\tb\tyes\n" if file.header else b"x\t1\t\ta\n", file.name)
    with pytest.raises(FormatError) as caught:
        read_whole(source, directory)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_row_becomes_text_class_and_length(tmp_path: Path) -> None:
    write(tmp_path, b"gj04\t0\t*\tThey drank the pub.\n")
    assert records(SINGLE, tmp_path) == [{TEXT_A: b"They drank the pub.", LABEL: 0, LENGTH: b"1-32"}]


def test_a_pair_is_read_with_its_slice_and_its_label_at_the_end(tmp_path: Path) -> None:
    write(tmp_path, b"one\tsecond\textra\tgold\nA b\tC\tx\tyes\nD\tE\tx\tnope\n")
    expected = {TEXT_A: b"A b", TEXT_B: b"C", LABEL: 1, LENGTH: b"1-32", "domain": b"here"}
    assert records(PAIRS, tmp_path)[0] == expected
    assert records(PAIRS, tmp_path)[1][LABEL] == 0


def test_the_evaluation_files_follow_each_other_as_slices(tmp_path: Path) -> None:
    for name in ("dev_a.tsv", "dev_b.tsv"):
        write(tmp_path, b"one\ttwo\tgold\na\tb\tyes\n", name)
    assert [record["domain"] for record in records(PAIRS, tmp_path, split=1)] == [b"here", b"there"]
    assert sorted(file.name for file in tmp_path.glob(PAIRS.input_splits[1].pattern)) == [
        "dev_a.tsv",
        "dev_b.tsv",
    ]


@pytest.mark.parametrize(
    "text",
    [
        '"quoted',
        'a "b" c',
        "lone \r return",
        "a\u2028b",
        "a\x0bb\x0cc\x1cd\x85e",
        "´é你",
        "a\\nb",
        "\ufeffa",
        "'",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=ascii)
def test_quotes_and_exotic_separators_are_text(tmp_path: Path, text: str, end: str) -> None:
    write(tmp_path, f"x\t1\t\t{text}{end}x\t0\t\tnext{end}".encode())
    assert texts(SINGLE, tmp_path) == [text, "next"]


@pytest.mark.parametrize("content", [b"x\t1\t\ta\nx\t0\t\tb", b"\xef\xbb\xbfx\t1\t\ta\r\nx\t0\t\tb\r\n"])
def test_a_mark_at_the_start_and_a_missing_last_line_end_do_no_harm(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, content)
    assert texts(SINGLE, tmp_path) == ["a", "b"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_blank_last_line_is_no_row(tmp_path: Path, end: bytes) -> None:
    write(tmp_path, b"x\t1\t\ta" + 2 * end)
    assert everything(SINGLE, tmp_path) == records(SINGLE, tmp_path)
    small = SINGLE.override({"part_size_bytes": 1}, "source")
    assert everything(small, tmp_path) == everything(SINGLE, tmp_path)
    assert list(SINGLE.read_unlabelled(tmp_path / "train.tsv")) == [("a", None)]


def test_a_part_from_the_middle_of_a_file_knows_how_many_columns_its_header_has(tmp_path: Path) -> None:
    write(tmp_path, b"one\ttwo\tgold\n" + b"a\tb\tyes\n" * 9 + b"a\tb\tc\tyes\n")
    small = PAIRS.override({"part_size_bytes": 20}, "source")
    *good, bad = everything(small, tmp_path)
    assert len(good) == 9
    assert f"{tmp_path}/train.tsv:11: expected 3 columns, got 4" in bad.reason


def test_rows_with_a_column_too_many_are_counted_where_some_may_be_bad(tmp_path: Path) -> None:
    write(tmp_path, b"one\ttwo\tgold\na\tb\tc\tyes\nd\te\tno\n")
    for file in PAIRS.evaluation_files:
        write(tmp_path, b"one\ttwo\tgold\na\tb\tyes\n", file.name)
    tolerant = PAIRS.override({"max_bad_rows": 1}, "source")
    read_whole(tolerant, tmp_path)
    assert texts(tolerant, tmp_path) == ["d"]


def test_a_file_without_a_header_may_be_declared_to_have_columns_behind_those_that_are_read(
    tmp_path: Path,
) -> None:
    write(tmp_path, b"x\t1\t\ta\tnote\n")
    wider = SINGLE.override({"train": {"num_columns": 5}}, "source")
    assert texts(wider, tmp_path) == ["a"]
    assert list(wider.read_unlabelled(tmp_path / "train.tsv")) == [("a", None)]
    write(tmp_path, b"x\t1\t\ta\n")
    assert ":1: expected 5 columns, got 4" in check(wider, tmp_path)


def test_a_mark_before_a_header_does_no_harm(tmp_path: Path) -> None:
    write(tmp_path, b"\xef\xbb\xbfone\ttwo\tgold\na\tb\tyes\n")
    assert len(records(PAIRS, tmp_path)) == 1


@pytest.mark.parametrize(
    ("count", "label"),
    [
        (1, "1-32"),
        (32, "1-32"),
        (33, "33-64"),
        (64, "33-64"),
        (65, "65-128"),
        (129, "129-256"),
        (513, "513+"),
    ],
)
def test_lengths_fall_into_ranges_that_say_so(count: int, label: str) -> None:
    assert length_range(count) == label


def test_the_length_counts_characters_of_both_texts_not_bytes(tmp_path: Path) -> None:
    write(tmp_path, "one\ttwo\tgold\n{}\t{}\tyes\n".format("你" * 16, "好" * 16).encode())
    assert records(PAIRS, tmp_path)[0][LENGTH] == b"1-32"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x\t1\t\ta\nx\t1\t\n", ":2: expected 4 columns, got 3: 'x\\t1\\t'"),
        (b"x\t2\t\ta\n", ":1: expected label 0 or 1, got '2': 'x\\t2\\t\\ta'"),
        (b"x\t1\t\t \n", ":1: expected a sentence, got none: 'x\\t1\\t\\t '"),
        (b"x\t1\t\t\xff\n", ":1: expected UTF-8, got byte 0xff: 'x\\t1\\t\\t�'"),
        # A surrogate, as UTF-8 may not have it.
        (b"x\t1\t\t\xed\xa0\x80\n", ":1: expected UTF-8, got byte 0xed"),
        (b"x\t1\t\ta\0\n", ":1: expected text, got a NUL byte"),
        (b"x\t1\t\ta\tb\n", ":1: expected 4 columns, got 5: 'x\\t1\\t\\ta\\tb'"),
        (b"x\t1\t\ta\t\n", ":1: expected 4 columns, got 5"),
        # Within quotes, too; and where rows end in carriage returns alone, all are one.
        (b'x\t1\t\t"a\tb"\n', ":1: expected 4 columns, got 5"),
        (b"x\t1\t\ta\rx\t1\t\tb\r", ":1: expected 4 columns, got 7"),
        (b"x\t1\t\ta\n\nx\t1\t\ta\n", ":2: expected 4 columns, got 1: ''"),
        (b"x\t1\t\ta\n\n\n", ":2: expected 4 columns, got 1: ''"),
        (b"x\t1\t\ta\n \n", ":2: expected 4 columns, got 1: ' '"),
        (b"", "train.tsv: expected at least one row, got none"),
        (b"\xef\xbb\xbf", "train.tsv: expected at least one row, got none"),
        (b"\n", "train.tsv: expected at least one row, got none"),
        (b"source\tlabel\tmark\tsentence\nx\t1\t\ta\n", ":1: expected a row, got a header: 'source"),
        (b"x\t2\t\t" + b"ab" * 50, "'x\\t2\\t\\t" + "ab" * 37 + "a…'"),
    ],
)
def test_a_row_that_is_wrong_is_named_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = write(tmp_path, content)
    error = check(SINGLE, tmp_path)
    assert error.startswith(str(path))
    assert message in error


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\tb\tyes\n", ":1: expected a header with 'one' as column 1, got 'a': 'a\\tb\\tyes'"),
        (b"one\n", ":1: expected a header with 'two' as column 2, got no such column: 'one'"),
        (b"one\ttwo\tlabel\n", ":1: expected a header with 'gold' as last column, got 'label'"),
        (b"one\ttwo\tgold\n", "train.tsv: expected at least one row, got none"),
        (b"\xff\n", ":1: expected UTF-8, got byte 0xff"),
        # The label in the last column lies behind the texts.
        (b"one\ttwo\tgold\na\tyes\n", ":2: expected 3 columns, got 2"),
        # A tab in a text: the label is in the last column still, and the second text is half the first.
        (b"one\ttwo\tgold\na\tb\tc\tyes\n", ":2: expected 3 columns, got 4: 'a\\tb\\tc\\tyes'"),
        (b"one\ttwo\textra\tgold\na\tb\tyes\n", ":2: expected 4 columns, got 3"),
        (b"one\ttwo\tgold\na\tb\tperhaps\n", ":2: expected label no or yes, got 'perhaps'"),
    ],
)
def test_a_header_is_demanded_where_it_belongs(tmp_path: Path, content: bytes, message: str) -> None:
    write(tmp_path, content)
    assert message in check(PAIRS, tmp_path)


def test_an_endless_row_is_refused_without_the_memory_for_it(tmp_path: Path) -> None:
    write(tmp_path, b"x\t1\t\ta\n" + b"x" * 30_000_000)
    tracemalloc.start()
    assert ":2: expected a row of at most 1048576 bytes, got more" in check(SINGLE, tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 8_000_000
    tracemalloc.stop()


def test_bad_rows_within_the_limit_are_left_out_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    long = b"y" * (MAX_ROW_BYTES + 5)
    path = write(tmp_path, b"x\t1\t\ta\nx\tbad\nx\t1\t\tb\n" + long + b"\nx\t0\t\tc\n")
    write(tmp_path, b"x\t1\t\ta\n", "dev.tsv")
    tolerant = SINGLE.override({"max_bad_rows": 2, "part_size_bytes": 9}, "source")
    with caplog.at_level(logging.WARNING):
        read_whole(tolerant, tmp_path)
    (record,) = caplog.records
    assert record.getMessage() == (
        "train.tsv: left out 2 bad rows beside 3 good ones; the first: "
        f"{path}:2: expected 4 columns, got 2: 'x\\tbad'"
    )
    assert texts(tolerant, tmp_path) == ["a", "b", "c"]


def test_one_bad_row_more_than_allowed_is_the_error(tmp_path: Path) -> None:
    path = write(tmp_path, b"x\t1\t\ta\nx\n\nx\t1\t\ta\n")
    assert check(SINGLE.override({"max_bad_rows": 1}, "source"), tmp_path) == (
        f"{path}:2: expected 4 columns, got 1: 'x' (the first of more than 1 bad rows)"
    )


def test_a_wrong_header_is_no_row_that_may_be_bad(tmp_path: Path) -> None:
    write(tmp_path, b"uno\tdue\tgold\na\tb\tyes\n")
    assert "expected a header" in check(PAIRS.override({"max_bad_rows": 9}, "source"), tmp_path)


def test_a_worker_names_the_line_of_the_file(tmp_path: Path) -> None:
    """Which it reads from the middle on."""
    write(tmp_path, b"x\t1\t\ta\n" * 10 + b"x\t3\t\ta\n")
    parts = SINGLE.override({"part_size_bytes": 20}, "source").parts(tmp_path, TRAIN)
    assert [part.start for part in parts] == [0, 21, 42, 63]
    _, bad = parts[-1].records()
    assert ":11: expected label" in bad.reason


def test_what_is_missing_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"expected a folder with train.tsv, got: No such file"):
        SINGLE.check(tmp_path / "none")
    with pytest.raises(FormatError, match=r"expected train.tsv, got an empty folder"):
        SINGLE.check(tmp_path)
    for name in ("a", "b", "c", "d", "e", "f"):
        write(tmp_path, b"", name)
    with pytest.raises(FormatError, match=r"expected train.tsv, got only a, b, c, d, e, …"):
        SINGLE.check(tmp_path)
    (tmp_path / "train.tsv").mkdir()
    with pytest.raises(FormatError, match=r"train.tsv: cannot be read: Is a directory"):
        SINGLE.check(tmp_path)


def test_the_check_reads_no_further_than_the_first_good_row(tmp_path: Path) -> None:
    write(tmp_path, b"x\t1\t\ta\nbad\n")
    write(tmp_path, b"bad\nx\t1\t\ta\n", "dev.tsv")
    SINGLE.override({"max_bad_rows": 1}, "source").check(tmp_path)
    with pytest.raises(FormatError, match=r"dev.tsv:1: expected 4 columns"):
        SINGLE.check(tmp_path)
    write(tmp_path, b"bad\nbad\nbad\n", "dev.tsv")
    with pytest.raises(FormatError, match=r"dev.tsv:1: .*\(the first of more than 1 bad rows\)"):
        SINGLE.override({"max_bad_rows": 1}, "source").check(tmp_path)


def test_bad_rows_are_counted_over_a_whole_file_and_each_file_for_itself() -> None:
    source = SINGLE.override({"max_bad_rows": 2}, "source")
    for file in ("train.tsv", "dev.tsv"):
        source.check_found(file, Found(Counter({b"": 9}), 2, f"{file}:7: bad"))
    with pytest.raises(FormatError) as caught:
        source.check_found("dev.tsv", Found(Counter({b"": 9}), 3, "dev.tsv:7: bad"))
    assert str(caught.value) == "dev.tsv:7: bad (the first of more than 2 bad rows)"
    with pytest.raises(FormatError, match=r"^dev.tsv: expected at least one row, got none$"):
        source.check_found("dev.tsv", Found(Counter()))


@pytest.mark.parametrize(("source", "keys"), [(SINGLE, {TEXT_A}), (PAIRS, {TEXT_A, TEXT_B})])
def test_made_sentences_are_of_all_lengths_and_depend_on_the_seed_alone(
    source: TsvSource, keys: set[str]
) -> None:
    made = source.sample(50, seed=3)
    assert made == source.sample(50, seed=3)
    assert made != source.sample(50, seed=4)
    assert all(set(record) == keys for record in made)
    texts = [record[TEXT_A].decode() for record in made]
    assert all(text.endswith(".") and text[0].isupper() and text.isascii() for text in texts)
    assert {len(text.split()) for text in texts} == {1, 3, 6, 12, 24, 48}


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [b"x\t1\t\ttext", b"x\t0\t*\t\xe4\xbd\xa0", b"bad", b"", b"\r", b"\xff", b"x\t1\t\ta\r"]
        ),
        st.binary(max_size=12),
    ),
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(LINES, st.integers(1, 80), st.booleans(), st.booleans())
@example([], 1, True, False)
def test_parts_of_any_size_give_the_rows_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], size: int, mark: bool, ended: bool
) -> None:
    directory = tmp_path_factory.mktemp("parts")
    content = b"\xef\xbb\xbf" * mark + b"\n".join(lines) + b"\n" * ended
    write(directory, content)
    whole = SINGLE
    small = whole.override({"part_size_bytes": size}, "source")
    assert everything(small, directory) == everything(whole, directory)
    parts = small.parts(directory, TRAIN)
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    assert not parts or (parts[0].start, parts[-1].stop) == (0, len(content))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([SINGLE, PAIRS]), st.integers(0, 2))
def test_any_bytes_are_read_or_refused_with_a_format_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, source: TsvSource, max_bad_rows: int
) -> None:
    directory = tmp_path_factory.mktemp("fuzz")
    for file in ("train.tsv", *(file.name for file in source.evaluation_files)):
        write(directory, content, file)
    tolerant = source.override({"max_bad_rows": max_bad_rows}, "source")
    for read in (
        lambda: tolerant.check(directory),
        lambda: read_whole(tolerant, directory),
        lambda: records(tolerant, directory),
        lambda: list(source.read_unlabelled(directory / "train.tsv")),
        lambda: list(read_rows(directory / "train.tsv")),
    ):
        with contextlib.suppress(FormatError):
            read()


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r\0"), min_size=1).filter(
    str.strip
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(CELLS, CELLS, st.sampled_from(["no", "yes"])), min_size=1, max_size=5), st.booleans()
)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], mark: bool
) -> None:
    directory = tmp_path_factory.mktemp("round")
    write_tsv(directory / "train.tsv", [("one", "two", "gold"), *rows], byte_order_mark=mark)
    got = [
        (r[TEXT_A].decode(), r[TEXT_B].decode(), PAIRS.labels[r[LABEL]]) for r in records(PAIRS, directory)
    ]
    assert got == rows
    assert list(PAIRS.read_unlabelled(directory / "train.tsv")) == [(a, b) for a, b, _ in rows]
    assert [tuple(cells) for cells in read_rows(directory / "train.tsv")] == [("one", "two", "gold"), *rows]
    assert [file.name for file in directory.iterdir()] == ["train.tsv"]


@pytest.mark.parametrize(
    ("source", "content", "expected"),
    [
        # CoLA's test file, its own layout, and plain sentences.
        (SINGLE, b"index\tsentence\n0\tBill ran.\n", [("Bill ran.", None)]),
        (SINGLE, b"x\t1\t\tBill ran.\nx\t0\t\tran\n", [("Bill ran.", None), ("ran", None)]),
        (SINGLE, b"Bill ran.\nran\n", [("Bill ran.", None), ("ran", None)]),
        # A test file without the label, or with other columns in between; and plain pairs.
        (PAIRS, b"index\tone\ttwo\n0\ta\tb\n", [("a", "b")]),
        (PAIRS, b"\xef\xbb\xbfone\tid\tsecond\r\na\t7\tb\r\n", [("a", "b")]),
        (PAIRS, b"a\tb\nc\td\n", [("a", "b"), ("c", "d")]),
    ],
)
def test_texts_to_predict_are_found_by_the_header_or_by_their_number(
    tmp_path: Path, source: TsvSource, content: bytes, expected: list
) -> None:
    assert list(source.read_unlabelled(write(tmp_path, content))) == expected


@pytest.mark.parametrize(
    ("source", "content", "message"),
    [
        (SINGLE, b"", "expected at least one row, got none"),
        (SINGLE, b"a\tb\n", ":1: expected a header with 'sentence', or 1 columns, got 2: 'a\\tb'"),
        (PAIRS, b"a\tb\tc\n", ":1: expected a header with 'one' and 'two', or 2 columns, got 3"),
        (PAIRS, b"a\tb\nc\n", ":2: expected 2 columns, got 1: 'c'"),
        (PAIRS, b"a\tb\nc\td\te\n", ":2: expected 2 columns, got 3: 'c\\td\\te'"),
        (PAIRS, b"id\tone\ttwo\n0\ta\tb\tc\n", ":2: expected 3 columns, got 4"),
        (PAIRS, b"one\ttwo\tid\na\tb\n", ":2: expected 3 columns, got 2"),
        (PAIRS, b"one\ttwo\tone\na\tb\tc\n", ":1: expected one column one, got 2"),
        (PAIRS, b"one\ttwo\tsecond\na\tb\tc\n", ":1: expected one column two or second, got 2"),
        (PAIRS, b"a\tb\n\nc\td\n", ":2: expected 2 columns, got 1: ''"),
        (PAIRS, b"one\ttwo\n", "expected at least one row, got none"),
        (SINGLE, b"a\nb\tc\n", ":2: expected 1 columns, got 2"),
        (SINGLE, b"x\t1\t\ta\tb\n", ":1: expected a header with 'sentence', or 1 columns, got 5"),
        (SINGLE, b"x\t1\t\ta\nx\t1\t\ta\tb\n", ":2: expected 4 columns, got 5"),
        (SINGLE, b"One.\rTwo.\r", ":1: expected rows that end in a line feed, got carriage returns alone"),
        (SINGLE, b"One.\nTw\0o.\n", ":2: expected text, got a NUL byte"),
        (PAIRS, b"a\t\n", ":1: expected a sentence, got none"),
        (PAIRS, b"a\tb\n\xff\tb\n", ":2: expected UTF-8, got byte 0xff"),
    ],
)
def test_a_file_to_predict_that_does_not_fit_is_refused(
    tmp_path: Path, source: TsvSource, content: bytes, message: str
) -> None:
    with pytest.raises(FormatError) as caught:
        list(source.read_unlabelled(write(tmp_path, content)))
    assert message in str(caught.value)


@pytest.mark.parametrize("source", [SINGLE, PAIRS])
def test_a_source_survives_the_way_to_the_executor(source: TsvSource) -> None:
    assert isinstance(source, Source)
    dumped = json.loads(json.dumps(source.model_dump(mode="json")), parse_int=float)
    assert TsvSource(**dumped) == source


def test_labels_and_features_for_slices_alone_are_not_served() -> None:
    assert {key: feature.served for key, feature in PAIRS.features.items()} == {
        "text_a": True,
        "text_b": True,
        "label": False,
        "length": False,
        "domain": False,
    }
    assert PAIRS.features[LABEL].maximum == 1
    assert PAIRS.features[LABEL].names == ("no", "yes")


def test_a_validation_fraction_turns_the_evaluation_files_into_the_test_split() -> None:
    held_out = SINGLE.override({"validation_fraction": 0.1}, "source")
    assert held_out.evaluation_split == "test"
    assert held_out.input_splits == (Split("train", "train.tsv", 0.1), Split("test", "dev.tsv"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluation_pattern": "dev_a.tsv"}, "does not match dev_b.tsv"),
        ({"evaluation_pattern": None}, "does not match dev_b.tsv"),
        ({"slice_key": None}, "slice_key"),
        ({"train": SINGLE.train}, "a slice if, and only if"),
        ({"train": PAIRS.train.model_copy(update={"text_b": None})}, "as many texts"),
        ({"synonyms": {"nope": "on"}}, "did you mean 'no'"),
        ({"labels": ("no",)}, "at least 2"),
        ({"train": {**dict(PAIRS.train), "num_columns": 3}}, "num_columns: expected none beside a header"),
        ({"train": {**dict(SINGLE.train), "num_columns": 3}}, "num_columns: expected at least 4, got 3"),
    ],
)
def test_a_layout_that_contradicts_itself_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        TsvSource(**{**dict(PAIRS), **changes})
