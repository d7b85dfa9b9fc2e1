"""SchemaGen that writes the schema which the task declares, instead of inferring one from the data.

The task's features are the reviewed schema: data that does not fit them is an anomaly.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import Artifact, Channel, artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import io_utils

from components.features import Feature

_TYPES = {"bytes": schema_pb2.BYTES, "int64": schema_pb2.INT, "float32": schema_pb2.FLOAT}


class TaskSchemaGenSpec(ComponentSpec):
    """`features`: JSON of the features by key."""

    PARAMETERS = {"features": ExecutionParameter(type=str)}  # noqa: RUF012
    INPUTS: dict[str, ChannelParameter] = {}  # noqa: RUF012
    OUTPUTS = {"schema": ChannelParameter(type=standard_artifacts.Schema)}  # noqa: RUF012


class Executor(BaseExecutor):
    """Writes `schema.pbtxt`."""

    def Do(
        self,
        input_dict: Mapping[str, list[Artifact]],
        output_dict: Mapping[str, list[Artifact]],
        exec_properties: Mapping[str, Any],
    ) -> None:
        features = {key: Feature(**fields) for key, fields in json.loads(exec_properties["features"]).items()}
        uri = artifact_utils.get_single_uri(output_dict["schema"])
        io_utils.write_pbtxt_file(os.path.join(uri, "schema.pbtxt"), to_schema(features))


class TaskSchemaGen(BaseComponent):
    """The node "SchemaGen": a task's features to `schema`."""

    SPEC_CLASS = TaskSchemaGenSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(self, features: Mapping[str, Feature]) -> None:
        dumped = {key: feature.model_dump(mode="json") for key, feature in features.items()}
        spec = TaskSchemaGenSpec(
            features=json.dumps(dumped, sort_keys=True), schema=Channel(type=standard_artifacts.Schema)
        )
        super().__init__(spec=spec)
        self.with_id("SchemaGen")


def to_schema(features: Mapping[str, Feature]) -> schema_pb2.Schema:
    """Returns a schema in which every feature is in every example, with its shape and its range."""
    return schema_pb2.Schema(feature=[_to_feature(key, features[key]) for key in sorted(features)])


def _to_feature(key: str, feature: Feature) -> schema_pb2.Feature:
    declared = schema_pb2.Feature(
        name=key,
        type=_TYPES[feature.dtype],
    )
    # A feature of any number of values may have none anywhere.
    if feature.shape is not None:
        declared.presence.min_fraction, declared.presence.min_count = 1.0, 1
        # An empty shape stands for exactly one value.
        declared.shape.dim.extend(schema_pb2.FixedShape.Dim(size=size) for size in feature.shape)
        declared.shape.SetInParent()
    if feature.minimum is not None:
        declared.int_domain.min = feature.minimum
    if feature.maximum is not None:
        declared.int_domain.max = feature.maximum
    if feature.categorical:
        declared.int_domain.is_categorical = True
    if feature.opaque and feature.dtype == "bytes":
        # The one domain of which TFDV keeps lengths, but no values.
        declared.image_domain.SetInParent()
    return declared
