"""A first request to a model: one of those recorded in its SavedModel, as a command for the shell."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote

import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from components.serving.models.servable import DEFAULT_SIGNATURE
from components.serving.rest.json.strings import to_json

# Longer ones fill a screen.
_MAX_CHARACTERS: Final = 4000


def curl_command(url: str, requests: Iterable[PredictRequest]) -> str | None:
    """Returns "curl -d '{"signature_name": "text", "instances": [{"text_a": "It rains."}]}' URL"; None: none.

    Of the rows of all requests it is the shortest; those of the default signature, which are serialized
    examples, are left out where there are others.
    """
    bodies = list(_bodies(requests))
    legible = [body for body in bodies if body["signature_name"] != DEFAULT_SIGNATURE]
    shortest = min(map(json.dumps, legible or bodies), key=len, default=None)
    if shortest is None or len(shortest) > _MAX_CHARACTERS:
        return None
    return f"curl -d {shlex.quote(shortest)} {url}"


def predict_url(server: str, model_name: str) -> str:
    """Returns "http://127.0.0.1:8501/v1/models/m:predict" for "127.0.0.1:8501" and "m"."""
    return f"http://{server}/v1/models/{quote(model_name, safe='')}:predict"


def _bodies(requests: Iterable[PredictRequest]) -> Iterator[dict[str, Any]]:
    """Yields each row of each request as REST's JSON."""
    for request in requests:
        inputs = {name: _rows(tf.make_ndarray(tensor)) for name, tensor in sorted(request.inputs.items())}
        for row in zip(*inputs.values(), strict=True):
            instance = dict(zip(inputs, row, strict=True))
            signature = request.model_spec.signature_name or DEFAULT_SIGNATURE
            yield {"signature_name": signature, "instances": [instance]}


def _rows(array: Any) -> list[Any]:
    """Returns an array along its first axis as JSON values; one without axes has no rows."""
    return to_json(array.tolist()) if array.ndim else []
