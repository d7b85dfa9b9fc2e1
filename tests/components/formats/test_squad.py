"""SQuAD's JSON and JSON Lines: what is read, what is refused and where, and where answers are."""

import contextlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.formats.errors import FormatError
from components.formats.squad import V2, Answer, Located, Question, locate, read_squad, write_squad

CONTEXT = "𝔘lm 🦆 lies on the Danube. Its capital, Bạch Đằng, does not."
GOOD = {"id": "a", "question": "Where?", "answers": [{"text": "the Danube", "answer_start": 14}]}


def squad(*qas: Any, context: Any = CONTEXT, **rest: Any) -> dict[str, Any]:
    """A file of one paragraph."""
    return {"data": [{"title": "Ulm", "paragraphs": [{"context": context, "qas": list(qas)}]}], **rest}


def write(path: Path, content: Any) -> Path:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(text)
    return path


def read(path: Path, content: Any) -> list[Question]:
    return list(read_squad(write(path, content)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dev.json"


def question(number: int, **changes: Any) -> Question:
    return Question(
        where="",
        id=f"q{number}",
        title="Ulm",
        context=CONTEXT,
        question=f"Wo, „{number}“?",
        answers=(Answer("the Danube", 14), Answer("Danube", 18)),
        is_impossible=False,
    )._replace(**changes)


def test_a_question_is_read_with_its_place_title_and_context(path: Path) -> None:
    (found,) = read(path, squad(GOOD, version="1.1"))
    assert found == Question(
        where=f"{path}: data[0].paragraphs[0].qas[0]",
        id="a",
        title="Ulm",
        context=CONTEXT,
        question="Where?",
        answers=(Answer("the Danube", 14),),
        is_impossible=False,
    )


def test_what_is_written_is_read_again_in_order(path: Path) -> None:
    questions = [
        *(question(i) for i in range(3)),
        question(3, context="Another one, the Danube."),
        question(4, title="", is_impossible=True, answers=()),
        question(5, title="Back again"),
    ]
    write_squad(path, questions, V2)
    assert [found._replace(where="") for found in read_squad(path)] == questions
    content = json.loads(path.read_text())
    assert [len(article["paragraphs"]) for article in content["data"]] == [2, 1, 1]
    assert "is_impossible" not in write_and_load(path, [question(0)])["data"][0]["paragraphs"][0]["qas"][0]
    assert [file.name for file in path.parent.iterdir()] == ["dev.json"]


def write_and_load(path: Path, questions: list[Question]) -> dict[str, Any]:
    write_squad(path, questions)
    return json.loads(path.read_text())


def test_an_impossible_question_has_no_answers_not_even_plausible_ones(path: Path) -> None:
    qa = {**GOOD, "is_impossible": True, "answers": [], "plausible_answers": GOOD["answers"]}
    (found,) = read(path, squad(qa))
    assert (found.is_impossible, found.answers) == (True, ())


@pytest.mark.parametrize(
    ("marks", "is_impossible"),
    [({}, True), ({"is_impossible": False}, False), ({"is_impossible": None}, True)],
)
def test_a_question_without_answers_is_impossible_unless_the_file_says_otherwise(
    path: Path, marks: dict[str, Any], is_impossible: bool
) -> None:
    (found,) = read(path, squad({**GOOD, "answers": [], **marks}))
    assert (found.is_impossible, found.answers) == (is_impossible, ())


def test_a_whole_number_as_an_id_and_no_title_are_taken(path: Path) -> None:
    content = squad({**GOOD, "id": 7})
    del content["data"][0]["title"]
    (found,) = read(path, content)
    assert (found.id, found.title) == ("7", "")


def test_the_order_of_keys_a_byte_order_mark_and_other_keys_do_not_matter(path: Path) -> None:
    content = json.dumps({"version": {"of": [1, {"data": 3}]}, **squad(GOOD), "more": [None, 1.5]}).encode()
    assert len(read(path, b"\xef\xbb\xbf" + content)) == 1


def test_json_lines_have_a_question_each(path: Path) -> None:
    lines = [
        {"context": CONTEXT, **GOOD},
        {"context": CONTEXT, "question": "Who?", "answers": {"text": ["Ulm", "lm"], "answer_start": [0, 1]}},
        {"question": "Why?", "context": "Because.", "answers": [], "title": "T", "id": 5},
    ]
    first, second, third = read(path, "\n\n".join(map(json.dumps, lines)).encode() + b"\r\n")
    assert (first.where, first.id) == (f"{path}: line 1", "a")
    assert (second.where, second.id) == (f"{path}: line 3", "3")
    assert second.answers == (Answer("Ulm", 0), Answer("lm", 1))
    assert (third.id, third.title, third.is_impossible) == ("5", "T", True)


PLACE = "data[0].paragraphs[0].qas[0]"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected JSON, got: parse error: premature EOF"),
        (b" \n", "expected JSON, got: parse error: premature EOF"),
        ([1], "expected an object, got a list"),
        (3, "expected an object, got a whole number 3"),
        ({}, "expected an object with data, or with question and context, got one without"),
        ({"data": {"item": 3}}, "data: expected a list, got an object"),
        ({"data": "x"}, "data: expected a list, got text 'x'"),
        ({"data": []}, "expected at least one question, got none"),
        (squad(), "expected at least one question, got none"),
        ({"data": [3]}, "data[0]: expected an object, got a whole number 3"),
        ({"data": [{"title": "t"}]}, "data[0].paragraphs: expected a list, got nothing"),
        ({"data": [{"title": 1, "paragraphs": []}]}, "data[0].title: expected text, got a whole number 1"),
        (squad(GOOD, context=None), "data[0].paragraphs[0].context: expected text, got null"),
        (squad([]), f"{PLACE}: expected an object, got a list"),
        (squad({"id": "a"}), f"{PLACE}.answers: expected a list, got nothing"),
        (squad({**GOOD, "id": True}), f"{PLACE}.id: expected text or a whole number, got true or false"),
        (squad({**GOOD, "answers": "x"}), f"{PLACE}.answers: expected a list, got text 'x'"),
        (squad({**GOOD, "question": 1.5}), f"{PLACE}.question: expected text, got a number 1.5"),
        (
            squad({**GOOD, "is_impossible": "no"}),
            f"{PLACE}.is_impossible: expected true or false, got text 'no'",
        ),
        (
            squad({**GOOD, "answers": [{"text": "x", "answer_start": True}]}),
            f"{PLACE}.answers[0].answer_start: expected a whole number, got true or false",
        ),
        (
            squad({**GOOD, "answers": {"text": ["x"], "answer_start": []}}),
            f"{PLACE}.answers.answer_start: expected as many as texts, 1, got 0",
        ),
        (
            squad({**GOOD, "answers": [{"text": "x"}]}),
            f"{PLACE}.answers[0].answer_start: expected a whole number, got nothing",
        ),
    ],
)
def test_what_is_wrong_is_one_line_with_the_file_and_the_element(
    path: Path, content: Any, message: str
) -> None:
    with pytest.raises(FormatError) as caught:
        read(path, content)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"context": "c", **GOOD}, 3], "line 2: expected an object, got a whole number 3"),
        ([{"context": "c", **GOOD}, {"context": "c"}], "line 2.answers: expected a list, got nothing"),
        ([{"question": "q", "answers": []}], "line 1.context: expected text, got nothing"),
    ],
)
def test_a_wrong_line_is_named(path: Path, lines: list[Any], message: str) -> None:
    with pytest.raises(FormatError) as caught:
        read(path, "\n".join(map(json.dumps, lines)).encode())
    assert str(caught.value) == f"{path}: {message}"


