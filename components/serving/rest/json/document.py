"""JSON text as RapidJSON reads it: the same values accepted, and the same refused.

orjson reads what is plain JSON. Everything else, that is NaN, infinities, bytes that are no UTF-8, a repeated
key of the request, and mistakes, is read again by the standard library, which also says what is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import orjson

from components.serving.errors import ServingError, invalid_argument
from components.serving.rest.json.numbers import float_texts

MAX_DESCRIBED: Final = 1024  # characters of a value that an error repeats
# A list takes 64 bytes and more when parsed, and two in the body; a float 32.
MAX_LISTS: Final = 4_000_000
MAX_VALUES: Final = 20_000_000
# What an object with one member takes when parsed.
OBJECT_BYTES: Final = 300
_LIST_BYTES: Final = 100
_VALUE_BYTES: Final = 100

_BOM: Final = b"\xef\xbb\xbf"
# Where a key is repeated RapidJSON finds the first, and the other parsers keep the last.
_UNIQUE_KEYS: Final = re.compile(rb'"(?:instances|inputs|signature_name|examples|context)"')
# A string, or one of RapidJSON's numbers that the standard library does not know.
_STRING_OR_NUMBER: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|(?<![-\w])-NaN|Inf(?!i)', re.DOTALL)
_NUMBERS: Final = {"-NaN": "NaN", "Inf": "Infinity"}
# An escape; group 1 is a surrogate outside a pair.
_ESCAPE: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
# What numbers beyond 64 bits or float64 have in them, each digit shown as 0.
_DIGITS: Final = bytes.maketrans(b"123456789E", b"000000000e")
_LARGE: Final = (b"0" * 19, b"e000", b"e+000")


def parse_object(body: bytes) -> dict[str, Any]:
    """Returns the JSON object in `body`; raises ServingError for any other body.

    Integers beyond 64 bits are floats. Bytes that are no UTF-8 are kept, as lone surrogates (strings.py).
    """
    if not body:
        raise _parse_error("The document is empty")
    check_size(body)
    document = _parse(body)
    if not isinstance(document, dict):
        raise format_error(document, "Is not object")
    return document


def check_size(body: bytes) -> None:
    """Raises ServingError for a body that would take too much memory."""
    if len(body) <= 2 * MAX_LISTS:
        return
    lists, values = body.count(b"[") + body.count(b"{"), body.count(b",")
    if lists > MAX_LISTS or values > MAX_VALUES:
        expected = f"expected {MAX_LISTS} lists and {MAX_VALUES} values at most"
        raise _parse_error(f"{expected}, got {lists} and {values}")


def parsed_bytes(body: bytes, bytes_an_object: int = OBJECT_BYTES) -> int:
    """Returns about how much memory the body's JSON takes when parsed."""
    objects = bytes_an_object * body.count(b"{")
    return objects + _LIST_BYTES * body.count(b"[") + _VALUE_BYTES * body.count(b",")


def format_error(value: Any, message: str) -> ServingError:
    """Returns the error for a document that is JSON, but not a request."""
    return invalid_argument(f"JSON Value: {describe(value)} {message}")


def describe(value: Any) -> str:
    """Returns the first 1,024 characters of what RapidJSON's PrettyWriter makes of a value.

    [1] -> "[\\n    1\\n]"
    """
    if isinstance(value, float):
        single = abs(value) <= float(np.finfo(np.float32).max)
        return float_texts(np.array([value], np.float32 if single else np.float64))[0]
    text = ""
    for piece in _pieces(value, "\n"):
        text += piece
        if len(text) > MAX_DESCRIBED:
            return f"{text[:MAX_DESCRIBED]}...TRUNCATED"
    return text


def type_name(value: Any) -> str:
    """Returns RapidJSON's name of a value's type."""
    if isinstance(value, bool):
        return str(value)
    names = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
    return names.get(type(value), "Null")


def _pieces(value: Any, newline: str) -> Iterator[str]:
    inner = f"{newline}    "
    if isinstance(value, dict) and value:
        for i, (key, member) in enumerate(value.items()):
            yield f"{',' if i else '{'}{inner}{_quoted(key)}: "
            yield from _pieces(member, inner)
        yield f"{newline}}}"
    elif isinstance(value, list) and value:
        for i, element in enumerate(value):
            yield f"{',' if i else '['}{inner}"
            yield from _pieces(element, inner)
        yield f"{newline}]"
    else:
        yield _quoted(value) if isinstance(value, str) else json.dumps(value)


def _parse_error(problem: str) -> ServingError:
    return invalid_argument(f"JSON Parse error: {problem}")


def _quoted(text: str) -> str:
    return json.dumps(text[:MAX_DESCRIBED], ensure_ascii=False)


def _parse(body: bytes) -> Any:
    keys = _UNIQUE_KEYS.findall(body)
    if len(keys) == len(set(keys)):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
    # RapidJSON takes a NUL for the end.
    text = body.removeprefix(_BOM).partition(b"\0")[0].decode("utf-8", "surrogateescape")
    try:
        document = _parse_leniently(text, _DECODER if _has_large_number(body) else _QUICK_DECODER)
    except RecursionError as error:
        raise _parse_error("The document is nested too deeply.") from error
    except json.JSONDecodeError as error:
        raise _parse_error(str(error)) from error
    if ("\\ud" in text or "\\uD" in text) and any(match[1] for match in _ESCAPE.finditer(text)):
        raise _parse_error("The surrogate pair in string is invalid.")
    return document


def _parse_leniently(text: str, decoder: json.JSONDecoder) -> Any:
    try:
        return decoder.decode(text)
    except json.JSONDecodeError:
        if "Inf" not in text and "-NaN" not in text:
            raise
    return decoder.decode(_STRING_OR_NUMBER.sub(lambda match: _NUMBERS.get(match[0], match[0]), text))


def _has_large_number(body: bytes) -> bool:
    digits = body.translate(_DIGITS)
    return any(large in digits for large in _LARGE)


def _double(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _parse_error("Number too big to be stored in double.")
    return value


def _integer(text: str) -> int | float:
    if len(text) > len(str(-(2**63))):  # also beyond what int() agrees to read
        return _double(text)
    value = int(text)
    return value if -(2**63) <= value < 2**64 else float(value)


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    return members if len(members) == len(pairs) else {**dict(reversed(pairs))}


_QUICK_DECODER: Final = json.JSONDecoder(parse_constant=float, object_pairs_hook=_first_of_each)
_DECODER: Final = json.JSONDecoder(
    parse_float=_double, parse_int=_integer, parse_constant=float, object_pairs_hook=_first_of_each
)
