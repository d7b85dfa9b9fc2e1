"""The side of `serving.py` that is MLServer, with a runtime of our own for SavedModels.

Serves the models in a folder over REST and gRPC until it is ended, and before that writes the gRPC request
for each batch beside its `.npy`. Runs in an environment of its own.
"""

import asyncio
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.grpc.dataplane_pb2 import ModelInferRequest
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import install_uvloop_event_loop


class SavedModel(MLModel):
    """Calls the default signature, on the event loop, as MLServer's own runtimes do."""

    async def load(self) -> bool:
        """Loads the model."""
        self._model = tf.saved_model.load(self.settings.parameters.uri)
        self._signature = self._model.signatures["serving_default"]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answers one request."""
        instances = NumpyCodec.decode_input(payload.inputs[0])
        [(name, output)] = self._signature(tf.constant(instances)).items()
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output(name, output.numpy())]
        )


def write_request(batch_file: Path) -> None:
    """Writes the request for "NAME-SIZE.npy" as "NAME-SIZE.pb"."""
    batch = np.load(batch_file)
    name, _ = batch_file.stem.split("-")
    tensor = ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=batch.shape)
    request = ModelInferRequest(model_name=name, inputs=[tensor], raw_input_contents=[batch.tobytes()])
    batch_file.with_suffix(".pb").write_bytes(request.SerializeToString())


async def serve(folder: Path, http_port: int, grpc_port: int) -> None:
    """Serves until a signal: in one process, without metrics and debugging."""
    settings = Settings(
        host="127.0.0.1", http_port=http_port, grpc_port=grpc_port, debug=False, parallel_workers=0,
        metrics_endpoint=None,
    )  # fmt: skip
    models = [
        ModelSettings(
            name=path.name, implementation=SavedModel, parameters=ModelParameters(uri=str(path / "1"))
        )
        for path in folder.iterdir()
    ]
    await MLServer(settings).start(models)


def main(folder: str, batches: str, http_port: str, grpc_port: str) -> None:
    """Writes the requests, then serves."""
    for batch_file in Path(batches).glob("*.npy"):
        write_request(batch_file)
    install_uvloop_event_loop()
    asyncio.run(serve(Path(folder), int(http_port), int(grpc_port)))


if __name__ == "__main__":
    main(*sys.argv[1:])