def test_a_line_that_is_not_json_is_named(path: Path) -> None:
    line = json.dumps({"context": "c", **GOOD})
    with pytest.raises(FormatError, match=r"dev.json: line 2: expected JSON, got: "):
        read(path, f"{line}\n{line[:-3]}\n".encode())


def test_without_answers_none_have_to_be_there_and_none_are_read(path: Path) -> None:
    asked = {"question": "Who?", "context": "Zoë fell."}
    lines = [asked, {**asked, "answers": "Zoë"}]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert [question.answers for question in read_squad(path, with_answers=False)] == [(), ()]


def test_an_id_that_is_there_twice_is_refused_with_both_places(path: Path) -> None:
    qas = [GOOD, {**GOOD, "id": "b"}, {**GOOD, "id": "c"}, {**GOOD, "id": "b"}]
    with pytest.raises(FormatError) as caught:
        read(path, squad(*qas))
    before, place = (f"data[0].paragraphs[0].qas[{index}]" for index in (1, 3))
    assert str(caught.value) == f"{path}: {place}.id: expected each id once, got 'b' as in {before}"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"no.json: cannot be read: No such file or directory"):
        list(read_squad(tmp_path / "no.json"))


def test_every_truncated_file_is_refused(path: Path) -> None:
    content = json.dumps(squad(GOOD)).encode()
    for size in range(len(content)):
        with pytest.raises(FormatError, match=r"expected JSON, got: "):
            read(path, content[:size])


@pytest.mark.parametrize(
    ("once", "place"),
    [
        ('"context": "a b"', "data[0]"),
        ('"qas": []', "data[0]"),
        ('"data": [{"paragraphs": [{"context": "a b", "qas": []}]}]', "data"),
    ],
)
def test_a_key_that_is_there_twice_is_refused(path: Path, once: str, place: str) -> None:
    content = '{"data": [{"paragraphs": [{"context": "a b", "qas": []}]}]}'
    path.write_text(content.replace(once, f"{once}, {once}"))
    key = once.split('"')[1]
    with pytest.raises(FormatError) as caught:
        list(read_squad(path))
    assert str(caught.value) == f"{path}: {place}: expected JSON, got: the key {key!r} twice"


