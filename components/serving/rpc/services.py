"""The gRPC services of TensorFlow Serving: their methods and messages.

The modules of its Python package that describe them, prediction_service_pb2 and model_service_pb2, cannot be
imported beside protobuf 4 and later. What they would say is declared here, for reflection too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

_PACKAGE: Final = "tensorflow.serving"


class Method(NamedTuple):
    """The messages of a unary call."""

    request: Any
    response: Any


class Service(NamedTuple):
    """A service, and the file that declares it."""

    name: str
    file: str
    methods: Mapping[str, Method]

    @property
    def full_name(self) -> str:
        """The name on the wire: "tensorflow.serving.ModelService"."""
        return f"{_PACKAGE}.{self.name}"


PREDICTION: Final = Service(
    "PredictionService",
    "tensorflow_serving/apis/prediction_service.proto",
    {
        "Classify": Method(
            classification_pb2.ClassificationRequest, classification_pb2.ClassificationResponse
        ),
        "Regress": Method(regression_pb2.RegressionRequest, regression_pb2.RegressionResponse),
        "Predict": Method(predict_pb2.PredictRequest, predict_pb2.PredictResponse),
        "MultiInference": Method(inference_pb2.MultiInferenceRequest, inference_pb2.MultiInferenceResponse),
        "GetModelMetadata": Method(
            get_model_metadata_pb2.GetModelMetadataRequest, get_model_metadata_pb2.GetModelMetadataResponse
        ),
    },
)
MODEL: Final = Service(
    "ModelService",
    "tensorflow_serving/apis/model_service.proto",
    {
        "GetModelStatus": Method(
            get_model_status_pb2.GetModelStatusRequest, get_model_status_pb2.GetModelStatusResponse
        ),
        "HandleReloadConfigRequest": Method(
            model_management_pb2.ReloadConfigRequest, model_management_pb2.ReloadConfigResponse
        ),
    },
)


def describe(service: Service) -> None:
    """Adds a service to protobuf's descriptors, where reflection finds it; again is no harm."""
    file = descriptor_pb2.FileDescriptorProto(
        name=service.file,
        package=_PACKAGE,
        syntax="proto3",
        dependency=sorted({method.request.DESCRIPTOR.file.name for method in service.methods.values()}),
        options=descriptor_pb2.FileOptions(cc_enable_arenas=True),
    )
    declared = file.service.add(name=service.name)
    for name, method in service.methods.items():
        declared.method.add(
            name=name,
            input_type=f".{method.request.DESCRIPTOR.full_name}",
            output_type=f".{method.response.DESCRIPTOR.full_name}",
        )
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
