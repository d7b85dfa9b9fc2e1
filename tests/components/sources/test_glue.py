import json
from pathlib import Path

import pytest

from components.example_gen.digests import data_digests
from components.example_gen.found import Tally
from components.features import LABEL, TEXT_A, TEXT_B
from components.formats.errors import FormatError
from components.formats.tsv import write_tsv
from components.protocols import Found, Source
from components.reference import Reference
from components.sources.glue import COLA, MNLI, MRPC, XNLI
from components.sources.tsv import TsvSource

MRPC_HEADER = ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String")
MNLI_HEADER = (
    *("index", "promptID", "pairID", "genre", "sentence1_binary_parse", "sentence2_binary_parse"),
    *("sentence1_parse", "sentence2_parse", "sentence1", "sentence2"),
)
XNLI_HEADER = (
    *("language", "gold_label", "sentence1_binary_parse", "sentence2_binary_parse", "sentence1_parse"),
    *("sentence2_parse", "sentence1", "sentence2", "promptID", "pairID", "genre"),
    *(
        "label1",
        "label2",
        "label3",
        "label4",
        "label5",
        "sentence1_tokenized",
        "sentence2_tokenized",
        "match",
    ),
)


def mnli_row(label: str, *others: str) -> tuple[str, ...]:
    return ("0", "1", "1n", "fiction", "( p )", "( h )", "(P)", "(H)", 'A "p".', "A h.", *others, label)


def xnli_row(language: str, label: str) -> tuple[str, ...]:
    return (language, label, "", "", "", "", f"p {language}", "h", *["-"] * 11)


@pytest.fixture
def mnli_dir(tmp_path: Path) -> Path:
    write_tsv(
        tmp_path / "train.tsv",
        [(*MNLI_HEADER, "label1", "gold_label"), mnli_row("neutral", "entailment")],
    )
    five = [f"label{i}" for i in range(1, 6)]
    for name, label in (("matched", "entailment"), ("mismatched", "contradiction")):
        write_tsv(
            tmp_path / f"dev_{name}.tsv", [(*MNLI_HEADER, *five, "gold_label"), mnli_row(label, *[label] * 5)]
        )
    return tmp_path


@pytest.fixture
def xnli_dir(tmp_path: Path) -> Path:
    for language in ("en", "de"):
        rows = [("premise", "hypo", "label"), (f"P {language}", "H", "contradictory"), ("Q", "R", "neutral")]
        write_tsv(tmp_path / f"multinli.train.{language}.tsv", rows)
    rows = [xnli_row("de", "neutral"), xnli_row("en", "contradiction"), xnli_row("zh", "entailment")]
    write_tsv(tmp_path / "xnli.dev.tsv", [XNLI_HEADER, *rows])
    return tmp_path


def records(source: TsvSource, directory: Path, split: int) -> list[dict]:
    source.check(directory)
    parts = source.parts(directory, source.input_splits[split])
    return [record for part in parts for record in part.records()]


def found(source: TsvSource, directory: Path, split: int) -> Found:
    tally = Tally(source.counted_by)
    for part in source.parts(directory, source.input_splits[split]):
        list(tally.pass_on(part.records()))
    return tally.found


def test_cola_has_no_header_and_its_sentence_last(tmp_path: Path) -> None:
    write_tsv(tmp_path / "train.tsv", [("gj04", "1", "", "Fred watered the plants flat.")])
    write_tsv(tmp_path / "dev.tsv", [("gj04", "0", "*", "They drank the pub.")])
    assert records(COLA, tmp_path, 0)[0][TEXT_A] == b"Fred watered the plants flat."
    assert records(COLA, tmp_path, 1)[0][LABEL] == 0


