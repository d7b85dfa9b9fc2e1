"""Where JSON does not fit a signature: the first value at fault, in TensorFlow Serving's order and words.

Follows util/json_tensor.cc value by value; called only for what values.py could not convert.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import tensorflow as tf

from components.serving.errors import ServingError, invalid_argument
from components.serving.rest.json.document import describe, type_name
from components.serving.rest.json.strings import is_base64
from components.serving.rest.json.values import MAX_RANK, converted, decoded, dtype_name, is_readable


def is_row_object(value: Any) -> bool:
    """Whether a value is an object of named inputs, rather than one input's value."""
    return isinstance(value, dict) and not is_base64(value)


def fault_in_rows(rows: list[Any], dtypes: Mapping[str, int]) -> ServingError:
    """Returns the error for the first of "instances" that does not fit; `dtypes` by name of the input."""
    objects = is_row_object(rows[0])
    shapes: dict[str, tuple[int, ...]] = {}
    for i, row in enumerate(rows):
        if objects and not is_row_object(row):
            return invalid_argument(f"Expecting object but got list at item {i} of input list")
        if not objects and is_row_object(row):
            return invalid_argument(f"Expecting value/list but got object at item {i} of input list")
        try:
            for name, value in row.items() if objects else [(next(iter(dtypes)), row)]:
                with _processing(f"{i} key: {name}" if objects else f"{i}"):
                    _check_item(name, value, dtypes, shapes)
        except ServingError as error:
            return error
        if objects and row.keys() != dtypes.keys():
            return invalid_argument(
                f"Failed to process element: {i} of 'instances' list. JSON object: {describe(row)} "
                f"keys must be equal to: {','.join(dtypes)}"
            )
    return invalid_argument("The 'instances' do not fit the signature")


def fault_in_column(value: Any, dtype: int) -> ServingError:
    """Returns the error for a value of "inputs" that does not fit."""
    try:
        _check(value, dtype)
    except ServingError as error:
        return error
    return invalid_argument("The 'inputs' do not fit the signature")


@contextlib.contextmanager
def _processing(element: str) -> Iterator[None]:
    try:
        yield
    except ServingError as error:
        reason = f"{error.code.name}: {error.message}"
        raise invalid_argument(
            f"Failed to process element: {element} of 'instances' list. Error: {reason}"
        ) from error


def _check_item(name: str, value: Any, dtypes: Mapping[str, int], shapes: dict[str, tuple[int, ...]]) -> None:
    if name not in dtypes:
        raise invalid_argument(f"JSON object: does not have named input: {name}")
    shape = _check(value, dtypes[name])
    expected = shapes.setdefault(name, shape)
    if math.prod(expected) != math.prod(shape):
        raise invalid_argument(f"Expecting tensor size: {math.prod(expected)} but got: {math.prod(shape)}")
    if expected != shape:
        raise invalid_argument(f"Expecting shape {_listed(expected)} but got: {_listed(shape)}")


def _listed(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _check(value: Any, dtype: int) -> tuple[int, ...]:
    """Returns the shape, that of the first elements; raises ServingError at the first value at fault."""
    shape: tuple[int, ...] = ()
    first = value
    while isinstance(first, list):
        shape += (len(first),)
        first = first[0] if first else None
    if len(shape) > MAX_RANK:
        raise invalid_argument(f"Encountered {len(shape)} nested lists, expected {MAX_RANK} at most")
    _check_level(value, 0, shape, dtype)
    return shape


def _check_level(value: Any, level: int, shape: tuple[int, ...], dtype: int) -> None:
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise invalid_argument(
                f"JSON Value: {describe(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {rank}"
            )
        _check_leaf(value, dtype)
        return
    if level >= rank:
        raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        sizes = f"size: {len(value)} at level: {level} expected size: {shape[level]}"
        raise invalid_argument(f"Encountered list at unexpected {sizes}")
    if level < rank - 1 or converted(value, dtype) is None:
        for element in value:
            _check_level(element, level + 1, shape, dtype)


def _check_leaf(value: Any, dtype: int) -> None:
    if converted([value], dtype) is not None:
        return
    if isinstance(value, dict) and dtype == tf.string.as_datatype_enum:
        decoded(value)
    if is_readable(dtype) or isinstance(value, dict):
        expected = f"is not of expected type: {dtype_name(dtype)}"
        raise invalid_argument(f"JSON Value: {describe(value)} Type: {type_name(value)} {expected}")
    raise ServingError(
        grpc.StatusCode.UNIMPLEMENTED,
        f"Conversion of JSON Value: {describe(value)} to type: {dtype_name(dtype)}",
    )
