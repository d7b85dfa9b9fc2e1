from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from components.asking.images import ImageAsking
from components.asking.masked_words import FillMask
from components.asking.questions import QuestionAsking
from components.asking.scores import ScoreAsking
from components.asking.texts import TextAsking
from components.protocols import Question, Reply


def reply(prediction: str = "yes", yes: float = 0.75) -> Reply:
    shares = {"yes": yes, "no": 1 - yes}
    values = {"prediction": prediction, "probability": shares[prediction], "probabilities": shares}
    return Reply("", values, "", {})


def texts(question: Question, key: str) -> list[str]:
    return [text.decode() for text in question.inputs[key]]


def test_a_text_is_asked_about_whole_and_without_each_word() -> None:
    question = Question("text", {"text_a": np.array([b"The cat sat."], object)}, ["The cat sat."])
    found = TextAsking().occluded(question, reply())
    assert texts(found.question, "text_a") == ["The cat sat.", " cat sat.", "The sat.", "The cat"]
    assert found.parts == {"text_a": ["The", " cat", " sat."]}


def test_of_a_pair_the_words_of_both_are_left_out_one_by_one() -> None:
    inputs = {"text_a": np.array([b"a b"], object), "text_b": np.array([b"c"], object)}
    asking = TextAsking(text_features=("text_a", "text_b"))
    found = asking.occluded(Question("text", inputs, ["a b | c"]), reply())
    pairs = list(zip(texts(found.question, "text_a"), texts(found.question, "text_b"), strict=True))
    assert pairs == [("a b", "c"), (" b", "c"), ("a", "c"), ("a b", "")]


def test_of_a_long_text_some_words_at_once_are_left_out() -> None:
    text = " ".join(["word"] * 65).encode()
    found = TextAsking().occluded(Question("text", {"text_a": np.array([text], object)}, [""]), reply())
    parts = found.parts["text_a"]
    assert parts[0] == "word word"
    assert (len(parts), "".join(parts)) == (33, text.decode())


def test_a_picture_is_asked_about_whole_and_without_each_square() -> None:
    content = io.BytesIO()
    Image.new("L", (28, 28), 255).save(content, "PNG")
    question = Question("png", {"png_bytes": np.array([content.getvalue()], object)}, ["digit.png"])
    found = ImageAsking().occluded(question, reply())
    images = found.question.inputs["image"]
    assert (found.question.signature, images.shape, found.parts) == ("classify", (50, 28, 28), {})
    assert images[0].min() == 1.0
    # The second square from the left at the top: 28 / 7 pixels along each side.
    assert (images[2] == 0).sum() == 16
    assert images[2, :4, 4:8].max() == 0.0
    assert Image.open(io.BytesIO(found.picture)).getextrema() == (255, 255)


def test_what_is_lost_is_counted_for_the_first_prediction() -> None:
    question = Question("text", {"text_a": np.array([b"a b"], object)}, ["a b"])
    replies = [reply("yes", 0.75), reply("no", 0.25), reply("yes", 1.0)]
    found = TextAsking().occluded(question, replies[0])
    assert found.drops(replies) == pytest.approx([0.5, -0.25])
    assert (found.measure, found.is_share) == ("probability", True)


def test_of_a_score_it_is_the_score_that_changes() -> None:
    question = Question("text", {"text_a": np.array([b"a b"], object)}, ["a b"])
    replies = [Reply("", {"score": score}, "", {}) for score in (4.0, 1.5, 4.5)]
    found = ScoreAsking().occluded(question, replies[0])
    assert found.drops(replies) == [2.5, -0.5]
    assert (found.measure, found.is_share) == ("score", False)


def answered(answer: str, start: int, *best: tuple[str, float]) -> Reply:
    spans = [{"answer": text, "score": score} for text, score in best]
    values = {"answer": answer, "start": start, "end": start + len(answer), "n_best": spans}
    return Reply("", values, "", {})


QUESTION = Question(
    "answer",
    {"question": np.array([b"Who fell?"], object), "context": np.array(["Oh, Zoë fell.".encode()], object)},
    ["Who fell?"],
)


def test_the_words_of_an_answer_are_left_in_its_context() -> None:
    found = QuestionAsking().occluded(QUESTION, answered("Zoë", 4, ("Zoë", 0.5)))
    assert texts(found.question, "context") == [
        *["Oh, Zoë fell."] * 3, " Zoë fell.", "Oh, Zoë fell.", "Oh, Zoë"
    ]  # fmt: skip
    assert texts(found.question, "question") == ["Who fell?", " fell?", "Who", *["Who fell?"] * 3]
    assert found.parts == {"question": ["Who", " fell?"], "context": ["Oh,", " Zoë", " fell."]}


def test_an_answer_is_as_probable_as_all_spans_with_its_words() -> None:
    whole = answered("Zoë", 4, ("Zoë", 0.5), ("Oh", 0.25))
    others = [answered("Oh", 0, ("Oh", 0.75)), answered("Zoë", 0, ("Zoë", 0.5), ("Zoë", 0.25)), whole]
    drops = QuestionAsking().occluded(QUESTION, whole).drops([whole, *others])
    assert drops == [0.5, -0.25, 0.0]


def test_no_answer_is_as_probable_as_the_best_spans_are_not() -> None:
    whole = answered("", 0, ("Zoë", 0.25))
    found = QuestionAsking().occluded(QUESTION, whole)
    # Nothing is to be left in.
    assert texts(found.question, "context")[4] == "Oh, fell."
    assert found.drops([whole, answered("Zoë", 4, ("Zoë", 0.75), ("Oh", 0.125))]) == [0.625]


def filled(*masks: tuple[str, float]) -> Reply:
    values = {"masks": [[{"token": token, "probability": share}] for token, share in masks]}
    return Reply("", values, "", {})


def test_masked_words_are_left_in_and_the_mean_of_their_best_tokens_counts() -> None:
    question = Question("fill_mask", {"text": np.array([b"It [MASK] and [MASK]."], object)}, [""])
    whole = filled(("sat", 0.5), ("ran", 0.75))
    found = FillMask().occluded(question, whole)
    assert texts(found.question, "text") == [
        "It [MASK] and [MASK].",
        " [MASK] and [MASK].",
        "It [MASK] and [MASK].",
        "It [MASK] [MASK].",
        "It [MASK] and [MASK].",
    ]
    # (0.5 + 0.75) / 2 less (0.25 + 0) / 2.
    assert found.drops([whole, filled(("sat", 0.25), ("sat", 0.5))]) == [0.5]
