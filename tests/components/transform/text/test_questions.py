from pathlib import Path

import numpy as np
import pytest

from components.features import (
    ANSWER_FIRST,
    ANSWER_LAST,
    ANSWER_STARTS,
    ANSWERS,
    CONTEXT,
    CONTEXT_ENDS,
    CONTEXT_IDS,
    CONTEXT_LENGTHS,
    CONTEXT_STARTS,
    QUESTION,
    QUESTION_IDS,
    QUESTION_LENGTHS,
)
from components.transform.text.questions import Questions

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "who", "?", "rome", "fell", "##en", ".", "zoe"]


@pytest.fixture
def questions(tmp_path: Path) -> Questions:
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENS), encoding="utf-8")
    return Questions(vocabulary=str(tmp_path / "vocab.txt"))


def features(questions: Questions, context: str, answers: list[str], starts: list[int]) -> dict:
    import tensorflow as tf

    positions = tf.constant(starts, tf.int64)
    inputs = {
        QUESTION: tf.constant(["Who?"]),
        CONTEXT: tf.constant([context]),
        ANSWERS: tf.sparse.from_dense(tf.constant([answers], tf.string, shape=(1, len(answers)))),
        ANSWER_STARTS: tf.RaggedTensor.from_row_lengths(positions, [len(starts)]).to_sparse(),
    }
    return {key: value.numpy() for key, value in questions.preprocessing_fn(inputs).items()}


def test_pieces_know_where_in_the_context_they_are(questions: Questions) -> None:
    # Code points: "Zoë" has three and its lower case without the accent is one piece.
    found = features(questions, "Zoë fellen.", ["fellen"], [4])
    assert found[QUESTION_IDS].tolist() == [[5, 6]]
    assert found[CONTEXT_IDS].tolist() == [[11, 8, 9, 10]]
    assert found[CONTEXT_STARTS].tolist() == [[0, 4, 8, 10]]
    assert found[CONTEXT_ENDS].tolist() == [[3, 8, 10, 11]]
    assert (found[QUESTION_LENGTHS].tolist(), found[CONTEXT_LENGTHS].tolist()) == ([2], [4])
    assert found[CONTEXT].tolist() == ["Zoë fellen.".encode()]


@pytest.mark.parametrize(
    ("answer", "start", "first", "last"),
    [("Rome", 0, 0, 0), ("Rome fell", 0, 0, 1), ("fell.", 5, 1, 2), ("ome fe", 1, 0, 1)],
)
def test_the_pieces_of_an_answer_are_all_that_hold_a_part_of_it(
    questions: Questions, answer: str, start: int, first: int, last: int
) -> None:
    found = features(questions, "Rome fell.", [answer], [start])
    assert (found[ANSWER_FIRST].tolist(), found[ANSWER_LAST].tolist()) == ([first], [last])


def test_the_first_of_several_answers_is_learned(questions: Questions) -> None:
    found = features(questions, "Rome fell.", ["fell", "Rome"], [5, 0])
    assert (found[ANSWER_FIRST].tolist(), found[ANSWER_LAST].tolist()) == ([1], [1])


def test_a_question_without_an_answer_has_no_pieces_of_one(questions: Questions) -> None:
    found = features(questions, "Rome fell.", [], [])
    assert (found[ANSWER_FIRST].tolist(), found[ANSWER_LAST].tolist()) == ([-1], [-1])


def test_an_empty_context_has_no_pieces(questions: Questions) -> None:
    found = features(questions, "", [], [])
    assert found[CONTEXT_LENGTHS].tolist() == [0]
    assert found[ANSWER_FIRST].tolist() == [-1]


def test_a_request_holds_both_texts_and_no_answers(questions: Questions) -> None:
    request = questions.requests()["answer"]
    assert list(request.inputs) == [QUESTION, CONTEXT]
    texts = {QUESTION: np.array([b"Who?"]), CONTEXT: np.array([b"Rome."])}
    assert request.from_raw({**texts, ANSWERS: 1}) == texts
    assert request.to_raw(texts) == texts
