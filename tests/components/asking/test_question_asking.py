import json
from pathlib import Path

import numpy as np
import pytest

from components.asking.questions import NoContext, QuestionAsking, marked
from components.protocols import Asking, Given, Question, WritesFiles

ASKING = QuestionAsking()
TEXT = "Es ist kalt. Die Höhe ist 3 m. Gut."
# Signature, inputs, names.
ASKED = Question("answer", {"context": np.array([TEXT.encode()] * 2, object)}, ["Who?", "Why?"])
OUTPUTS = {
    "answer": np.array(["Höhe".encode(), b""], object),
    "best_answer": np.array(["Höhe".encode(), b"3"], object),
    "score": np.array([0.75, 0.5]),
    "start": np.array([17, 0]),
    "end": np.array([21, 0]),
    "null_odds": np.array([-2.0, 3.0]),
    "is_impossible": np.array([0, 1]),
    "null_start_logit": np.array([0.5, 2.0]),
    "null_end_logit": np.array([0.5, 1.0]),
    "n_best_answers": np.array([["Höhe".encode(), b""], [b"3", b""]], object),
    "n_best_scores": np.array([[0.75, 0.0], [0.25, 0.0]]),
    "n_best_starts": np.array([[17, 0], [26, 0]]),
    "n_best_ends": np.array([[21, 0], [27, 0]]),
    "n_best_start_logits": np.array([[2.0, 0.0], [-1.0, 0.0]]),
    "n_best_end_logits": np.array([[1.0, 0.0], [1.0, 0.0]]),
}


def test_every_question_is_asked_of_the_context() -> None:
    assert isinstance(ASKING, Asking)
    (question,) = ASKING.questions(Given(["Who?", "Why?"], fields={"context": "Zoë fell."}))
    assert question.signature == "answer"
    assert question.names == ["Who?", "Why?"]
    assert question.inputs["question"].tolist() == [b"Who?", b"Why?"]
    assert question.inputs["context"].tolist() == ["Zoë fell.".encode()] * 2


def test_the_sample_can_be_asked() -> None:
    (question,) = ASKING.questions(ASKING.sample)
    assert ASKING.sample.fields.keys() == set(ASKING.fields)
    assert question.names == list(ASKING.sample.inputs)


@pytest.mark.parametrize("as_input", [True, False])
def test_the_questions_of_a_file_have_their_own_contexts_and_ids(tmp_path: Path, as_input: bool) -> None:
    lines = [{"id": n, "question": f"{n}?", "context": f"{n} is it.", "answers": []} for n in "ab"]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (question,) = ASKING.questions(Given([str(path)]) if as_input else Given(rows=path))
    assert question.inputs["context"].tolist() == [b"a is it.", b"b is it."]
    assert question.ids == ["a", "b"]
    (second,) = [question.rows(1, 2)]
    assert (second.names, second.ids) == (["b?"], ["b"])
    assert second.inputs["context"].tolist() == [b"b is it."]


def test_questions_whose_answers_nobody_knows_can_be_asked(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text('{"question": "Who?", "context": "Zoë fell."}\n', encoding="utf-8")
    (question,) = ASKING.questions(Given([str(path)]))
    assert (question.names, question.ids) == (["Who?"], ["1"])


@pytest.mark.parametrize("given", [Given(["Who?"]), Given()])
def test_a_question_needs_a_context_and_a_context_a_question(given: Given) -> None:
    with pytest.raises(NoContext, match="expected"):
        list(ASKING.questions(given))


def test_answers_and_their_absence_are_told() -> None:
    found, nothing = ASKING.replies(ASKED, OUTPUTS)
    assert found.sentence == 'Answer is "Höhe" (75.0%): Die [Höhe] ist 3 m.'
    assert found.values == {
        "answer": "Höhe",
        "best_answer": "Höhe",
        "score": 0.75,
        "start": 17,
        "end": 21,
        "null_odds": -2.0,
        "is_impossible": False,
        "null_start_logit": 0.5,
        "null_end_logit": 0.5,
        "n_best": [
            {"answer": "Höhe", "score": 0.75, "start": 17, "end": 21, "start_logit": 2.0, "end_logit": 1.0}
        ],
    }
    assert nothing.sentence == "The text does not say (50.0%)."
    assert nothing.cells == {"answer": "–", "score>": "50.0%"}
    assert [each["answer"] for each in nothing.values["n_best"]] == ["3"]


def test_a_row_of_a_file_is_told_with_its_id_and_texts_may_be_those_of_json() -> None:
    texts = {name: [values[0]] for name, values in OUTPUTS.items()}
    texts |= {"answer": ["Höhe"], "n_best_answers": np.array([["Höhe", ""]])}
    (reply,) = ASKING.replies(ASKED.rows(0, 1)._replace(ids=["q7"]), texts)
    assert (reply.values["id"], reply.values["answer"]) == ("q7", "Höhe")
    assert [each["answer"] for each in reply.values["n_best"]] == ["Höhe"]


@pytest.mark.parametrize(
    ("context", "answer", "shown"),
    [
        (TEXT, "Höhe", "Die [Höhe] ist 3 m."),
        (TEXT, "Es", "[Es] ist kalt."),
        (TEXT, "Gut.", "[Gut.]"),
        # Over the end of a sentence; white space is one space.
        ("It\trained. We left\nat 3", "rained. We", "It [rained. We] left"),
        (f"{'a ' * 100}b{' c' * 100}", "b", f"… {'a ' * 60}[b]{' c' * 60} …"),
        ('"Stop!" he said. Then', "he", "[he] said."),
    ],
)
def test_an_answer_is_marked_in_its_sentence(context: str, answer: str, shown: str) -> None:
    start = context.index(answer)
    assert marked(context, start, start + len(answer)) == shown


def test_answers_are_written_for_the_evaluation_of_squad(tmp_path: Path) -> None:
    assert isinstance(ASKING, WritesFiles)
    with ASKING.writing(tmp_path) as add:
        for reply in ASKING.replies(ASKED._replace(ids=["q1", "q2"]), OUTPUTS):
            add(reply)
        assert not list(tmp_path.glob("*.json"))
    written = {path.name: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert written["predictions.json"] == {"q1": "Höhe", "q2": ""}
    assert written["null_odds.json"] == {"q1": -2.0, "q2": 3.0}
    assert [entry["text"] for entry in written["nbest_predictions.json"]["q2"]] == ["3", ""]
    assert len(written) == 3


def test_outputs_of_another_family_are_named() -> None:
    with pytest.raises(NoContext, match=r"expected outputs answer, .*, got classes"):
        list(ASKING.replies(ASKED, {"classes": np.zeros(1)}))
