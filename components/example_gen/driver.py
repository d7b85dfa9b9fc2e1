"""What ExampleGen finds out before the cache is asked: which files there are, and whether they changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, struct_pb2
from tfx.components.example_gen import utils
from tfx.components.example_gen.driver import FileBasedDriver
from tfx.proto import example_gen_pb2
from tfx.types import standard_component_specs
from tfx.utils import proto_utils

from components.example_gen.digests import fingerprint
from components.protocols import Source
from components.reference import Reference


class Driver(FileBasedDriver):
    """TFX's own, with a fingerprint of the files that the source reads.

    TFX's takes that of a glob, in which the folder's name is a part of the pattern: of `[1]` it finds no
    files, whose fingerprint never changes.
    """

    def resolve_exec_properties(
        self, exec_properties: dict[str, Any], pipeline_info: Any, component_info: Any
    ) -> dict[str, Any]:
        """Adds span, version and fingerprint; raises FormatError for a split without files."""
        directory = exec_properties[standard_component_specs.INPUT_BASE_KEY]
        exec_properties[utils.SPAN_PROPERTY_NAME] = 0
        exec_properties[utils.VERSION_PROPERTY_NAME] = None
        exec_properties[utils.FINGERPRINT_PROPERTY_NAME] = fingerprint(source_of(exec_properties), directory)
        return exec_properties


def source_of(exec_properties: Mapping[str, Any]) -> Source:
    """Returns the source that `component.example_gen` put into `custom_config`."""
    config = example_gen_pb2.CustomConfig()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY], config)
    struct = struct_pb2.Struct()
    config.custom_config.Unpack(struct)
    source: Source = Reference(**json_format.MessageToDict(struct)["source"]).load(Source)
    return source
