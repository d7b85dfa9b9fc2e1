from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from components.asking import occlusion
from components.asking.images import ImageAsking
from components.asking.texts import TextAsking
from components.protocols import Question, Reply


def texts(question: Question, key: str) -> list[str]:
    return [text.decode() for text in question.inputs[key]]


def test_a_text_is_asked_about_whole_and_without_each_word() -> None:
    question = Question("text", {"text_a": np.array([b"The cat sat."], object)}, ["The cat sat."])
    found = TextAsking().occluded(question)
    assert texts(found.question, "text_a") == ["The cat sat.", " cat sat.", "The sat.", "The cat"]
    assert found.parts == ["The", " cat", " sat."]


def test_of_a_pair_the_words_of_both_are_left_out_one_by_one() -> None:
    inputs = {"text_a": np.array([b"a b"], object), "text_b": np.array([b"c"], object)}
    found = TextAsking(text_features=("text_a", "text_b")).occluded(Question("text", inputs, ["a b | c"]))
    pairs = list(zip(texts(found.question, "text_a"), texts(found.question, "text_b"), strict=True))
    assert pairs == [("a b", "c"), (" b", "c"), ("a", "c"), ("a b", "")]


def test_of_a_long_text_some_words_at_once_are_left_out() -> None:
    text = " ".join(["word"] * 65).encode()
    found = TextAsking().occluded(Question("text", {"text_a": np.array([text], object)}, [""]))
    assert found.parts[0] == "word word"
    assert (len(found.parts), "".join(found.parts)) == (33, text.decode())


def test_a_picture_is_asked_about_whole_and_without_each_square() -> None:
    content = io.BytesIO()
    Image.new("L", (28, 28), 255).save(content, "PNG")
    question = Question("png", {"png_bytes": np.array([content.getvalue()], object)}, ["digit.png"])
    found = ImageAsking().occluded(question)
    images = found.question.inputs["image"]
    assert (found.question.signature, images.shape, found.parts) == ("classify", (50, 28, 28), ())
    assert images[0].min() == 1.0
    # The second square from the left at the top: 28 / 7 pixels along each side.
    assert (images[2] == 0).sum() == 16
    assert images[2, :4, 4:8].max() == 0.0


def test_what_is_lost_is_counted_for_the_first_prediction() -> None:
    def reply(prediction: str, yes: float) -> Reply:
        shares = {"yes": yes, "no": 1 - yes}
        values = {"prediction": prediction, "probability": shares[prediction], "probabilities": shares}
        return Reply("", values, "", {})

    replies = [reply("yes", 0.75), reply("no", 0.25), reply("yes", 1.0)]
    assert occlusion.drops(replies) == pytest.approx([0.5, -0.25])
