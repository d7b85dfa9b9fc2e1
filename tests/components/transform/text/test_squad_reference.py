from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pytest
import tensorflow as tf
from bert_reference import basic_words
from squad_reference import Settings, Window, windows

from components.features import (
    ANSWER_STARTS,
    ANSWERS,
    CONTEXT,
    END_POSITIONS,
    PADDING_MASK,
    QUESTION,
    SEGMENT_IDS,
    START_POSITIONS,
    TOKEN_IDS,
)
from components.formats.squad import V2, Answer, Question, read_squad
from components.formats.vocabulary import SPECIAL_TOKENS
from components.transform.text.questions import Questions
from components.windows.padding import pad
from components.windows.spans import Spans
from pipelines.datasets.made_squad import make_squad

TOKENS = [*SPECIAL_TOKENS, "who", "rome", "fell", "##en", "e", "##n", "-", "."]


def vocabulary_of(questions: Sequence[Question]) -> list[str]:
    """Returns tokens for some words as a whole and for all others letter by letter."""
    texts = [text for question in questions for text in (question.question, question.context)]
    words = sorted({word for text in dict.fromkeys(texts) for word in basic_words(text, True)})
    letters = sorted(set("".join(words)))
    found = [*SPECIAL_TOKENS, *letters, *(f"##{letter}" for letter in letters), *words[::2]]
    return list(dict.fromkeys(found))


def found(
    questions: Sequence[Question], tokens: Sequence[str], folder: Path, spans: Spans | None = None
) -> Iterator[Window]:
    """Yields the windows that Transform and the trainer's input make of questions."""
    (folder / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    preprocessing = Questions(vocabulary=str(folder / "vocab.txt"))
    spans = (spans or Spans()).fitted_to(preprocessing)
    answers = [question.answers for question in questions]
    texts = tf.ragged.constant([[answer.text for answer in each] for each in answers], tf.string, 1)
    places = tf.ragged.constant([[answer.start for answer in each] for each in answers], tf.int64, 1)
    inputs = {
        QUESTION: tf.constant([question.question for question in questions]),
        CONTEXT: tf.constant([question.context for question in questions]),
        ANSWERS: texts.to_sparse(),
        ANSWER_STARTS: places.to_sparse(),
    }
    features = pad(preprocessing.preprocessing_fn(inputs))
    taken = spans.take(features, spans.places(features))
    keys = (TOKEN_IDS, SEGMENT_IDS, PADDING_MASK, START_POSITIONS, END_POSITIONS)
    for row in zip(*(taken[key].numpy().tolist() for key in keys), strict=True):
        yield Window(*row)


def test_windows_of_made_questions_are_those_of_the_original(tmp_path: Path) -> None:
    make_squad(tmp_path, version=V2)
    questions = list(islice(read_squad(tmp_path / "dev-v2.0.json"), 100))
    tokens = vocabulary_of(questions)
    settings = Settings({token: place for place, token in enumerate(tokens)}, True, 96, 32, 16)
    spans = Spans(max_sequence_length=96, stride=32, max_question_length=16)
    expected = [window for question in questions for window in windows(question, settings)]
    assert len(expected) > 2 * len(questions)
    assert list(found(questions, tokens, tmp_path, spans)) == expected


def test_windows_of_real_questions_are_those_of_the_original(real_data: Path, tmp_path: Path) -> None:
    questions = list(read_squad(real_data / "squad" / "dev-v1.1.json"))
    tokens = vocabulary_of(questions)
    settings = Settings({token: place for place, token in enumerate(tokens)})
    expected = [window for question in questions for window in windows(question, settings)]
    assert list(found(questions, tokens, tmp_path)) == expected


@pytest.mark.parametrize(
    ("context", "answer", "ours", "original"),
    [
        # Behind [CLS] who [SEP]. The same: punctuation beside an answer is none of it.
        ("Rome fell.", ("fell", 5), (4, 4), (4, 4)),
        ("Rome fell.", ("ome", 1), (3, 3), (3, 3)),
        # The end of a word that does not read as its pieces: there, all up to white space.
        ("Rome fellen.", ("en", 9), (5, 5), (4, 6)),
        # A text that is twice in a word: there, the first.
        ("Rome fell-fell.", ("fell", 10), (6, 6), (4, 4)),
        # Two words that the vocabulary lacks look the same: there, the first.
        ("Rome x-y.", ("y", 7), (6, 6), (4, 4)),
    ],
)
def test_where_an_answer_is_a_part_of_a_word_the_original_may_learn_another_part(
    tmp_path: Path, context: str, answer: tuple[str, int], ours: tuple[int, int], original: tuple[int, int]
) -> None:
    question = Question("", "1", "", context, "Who", (Answer(*answer),), False)
    settings = Settings({token: place for place, token in enumerate(TOKENS)})
    (here,), (there,) = found([question], TOKENS, tmp_path), windows(question, settings)
    assert (here.start_position, here.end_position) == ours
    assert (there.start_position, there.end_position) == original
    assert here[:3] == there[:3]


def test_an_empty_context_has_a_window_here_and_none_in_the_original(tmp_path: Path) -> None:
    question = Question("", "1", "", "", "Who", (), True)
    (here,) = found([question], TOKENS, tmp_path)
    assert here.token_ids[:3] == [TOKENS.index(token) for token in ("[CLS]", "who", "[SEP]")]
    assert list(windows(question, Settings({}))) == []
