"""A loaded version of a model: the signatures of its SavedModel, and the way to run them."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import grpc
import numpy as np
import tensorflow as tf

# Registers the operations that text models use, as tensorflow_model_server has them.
import tensorflow_text  # noqa: F401
from numpy.typing import NDArray
from tensorflow.core.protobuf.config_pb2 import CallableOptions, ConfigProto
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from components.serving.errors import ServingError
from components.serving.models.batching_settings import BatchingSettings

DEFAULT_SIGNATURE: Final = "serving_default"

Arrays = Sequence[NDArray[Any]]

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
# Clients choose the outputs of a request; what each choice compiles to is kept, up to here.
_MAX_CALLABLES: Final = 64


class Graph(NamedTuple):
    """What to run: tensors by name, such as "serving_default_x:0"; the fetched ones are distinct."""

    feeds: tuple[str, ...]
    fetches: tuple[str, ...]


class Signature:
    """A SignatureDef, and in plain dicts what of it every request needs: alias -> name of the tensor."""

    def __init__(self, definition: SignatureDef) -> None:
        # A copy, because the original holds on to the message that it is in, and with it to the whole graph.
        self.definition = SignatureDef.FromString(definition.SerializeToString())
        self.method_name: str = definition.method_name
        self.inputs = {alias: definition.inputs[alias].name for alias in sorted(definition.inputs)}
        self.outputs = {alias: definition.outputs[alias].name for alias in sorted(definition.outputs)}
        self.defaults = dict(self.definition.defaults)
        self.graph = Graph(tuple(self.inputs.values()), distinct(self.outputs.values()))


class Servable:
    """One version, loaded; `run` may be called from many threads, `close` once nobody runs it.

    It is loaded with TensorFlow 1's loader and run without Session.run's check of shapes, because that is
    what tensorflow_model_server does: it takes old SavedModels that tf.saved_model.load refuses, and requests
    whose shapes are not the declared ones.
    """

    def __init__(self, version: int, session: Any, signatures: Mapping[str, Signature]) -> None:
        self.version = version
        self.signatures = signatures
        # Whether a signature answers only the calls that its method name allows.
        self.checks_method_names = False
        # None: each request runs alone.
        self.batching: BatchingSettings | None = None
        self._session = session
        self._callables: dict[Graph, Any] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        version: int,
        path: str,
        tags: Sequence[str] = ("serve",),
        config: ConfigProto | None = None,
    ) -> Servable:
        """Returns the SavedModel at `path`, each signature compiled; raises whatever is wrong with it."""
        session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            with session.graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(session, list(tags), path)
            signatures = {key: Signature(value) for key, value in meta_graph.signature_def.items()}
            servable = cls(version, session, signatures)
            servable._compile()
        except BaseException:
            session.close()
            raise
        return servable

    def run(self, graph: Graph, inputs: Arrays) -> list[NDArray[Any]]:
        """Returns the fetched tensors; raises ServingError with TensorFlow's status and message."""
        try:
            fetched = self._callable(graph)(*inputs)
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from error
        # A scalar string comes as bytes.
        return [np.asarray(value, object if isinstance(value, bytes) else None) for value in fetched]

    def close(self) -> None:
        """Frees the model's memory."""
        self._callables.clear()
        self._session.close()
        del self._session
        gc.collect()  # graphs are cyclic

    def _callable(self, graph: Graph) -> Any:
        found = self._callables.get(graph)
        if found is None:
            with self._lock:
                if len(self._callables) >= _MAX_CALLABLES:
                    self._callables.pop(next(iter(self._callables)))
                options = CallableOptions(feed=graph.feeds, fetch=graph.fetches)
                # Not public; what is, Session.run and make_callable, refuses undeclared shapes, and takes
                # 0.2 ms longer a call.
                found = self._callables[graph] = self._session._make_callable_from_options(options)
        return found

    def _compile(self) -> None:
        for signature in self.signatures.values():
            # A signature that does not compile, say of sparse tensors, fails when asked for.
            with contextlib.suppress(tf.errors.OpError):
                if signature.inputs and signature.outputs:
                    self._callable(signature.graph)


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Returns names without repetition, in the order of their first occurrence."""
    return tuple(dict.fromkeys(names))


def from_tensorflow(error: tf.errors.OpError) -> ServingError:
    """Returns TensorFlow's error with the same code and message."""
    return ServingError(_CODES.get(error.error_code, grpc.StatusCode.UNKNOWN), error.message)
