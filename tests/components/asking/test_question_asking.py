import json
from pathlib import Path

import numpy as np
import pytest

from components.asking.questions import NoContext, QuestionAsking
from components.protocols import Asking, Given

ASKING = QuestionAsking()
OUTPUTS = {
    "answer": np.array(["Höhe".encode(), b""], object),
    "score": np.array([0.75, 0.5]),
    "start": np.array([3, 0]),
    "end": np.array([7, 0]),
    "null_odds": np.array([-2.0, 3.0]),
    "is_impossible": np.array([0, 1]),
    "n_best_answers": np.array([["Höhe".encode(), b""], [b"", b""]], object),
    "n_best_scores": np.array([[0.75, 0.0], [0.0, 0.0]]),
}


def test_every_question_is_asked_of_the_context() -> None:
    assert isinstance(ASKING, Asking)
    (question,) = ASKING.questions(Given(["Who?", "Why?"], fields={"context": "Zoë fell."}))
    assert question.signature == "answer"
    assert question.names == ["Who?", "Why?"]
    assert question.inputs["question"].tolist() == [b"Who?", b"Why?"]
    assert question.inputs["context"].tolist() == ["Zoë fell.".encode()] * 2


def test_a_context_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("From a file.")
    (question,) = ASKING.questions(Given(["Who?"], fields={"context": f"@{tmp_path}/text.txt"}))
    assert question.inputs["context"].tolist() == [b"From a file."]
    with pytest.raises(NoContext, match=r"none.txt: cannot be read"):
        list(ASKING.questions(Given(["Who?"], fields={"context": f"@{tmp_path}/none.txt"})))


def test_the_questions_of_a_file_have_their_own_contexts(tmp_path: Path) -> None:
    lines = [{"id": n, "question": f"{n}?", "context": f"{n} is it.", "answers": []} for n in "ab"]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (question,) = ASKING.questions(Given(rows=path))
    assert question.inputs["context"].tolist() == [b"a is it.", b"b is it."]


@pytest.mark.parametrize("given", [Given(["Who?"]), Given()])
def test_a_question_needs_a_context_and_a_context_a_question(given: Given) -> None:
    with pytest.raises(NoContext, match="expected"):
        list(ASKING.questions(given))


def test_answers_and_their_absence_are_told() -> None:
    found, nothing = ASKING.replies(["Who?", "Why?"], OUTPUTS)
    assert found.sentence == 'Answer is "Höhe" (75.0%).'
    assert found.values == {
        "answer": "Höhe",
        "score": 0.75,
        "start": 3,
        "end": 7,
        "null_odds": -2.0,
        "is_impossible": False,
        "n_best": [{"answer": "Höhe", "score": 0.75}],
    }
    assert nothing.sentence == "The text does not say."
    assert nothing.cells == {"answer": "–", "score>": "50.0%"}


def test_outputs_of_another_family_are_named() -> None:
    with pytest.raises(NoContext, match="expected outputs answer and score, got classes"):
        list(ASKING.replies(["Who?"], {"classes": np.zeros(1)}))