def test_mrpc_is_read_as_glue_has_it(tmp_path: Path) -> None:
    for name in ("train.tsv", "dev.tsv"):
        write_tsv(tmp_path / name, [MRPC_HEADER, ("1", "702876", "702977", 'He "said" so.', "So he said.")])
    (record,) = records(MRPC, tmp_path, 0)
    assert (record[TEXT_A], record[TEXT_B], record[LABEL]) == (b'He "said" so.', b"So he said.", 1)


def test_mrpc_is_read_as_first_published_with_its_mark_and_line_ends(tmp_path: Path) -> None:
    original = MRPC.override({"original": True}, "source")
    row = b"\xef\xbb\xbf" + "\t".join(MRPC_HEADER).encode() + b"\r\n0\t1\t2\tA.\tB.\r\n"
    for split in original.input_splits:
        (tmp_path / split.pattern).write_bytes(row)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "msr_paraphrase_test.txt",
        "msr_paraphrase_train.txt",
    ]
    assert records(original, tmp_path, 1)[0][TEXT_B] == b"B."


def test_mnli_takes_its_label_from_the_last_column_however_many_there_are(mnli_dir: Path) -> None:
    (record,) = records(MNLI, mnli_dir, 0)
    assert (record[TEXT_A], record[TEXT_B], record[LABEL]) == (b'A "p".', b"A h.", 2)


def test_mnli_is_evaluated_on_both_dev_files_as_slices(mnli_dir: Path) -> None:
    got = [(record["domain"], record[LABEL]) for record in records(MNLI, mnli_dir, 1)]
    assert got == [(b"matched", 1), (b"mismatched", 0)]
    read = sorted(file.name for file in MNLI.evaluation_files)
    assert sorted(path.name for path in mnli_dir.glob(MNLI.input_splits[1].pattern)) == read


def test_xnli_is_trained_in_one_language_and_contradictory_is_a_contradiction(xnli_dir: Path) -> None:
    german = XNLI.override({"train_language": "de"}, "source")
    first, second = records(german, xnli_dir, 0)
    assert (first[TEXT_A], first["language"], first[LABEL]) == (b"P de", b"de", 0)
    assert second[LABEL] == 2
    assert records(XNLI, xnli_dir, 0)[0][TEXT_A] == b"P en"


@pytest.mark.parametrize(
    ("languages", "expected"), [((), [b"de", b"en", b"zh"]), (("zh", "de"), [b"de", b"zh"])]
)
def test_xnli_is_evaluated_in_the_wanted_languages(
    xnli_dir: Path, languages: tuple[str, ...], expected: list[bytes]
) -> None:
    source = XNLI.override({"eval_languages": languages}, "source")
    assert [record["language"] for record in records(source, xnli_dir, 1)] == expected


def test_a_wanted_language_without_rows_is_an_error(xnli_dir: Path) -> None:
    source = XNLI.override({"eval_languages": ("de", "fr")}, "source")
    source.check(xnli_dir)
    with pytest.raises(FormatError, match=r"xnli.dev.tsv: expected rows of language fr, got none"):
        source.check_found("xnli.dev.tsv", found(source, xnli_dir, 1))
    alone = XNLI.override({"eval_languages": ("fr",)}, "source")
    with pytest.raises(FormatError, match=r"xnli.dev.tsv: expected rows of language fr, got none"):
        alone.check(xnli_dir)


def test_rows_are_counted_by_language_where_languages_are_wanted(xnli_dir: Path) -> None:
    source = XNLI.override({"eval_languages": ("zh", "de")}, "source")
    assert found(source, xnli_dir, 1).good == {b"de": 1, b"zh": 1}
    source.check_found("multinli.train.en.tsv", found(source, xnli_dir, 0))
    assert XNLI.counted_by is None
    assert found(XNLI, xnli_dir, 1).good == {b"": 3}


def test_a_row_without_a_language_is_an_error(xnli_dir: Path) -> None:
    write_tsv(xnli_dir / "xnli.dev.tsv", [XNLI_HEADER, xnli_row("", "neutral")])
    with pytest.raises(FormatError, match=r"xnli.dev.tsv:2: expected a language, got none"):
        XNLI.check(xnli_dir)