def test_what_follows_the_object_is_refused(path: Path) -> None:
    with pytest.raises(FormatError, match=r"dev.json: data: expected JSON, got: parse error: trailing"):
        read(path, json.dumps(squad(GOOD)).encode() + b" x")


@pytest.mark.parametrize(
    "value",
    [
        b"9" * 5000,
        b"1e999999999999999999",
        b"NaN",
        b'"\\udc00"',
        b'"\xff"',
        b"[" * 100_000,
        b'{"a":' * 50 + b"1" + b"}" * 50,
    ],
    ids=["digits", "exponent", "NaN", "half a pair", "not UTF-8", "deep and cut off", "deep"],
)
def test_a_value_that_no_parser_should_take_is_refused(path: Path, value: bytes) -> None:
    for content in (b'{"data": [%s]}' % value, b'{"x": %s, "data": []}' % value):
        with pytest.raises(FormatError, match=r"expected JSON, got: "):
            read(path, content)


@settings(max_examples=300)
@given(st.data())
def test_a_file_with_flipped_bytes_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(json.dumps(squad(GOOD, {**GOOD, "id": "b"}), ensure_ascii=False).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    read_or_refuse(tmp_path_factory.getbasetemp() / "flipped.json", bytes(content))


KEYS = st.sampled_from(
    [*("data", "paragraphs", "qas", "context", "question", "answers", "text", "answer_start"), "id", "title"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=300)
@given(JSON | st.binary(max_size=40) | st.builds(lambda value: {"data": [{"paragraphs": [value]}]}, JSON))
def test_any_json_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    read_or_refuse(tmp_path_factory.getbasetemp() / "fuzzed.json", content)


def read_or_refuse(path: Path, content: Any) -> None:
    with contextlib.suppress(FormatError):
        read(path, content)


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        # Each character beyond the first plane is one.
        ("the Danube", 14, Located(Answer("the Danube", 14))),
        ("🦆", 4, Located(Answer("🦆", 4))),
        # As UTF-16 counts: two more.
        ("the Danube", 16, Located(Answer("the Danube", 14), moved=True)),
        ("the Danube", 0, Located(Answer("the Danube", 14), moved=True)),
        ("the Danube", -10, Located(Answer("the Danube", 14), moved=True)),
        ("the Danube", 10**30, Located(Answer("the Danube", 14), moved=True)),
        ("BẠCH\u202fđằng", 40, Located(Answer("Bạch Đằng", 39), moved=True, respelled=True)),
        (" the  danube\r\n", 14, Located(Answer("the Danube", 14), respelled=True)),
        ("Rhine", 14, None),
        ("", 14, None),
        (" ", 13, None),
        ("a.b", 0, None),
    ],
)
def test_an_answer_is_where_it_is_said_or_near_there_or_nowhere(
    text: str, start: int, expected: Located | None
) -> None:
    found = locate(CONTEXT, Answer(text, start))
    assert found == expected
    if found:
        assert CONTEXT.startswith(found.answer.text, found.answer.start)


def test_of_several_occurrences_the_nearest_is_taken_and_one_as_it_is_before_others() -> None:
    context = "aaa. AA at first, Aa\r\n B, then aa b and aA\u202f \u00a0b."
    assert locate(context, Answer("aa", 2)) == Located(Answer("aa", 1), moved=True)
    assert locate(context, Answer("aa", 18)) == Located(Answer("aa", 31), moved=True)
    assert locate(context, Answer("AA B", 30)) == Located(Answer("aa b", 31), True, True)
    assert locate(context, Answer("AA B", 20)) == Located(Answer("Aa\r\n B", 18), True, True)
    assert locate(context, Answer("AA B", 40)) == Located(Answer("aA\u202f \u00a0b", 40), False, True)


def test_memory_does_not_grow_with_the_file(path: Path) -> None:
    peaks = []
    for count in (3000, 12_000):
        # A hundred questions an article.
        questions = (question(i, title=str(i // 100), context=f"{CONTEXT} {i // 10}") for i in range(count))
        write_squad(path, questions)
        tracemalloc.start()
        assert sum(1 for _ in read_squad(path)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 8 bytes an id, and as many again while they are sorted.
    assert peaks[1] - peaks[0] < 3 * 8 * 9000


@pytest.mark.parametrize(
    ("name", "counts"), [("train-v1.1.json", (925, 180, 36)), ("dev-v1.1.json", (138, 30, 6))]
)
def test_real_questions_have_their_answers_where_the_file_says(
    real_data: Path, name: str, counts: tuple[int, int, int]
) -> None:
    questions = list(read_squad(real_data / "squad" / name))
    distinct = ({q.id for q in questions}, {q.context for q in questions}, {q.title for q in questions})
    assert tuple(map(len, distinct)) == counts
    located = [locate(q.context, answer) for q in questions for answer in q.answers]
    assert len(located) == len(questions) == counts[0]
    assert all(found and not found.moved and not found.respelled for found in located)
