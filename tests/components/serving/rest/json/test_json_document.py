"""What is JSON to RapidJSON, and what is said of what is not."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.serving.errors import ServingError
from components.serving.rest.json.document import MAX_DESCRIBED, MAX_LISTS, MAX_VALUES, describe, parse_object
from components.serving.rest.json.strings import string_bytes


def message(body: bytes) -> str:
    with pytest.raises(ServingError) as caught:
        parse_object(body)
    return caught.value.message


@pytest.mark.parametrize(
    "body",
    [
        '{"a": [1, 2}',
        '{"a": 1 "b": 2}',
        '{"é": [1 2]}',
        '{"a": [[1]',
        '{"a" 1}',
        "{a: 1}",
        '{"a": 1, }',
        '{"a": [1, ]}',
        '{"a": nul}',
        '{"a": -x}',
        '{"a": +1}',
        '{"a": Infinite}',
        '{"a": 1.}',
        '{"a": 1e+}',
        '{"a": "b',
        '{"a": "\\x"}',
        '{"a": "\n"}',
        '{"a": "\\u12g4"}',
        '{"a": 1} 2',
        '{"a": Inf, "b": -Inf, "c": 1 2}',
        "  ",
        "\ufeff{,",
    ],
)
def test_what_is_no_json_is_refused_with_the_place(body: str) -> None:
    assert re.fullmatch(r"JSON Parse error: .+: line \d+ column \d+ \(char \d+\)", message(body.encode()))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"a": 1e309}', "Number too big to be stored in double."),
        ('{"a": ' + "9" * 5000 + "}", "Number too big to be stored in double."),
        ('{"a": "\\ud800"}', "The surrogate pair in string is invalid."),
        ('{"a": "\\ud83d\\ude00", "b": "\\udc00"}', "The surrogate pair in string is invalid."),
    ],
)
def test_json_that_rapidjson_does_not_take_is_refused(body: str, expected: str) -> None:
    assert message(body.encode()) == f"JSON Parse error: {expected}"


def test_an_empty_body_is_told_apart() -> None:
    assert message(b"") == "JSON Parse error: The document is empty"


def test_what_is_no_object_is_refused() -> None:
    assert message(b"[1]") == "JSON Value: [\n    1\n] Is not object"
    assert message(b"0.1") == "JSON Value: 0.1 Is not object"
    assert message(b'"a"') == 'JSON Value: "a" Is not object'


def test_nan_and_infinity_are_read_in_all_of_rapidjsons_spellings() -> None:
    read = parse_object(b'{"a": [NaN, -NaN, Inf, Infinity, -Inf, -Infinity, "Inf -NaN"]}')["a"]
    assert all(math.isnan(value) for value in read[:2])
    assert read[2:] == [math.inf, math.inf, -math.inf, -math.inf, "Inf -NaN"]


@pytest.mark.parametrize("also", [b"", b', "b": NaN'], ids=["quick", "strict"])
def test_64_bit_integers_are_exact_and_larger_ones_floats(also: bytes) -> None:
    numbers = (
        b"[18446744073709551615, -9223372036854775808, 18446744073709551616, -9223372036854775809, 1e2, -0]"
    )
    read = parse_object(b'{"a": ' + numbers + also + b"}")["a"]
    assert read == [2**64 - 1, -(2**63), 2.0**64, -(2.0**63), 100.0, 0]
    assert [type(number) for number in read] == [int, int, float, float, float, int]


def test_the_first_of_repeated_keys_counts() -> None:
    assert parse_object(b'{"instances": [1], "instances": [2]}') == {"instances": [1]}


def test_bytes_that_are_no_utf_8_are_kept() -> None:
    assert string_bytes(parse_object(b'{"a": "\xff\xc3\xa9"}')["a"]) == b"\xff\xc3\xa9"


def test_a_byte_order_mark_and_what_follows_a_nul_are_passed_over() -> None:
    assert parse_object(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
    assert parse_object(b'{"a": 1}\0garbage') == {"a": 1}


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_bottomless_nesting_is_refused(opening: bytes) -> None:
    assert message(b'{"a": ' + opening * 100_000).startswith(
        "JSON Parse error: The document is nested too deep"
    )


@pytest.mark.parametrize(
    "body", [b"[[]" + b",[]" * MAX_LISTS + b"]", b"[0" + b",0" * (MAX_VALUES + 1) + b"]"]
)
def test_more_than_memory_should_take_is_refused_before_it_is_parsed(body: bytes) -> None:
    assert message(b'{"a": ' + body + b"}").startswith(
        "JSON Parse error: expected 4000000 lists and 20000000"
    )


def test_deep_nesting_that_is_read_can_be_described() -> None:
    assert len(describe(parse_object(b'{"a": ' + b"[" * 900 + b"]" * 900 + b"}"))) < MAX_DESCRIBED + 20


def test_long_values_are_cut_in_errors() -> None:
    text = describe(["x" * 10_000_000])
    assert text.startswith('[\n    "xxx')
    assert text.endswith("x...TRUNCATED")
    assert len(text) < MAX_DESCRIBED + 20


def test_values_are_described_in_rapidjsons_layout() -> None:
    assert describe({"a": [1, True, None], "b": {}, "c": []}) == (
        '{\n    "a": [\n        1,\n        true,\n        null\n    ],\n    "b": {},\n    "c": []\n}'
    )
    assert describe(0.1) == "0.1"
    assert describe(1e300) == "1e+300"
    assert describe(math.nan) == "NaN"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON, max_size=4), st.booleans())
def test_every_json_object_is_read_as_the_standard_library_reads_it(
    value: dict[str, object], ascii: bool
) -> None:
    text = json.dumps(value, ensure_ascii=ascii)
    try:
        body = text.encode()
    except UnicodeEncodeError:
        return
    if "\\ud" not in text:
        assert repr(parse_object(body)) == repr(json.loads(text))


def read_or_refused(body: bytes) -> str:
    """The error, or "" for an object."""
    try:
        parse_object(body)
    except ServingError as error:
        return error.message
    return ""


@given(
    st.binary(max_size=200) | st.text('{}[],:"\\untrfalseINaif0123456789.eE+- ', max_size=60).map(str.encode)
)
def test_any_bytes_are_an_object_or_a_bad_request(body: bytes) -> None:
    assert re.match("JSON Parse error: |JSON Value: |$", read_or_refused(body))


@given(st.binary(max_size=30), st.integers(0, 60), st.sampled_from(["insert", "cut", "replace"]))
def test_a_damaged_request_is_an_object_or_a_bad_request(noise: bytes, place: int, how: str) -> None:
    body = '{"signature_name": "é\\u00e9", "instances": [{"x": [1.5, -2e3, NaN, true]}]}'.encode()
    end = len(body) if how == "cut" else place + len(noise) * (how == "replace")
    message = read_or_refused(body[:place] + noise + body[end:])
    assert re.search("JSON Parse error: |object|^$", message)
