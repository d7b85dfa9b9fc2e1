"""JSON requests of Predict → tensors of the signature's dtypes (TensorFlow Serving's util/json_tensor.cc)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from numpy.typing import NDArray
from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from components.serving.errors import invalid_argument
from components.serving.models.tensors import write_tensor
from components.serving.rest.json.document import describe, format_error
from components.serving.rest.json.faults import fault_in_column, fault_in_rows, is_row_object
from components.serving.rest.json.strings import proto_text
from components.serving.rest.json.values import array_of

INSTANCES: Final = "instances"
INPUTS: Final = "inputs"
SIGNATURE_NAME: Final = "signature_name"
_OUTPUT_FILTER: Final = "output_filter"
_MANYINPUTS: Final = "as multiple input tensors required as per tensorinfo_map"


def signature_name(document: Mapping[str, Any]) -> str:
    """Returns the signature that a request names, or ""; raises ServingError if that is no string."""
    name = document.get(SIGNATURE_NAME, "")
    if not isinstance(name, str):
        expected = f"'{SIGNATURE_NAME}' key must be a string value."
        raise format_error(document, f"not formatted correctly. {expected}")
    return proto_text(name)


def output_filter(document: Mapping[str, Any]) -> list[str]:
    """Returns the outputs that a request asks for, [] for all; an own key, which the real server ignores."""
    names = document.get(_OUTPUT_FILTER, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise invalid_argument(f"JSON Value: {describe(names)} '{_OUTPUT_FILTER}' must be a list of strings")
    return [proto_text(name) for name in names]


def fill_inputs(
    request: PredictRequest, document: Mapping[str, Any], inputs: Mapping[str, TensorInfo]
) -> bool:
    """Adds the request's tensors; returns whether they came in rows ("instances"), not in columns ("inputs").

    {"instances": [{"x": 1}, {"x": 2}]}, {"instances": [1, 2]}, {"inputs": {"x": [1, 2]}}, {"inputs": [1, 2]}
    -> x: [1, 2], of the dtype in `inputs`

    Raises ServingError.
    """
    if not inputs:
        name = request.model_spec.signature_name or "DEFAULT"
        raise invalid_argument(f"Failed to get input map for signature: {name}")
    in_rows = INSTANCES in document
    if in_rows and INPUTS in document:
        problem = f"expecting only one of '{INPUTS}' or '{INSTANCES}' keys to exist "
        raise format_error(document, f"Not formatted correctly {problem}")
    if not in_rows and INPUTS not in document:
        raise invalid_argument(f"Missing '{INPUTS}' or '{INSTANCES}' key")
    dtypes = {name: inputs[name].dtype for name in sorted(inputs)}
    arrays = _from_rows(document, dtypes) if in_rows else _from_columns(document[INPUTS], dtypes)
    for name, array in arrays.items():
        write_tensor(request.inputs[name], array, as_content=True)
    return in_rows


def _from_rows(document: Mapping[str, Any], dtypes: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    rows = document[INSTANCES]
    if not isinstance(rows, list):
        raise format_error(document, f"Excepting '{INSTANCES}' to be an list/array")
    if not rows:
        raise format_error(document, f"No values in '{INSTANCES}' array")
    if not isinstance(rows[0], dict) and len(dtypes) > 1:
        raise invalid_argument(f"instances is a plain list, but expecting list of objects {_MANYINPUTS}")
    arrays = {}
    for name, column in _columns(rows, dtypes).items():
        array = array_of(column, dtypes[name])
        if array is None:
            raise fault_in_rows(rows, dtypes)
        arrays[name] = array
    return arrays


def _columns(rows: list[Any], dtypes: Mapping[str, int]) -> dict[str, list[Any]]:
    if not is_row_object(rows[0]):
        return {next(iter(dtypes)): rows}
    if not all(isinstance(row, dict) and row.keys() == dtypes.keys() for row in rows):
        raise fault_in_rows(rows, dtypes)
    return {name: [row[name] for row in rows] for name in dtypes}


def _from_columns(columns: Any, dtypes: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    if not is_row_object(columns):
        if len(dtypes) > 1:
            raise invalid_argument(f"inputs is a plain value/list, but expecting an object {_MANYINPUTS}")
        columns = dict.fromkeys(dtypes, columns)
    arrays = {}
    for name, dtype in dtypes.items():
        if name not in columns:
            raise invalid_argument(f"Missing named input: {name} in '{INPUTS}' object.")
        array = array_of(columns[name], dtype)
        if array is None:
            raise fault_in_column(columns[name], dtype)
        arrays[name] = array
    return arrays