def test_a_language_that_xnli_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"source.train_language: .*'zh', got 'xx'"):
        XNLI.override({"train_language": "xx"}, "source")


@pytest.mark.parametrize("source", [COLA, MRPC, MNLI, XNLI], ids=["cola", "mrpc", "mnli", "xnli"])
def test_the_executor_gets_every_setting(source: TsvSource) -> None:
    assert isinstance(source, Source)
    sent = json.loads(Reference.to(source).model_dump_json(), parse_int=float)
    assert Reference(**sent).load(Source) == source
    assert type(Reference(**sent).load(Source)) is type(source)


@pytest.mark.parametrize(
    ("source", "header", "row", "expected"),
    [
        (COLA, ("index", "sentence"), ("0", "Bill ran."), ("Bill ran.", None)),
        (MRPC, ("index", *MRPC_HEADER[1:]), ("0", "1", "2", "A.", "B."), ("A.", "B.")),
        (MNLI, MNLI_HEADER, mnli_row("x")[:-1], ('A "p".', "A h.")),
        (XNLI, XNLI_HEADER, xnli_row("zh", "neutral"), ("p zh", "h")),
        (XNLI, ("premise", "hypo", "label"), ("p", "h", "neutral"), ("p", "h")),
    ],
)
def test_test_files_are_read_without_their_labels(
    tmp_path: Path, source: TsvSource, header: tuple, row: tuple, expected: tuple
) -> None:
    write_tsv(tmp_path / "test.tsv", [header, row])
    assert list(source.read_unlabelled(tmp_path / "test.tsv")) == [expected]


def test_the_real_sentences_of_cola_are_all_read(real_data: Path) -> None:
    assert len(records(COLA, real_data / "cola", 0)) == 8551
    assert len(records(COLA, real_data / "cola", 1)) == 527
    small = COLA.override({"part_size_bytes": 10_000}, "source")
    assert records(small, real_data / "cola", 0) == records(COLA, real_data / "cola", 0)
    assert sum(1 for _ in COLA.read_unlabelled(real_data / "cola/dev.tsv")) == 527


def cola_rows(text: str) -> list[tuple[str, ...]]:
    return [("gj04", "1", "", text)]


def write_cola(directory: Path, text: str = "Bill ran.") -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("train.tsv", "dev.tsv"):
        write_tsv(directory / name, cola_rows(text))


def sources_files(source: TsvSource, directory: Path) -> list[str]:
    return sorted(data_digests(source, str(directory)))


def test_files_are_read_where_the_archives_unpack_them(
    tmp_path: Path, mnli_dir: Path, xnli_dir: Path
) -> None:
    write_cola(tmp_path / "glue/CoLA")
    assert records(COLA, tmp_path / "glue", 1)[0][TEXT_A] == b"Bill ran."
    assert sources_files(COLA, tmp_path / "glue") == ["CoLA/dev.tsv", "CoLA/train.tsv"]
    below = tmp_path / "below"
    for name, folder in (
        *((name, "MNLI") for name in ("train.tsv", "dev_matched.tsv", "dev_mismatched.tsv")),
        ("multinli.train.en.tsv", "XNLI-MT-1.0/multinli"),
        ("xnli.dev.tsv", "XNLI-1.0"),
    ):
        (below / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / name).rename(below / folder / name)
    assert len(records(MNLI, below, 1)) == 2
    assert len(records(XNLI, below, 1)) == 3
    assert sources_files(XNLI, below) == [
        "XNLI-1.0/xnli.dev.tsv",
        "XNLI-MT-1.0/multinli/multinli.train.en.tsv",
    ]


