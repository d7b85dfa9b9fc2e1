"""A model with a signature for each dtype, and its server with REST."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import tensorflow as tf
from serving_client import Client, Everything, served

ECHOED: Final = {
    dtype.name: dtype
    for dtype in (
        tf.float16,
        tf.bfloat16,
        tf.float32,
        tf.float64,
        tf.int8,
        tf.uint8,
        tf.int16,
        tf.uint16,
        tf.int32,
        tf.uint32,
        tf.int64,
        tf.uint64,
        tf.bool,
        tf.string,
        tf.complex64,
    )
}


class Echo(Everything):
    """`Everything`, and signatures such as "int64" that give back what they get, of any shape."""

    def __init__(self) -> None:
        super().__init__(2.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "x")])
    def as_bytes(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y_bytes": x, "size": tf.strings.length(x)}

    def signatures(self) -> dict[str, Any]:
        echoes = {
            name: tf.function(lambda x: {"y": tf.identity(x)}, [tf.TensorSpec(None, dtype, "x")])
            for name, dtype in ECHOED.items()
        }
        return {**super().signatures(), **echoes, "as_bytes": self.as_bytes}


class Rest:
    """A client of a server's REST API."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.port = client.server.rest_port
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20)

    def call(self, method: str, body: Any, model: str = "m") -> httpx.Response:
        content = body if isinstance(body, bytes | str) else json.dumps(body)
        return self.http.post(f"/v1/models/{model}:{method}", content=content)

    def predict(self, body: Any, model: str = "m") -> Any:
        """The answer, whatever its key."""
        response = self.call("predict", body, model)
        assert response.status_code == 200, response.text
        [answer] = response.json().values()
        return answer

    def refusal(self, method: str, body: Any, model: str = "m") -> tuple[int, str]:
        response = self.call(method, body, model)
        return response.status_code, response.json()["error"]

    def page(self, path: str) -> str:
        return self.http.get(path).text


def save_echo(base_path: Path, version: int = 3) -> None:
    model = Echo()
    tf.saved_model.save(model, str(base_path / str(version)), signatures=model.signatures())


@contextmanager
def rest_of(base_path: Path, **flags: Any) -> Iterator[Rest]:
    with served(base_path, rest_api_port=-1, **flags) as client:
        rest = Rest(client)
        with rest.http:
            yield rest
