"""How a version is loaded: the session's settings, the SavedModel, its warm-up and its batching."""

from __future__ import annotations

import posixpath
from typing import Final

import grpc
import tensorflow as tf
from tensorflow.core.protobuf.config_pb2 import ConfigProto

from components.serving.config_protos import BatchingParameters, read_text_proto
from components.serving.errors import ServingError, invalid_argument
from components.serving.flags import ServerFlags
from components.serving.models.batching_settings import BatchingSettings, read_batching_settings
from components.serving.models.servable import Servable, from_tensorflow
from components.serving.models.warmup import warm_up

BATCHING_PARAMETERS: Final = "batching_params.pbtxt"


class SavedModelLoader:
    """Loads versions as the flags say; making one raises ServingError if the flags' files do not hold."""

    def __init__(self, flags: ServerFlags) -> None:
        self._flags = flags
        self._session_config = _session_config(flags)
        self.batching = _server_batching(flags)

    def __call__(self, model_name: str, version: int, path: str) -> Servable:
        """Returns a version, ready to serve; ServingError says why there is none."""
        try:
            return self._load(version, path)
        except ServingError:
            raise
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from error
        except MemoryError as error:
            raise ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, "out of memory") from error
        except Exception as error:  # a SavedModel may be wrong in any way, and is reported as failed
            raise ServingError(grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}") from error

    def _load(self, version: int, path: str) -> Servable:
        flags = self._flags
        tags = flags.saved_model_tags.split(",")
        batching = self._batching(path)
        servable = Servable.load(version, path, tags, self._session_config)
        servable.checks_method_names = flags.enable_signature_method_name_check
        servable.batching = batching
        try:
            if flags.enable_model_warmup:
                warm_up(servable, path, max(flags.num_request_iterations_for_warmup, 1))
        except BaseException:
            servable.close()
            raise
        return servable

    def _batching(self, path: str) -> BatchingSettings | None:
        if not (self.batching and self._flags.enable_per_model_batching_parameters):
            return self.batching
        file = posixpath.join(path, BATCHING_PARAMETERS)
        if not tf.io.gfile.exists(file):
            return None
        return read_batching_settings(read_text_proto(file, BatchingParameters))


def _server_batching(flags: ServerFlags) -> BatchingSettings | None:
    if not flags.enable_batching:
        if flags.batching_parameters_file:
            raise invalid_argument(
                "server_options.batching_parameters_file is set without setting "
                "server_options.enable_batching to true."
            )
        return None
    if not flags.batching_parameters_file:
        return BatchingSettings()
    return read_batching_settings(read_text_proto(flags.batching_parameters_file, BatchingParameters))


def _session_config(flags: ServerFlags) -> ConfigProto:
    threads = flags.tensorflow_session_parallelism
    intra, inter = flags.tensorflow_intra_op_parallelism, flags.tensorflow_inter_op_parallelism
    if threads and intra and inter:
        raise invalid_argument(
            "Either configure server_options.tensorflow_session_parallelism or "
            "(server_options.tensorflow_intra_op_parallelism, "
            "server_options.tensorflow_inter_op_parallelism) separately. You cannot configure all."
        )
    config = ConfigProto()
    if flags.tensorflow_session_config_file:
        config = read_text_proto(flags.tensorflow_session_config_file, ConfigProto)
    if intra or inter or threads:
        config.intra_op_parallelism_threads = intra if intra or inter else threads
        config.inter_op_parallelism_threads = inter if intra or inter else threads
    if flags.per_process_gpu_memory_fraction:
        config.gpu_options.per_process_gpu_memory_fraction = flags.per_process_gpu_memory_fraction
    return config