def test_a_file_that_is_in_both_places_is_named_unless_it_is_the_same(tmp_path: Path) -> None:
    write_cola(tmp_path)
    write_cola(tmp_path / "CoLA")
    assert sources_files(COLA, tmp_path) == ["dev.tsv", "train.tsv"]
    write_cola(tmp_path / "CoLA", "Bill slept.")
    with pytest.raises(FormatError) as caught:
        COLA.check(tmp_path)
    assert str(caught.value) == f"{tmp_path}: expected one file, got train.tsv and CoLA/train.tsv"


def test_a_folder_that_holds_a_file_of_its_own_name_is_that_file(tmp_path: Path) -> None:
    for name in ("train.tsv", "dev.tsv"):
        (tmp_path / name).mkdir()
        write_tsv(tmp_path / name / name, cola_rows("Bill ran."))
    assert records(COLA, tmp_path, 0)[0][TEXT_A] == b"Bill ran."


def test_the_files_of_cola_as_it_was_first_published_are_named(tmp_path: Path) -> None:
    for name in ("raw/in_domain_train.tsv", "raw/in_domain_dev.tsv", "tokenized/in_domain_train.tsv"):
        (tmp_path / "cola_public" / name).parent.mkdir(parents=True, exist_ok=True)
        write_tsv(tmp_path / "cola_public" / name, cola_rows("Bill ran."))
    with pytest.raises(
        FormatError, match=r"expected train.tsv, got only cola_public/raw/in_domain_train.tsv, "
    ):
        COLA.check(tmp_path)


def test_a_link_to_nothing_in_place_of_a_file_is_said_to_be_one(tmp_path: Path) -> None:
    write_cola(tmp_path)
    (tmp_path / "dev.tsv").unlink()
    (tmp_path / "dev.tsv").symlink_to("/nonexistent/x")
    with pytest.raises(FormatError, match=f"^{tmp_path}/dev.tsv: a link to nothing$"):
        COLA.check(tmp_path)
    (tmp_path / "CoLA").mkdir()
    write_tsv(tmp_path / "CoLA/dev.tsv", cola_rows("Bill ran."))
    COLA.check(tmp_path)


@pytest.mark.parametrize("folder", ["", "MSRParaphraseCorpus"])
def test_the_original_files_of_mrpc_are_found_without_a_setting(tmp_path: Path, folder: str) -> None:
    names = ["msr_paraphrase_test.txt", "msr_paraphrase_train.txt"]
    (tmp_path / folder).mkdir(exist_ok=True)
    for name in names:
        write_tsv(tmp_path / folder / name, [MRPC_HEADER, ("1", "1", "2", name, "B.")], byte_order_mark=True)
    assert records(MRPC, tmp_path, 0)[0][TEXT_A] == b"msr_paraphrase_train.txt"
    assert records(MRPC, tmp_path, 1)[0][TEXT_A] == b"msr_paraphrase_test.txt"
    assert sources_files(MRPC, tmp_path) == [str(Path(folder, name)) for name in names]
    MRPC.check_found("msr_paraphrase_test.txt", found(MRPC, tmp_path, 1))


def test_the_files_that_glue_made_of_mrpc_come_first(tmp_path: Path) -> None:
    for name in ("msr_paraphrase_train.txt", "msr_paraphrase_test.txt", "train.tsv", "dev.tsv"):
        write_tsv(tmp_path / name, [MRPC_HEADER, ("1", "1", "2", name, "B.")])
    assert sources_files(MRPC, tmp_path) == ["dev.tsv", "train.tsv"]
    (tmp_path / "dev.tsv").unlink()
    # Not half of one and half of the other: what is for training here is for evaluation there.
    with pytest.raises(FormatError, match=r"expected dev.tsv, got only .*train.tsv"):
        MRPC.check(tmp_path)
    (tmp_path / "train.tsv").unlink()
    (tmp_path / "msr_paraphrase_test.txt").unlink()
    with pytest.raises(
        FormatError, match=r"expected msr_paraphrase_test.txt, got only msr_paraphrase_train.txt"
    ):
        MRPC.check(tmp_path)
