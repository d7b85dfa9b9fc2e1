"""The side of `serving.py` that is FastAPI with uvicorn: what one writes around a SavedModel by hand.

Serves the models in a folder on a port until it is ended. Runs in an environment of its own.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Numbers(BaseModel):
    """A batch for `half_plus_two`."""

    instances: list[float]


class Images(BaseModel):
    """A batch for `mnist_cnn`."""

    instances: list[list[list[float]]]


def make_app(folder: Path) -> FastAPI:
    """Returns an app with one endpoint a model; FastAPI runs them in threads, as they are no coroutines."""
    app = FastAPI()
    models = {path.name: tf.saved_model.load(str(path / "1")) for path in folder.iterdir()}

    def answer(name: str, instances: list[Any]) -> dict[str, Any]:
        signature = models[name].signatures["serving_default"]
        [output] = signature(tf.constant(np.asarray(instances, np.float32))).values()
        return {"predictions": output.numpy().tolist()}

    @app.post("/half_plus_two")
    def half_plus_two(batch: Numbers) -> dict[str, Any]:
        return answer("half_plus_two", batch.instances)

    @app.post("/mnist_cnn")
    def mnist_cnn(batch: Images) -> dict[str, Any]:
        return answer("mnist_cnn", batch.instances)

    return app


if __name__ == "__main__":
    uvicorn.run(make_app(Path(sys.argv[1])), port=int(sys.argv[2]), log_level="warning")
