from pathlib import Path

import numpy as np
import pytest

from components.asking.masked_words import FillMask, NoMask, filled
from components.features import SENTENCES
from components.formats.errors import FormatError
from components.protocols import Asking, Given, Question, TakesFiles

ASKING = FillMask()
ASKED = Question(
    "fill_mask",
    {"text": np.array([b"It [MASK] [MASK].", b"[MASK] sat."], object)},
    ["It [MASK] [MASK].", "[MASK] sat."],
)
# [batch, masks, k]; "" fills up.
OUTPUTS = {
    "tokens": np.array(
        [[[b"walk", "läuft".encode()], [b"##ed", b"on"]], [[b"it", b"he"], [b"", b""]]], object
    ),
    "probabilities": np.array([[[0.5, 0.25], [0.75, 0.125]], [[0.9, 0.05], [0.0, 0.0]]], np.float32),
}


def test_all_texts_are_asked_about_at_once() -> None:
    assert isinstance(ASKING, Asking)
    (question,) = ASKING.questions(Given(["It [MASK]."], texts=["李[MASK][MASK]"]))
    assert question.signature == "fill_mask"
    assert question.names == ["It [MASK].", "李[MASK][MASK]"]
    assert question.inputs["text"].tolist() == [b"It [MASK].", "李[MASK][MASK]".encode()]


def test_the_sample_can_be_asked() -> None:
    (question,) = ASKING.questions(ASKING.sample)
    assert question.names == list(ASKING.sample.inputs)


@pytest.mark.parametrize("text", ["It sat.", "It [mask].", "It <mask>.", "[MASK", ""])
def test_a_text_without_a_mask_is_refused(text: str) -> None:
    with pytest.raises(NoMask) as raised:
        list(ASKING.questions(Given(["It [MASK].", text])))
    assert str(raised.value) == f"expected [MASK] in the text, in place of a word, got {text!r}"


def test_a_text_that_is_no_utf_8_and_a_file_of_rows_are_refused() -> None:
    with pytest.raises(FormatError, match=r"^caf\? \[MASK\]: expected UTF-8, got other bytes$"):
        list(ASKING.questions(Given(["caf\udce9 [MASK]"])))
    with pytest.raises(NoMask, match=r"^--pairs rows\.tsv: expected a text with \[MASK\] in place of words"):
        list(ASKING.questions(Given(rows=Path("rows.tsv"))))


def test_a_text_that_names_a_file_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "[MASK]"
    path.touch()
    list(ASKING.questions(Given([str(path)])))
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: is a file, but its name is asked about as a text; --text says that it is meant"
    ]


def test_the_best_words_are_told_in_the_text_and_below_it_all_of_them() -> None:
    two, one = ASKING.replies(ASKED, OUTPUTS)
    assert two.sentence == "It [walk][ed].\n1. walk 50.0%, läuft 25.0%\n2. ##ed 75.0%, on 12.5%"
    assert one.sentence == "[it] sat.\nit 90.0%, he 5.0%"
    assert two.values == {
        "filled": "It walked.",
        "masks": [
            [{"token": "walk", "probability": 0.5}, {"token": "läuft", "probability": 0.25}],
            [{"token": "##ed", "probability": 0.75}, {"token": "on", "probability": 0.125}],
        ],
    }
    assert len(one.values["masks"]) == 1
    assert two.cells == {
        "filled in": "walk | ##ed", "probability>": "50.0% | 75.0%", "others": "läuft 25.0% | on 12.5%"
    }  # fmt: skip
    assert one.cells == {"filled in": "it", "probability>": "90.0%", "others": "he 5.0%"}


def test_texts_may_be_those_of_json() -> None:
    outputs = {"tokens": np.array([[["läuft", ""]]]), "probabilities": np.array([[[0.5, 0.0]]])}
    (reply,) = ASKING.replies(Question("fill_mask", {}, ["Es [MASK]"]), outputs)
    assert reply.values["masks"] == [[{"token": "läuft", "probability": 0.5}]]
    assert reply.sentence == "Es [läuft]\nläuft 50.0%"


@pytest.mark.parametrize(
    ("text", "words", "wanted"),
    [
        ("He walk [MASK] up [MASK].", ["##ed", "hills"], "He walked up hills."),
        ("[MASK][MASK]", ["un", "##kind"], "unkind"),
        ("[MASK]", ["##s"], "s"),
        ("a {} [MASK]", ["{}"], "a {} {}"),
    ],
)
def test_a_later_piece_goes_with_the_word_before_it(text: str, words: list[str], wanted: str) -> None:
    assert filled(text, words) == wanted


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("Anna is a baker in Arden.", "Anna is a [MASK] in Arden."),
        ("Zoë fell, softly.", "Zoë [MASK], softly."),
        ("Stop!", "[MASK]!"),
        ("…", "She has two black [MASK] near the river."),
    ],
)
def test_a_first_question_masks_the_middle_word_of_an_example(sentence: str, wanted: str) -> None:
    assert isinstance(ASKING, TakesFiles)
    record = {SENTENCES: [sentence.encode(), b"More."]}
    assert ASKING.written(record, Path("pretraining")).inputs == [wanted]


def test_outputs_of_another_family_are_named() -> None:
    with pytest.raises(NoMask, match="expected outputs probabilities, tokens, got classes"):
        list(ASKING.replies(ASKED, {"classes": np.zeros(1)}))
