"""What LatestBlessedModel does: look into the registry, and copy what a candidate is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from absl import logging
from tfx import types
from tfx.dsl.components.base import base_driver, base_executor
from tfx.orchestration.portable import base_driver as portable_base_driver
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration import driver_output_pb2
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.registry import registry
from components.registry.registry import PublishedVersion, PublishError

CANDIDATE: Final = "candidate"
MODEL: Final = "model"
BASE_DIR: Final = "base_dir"
MODEL_NAME: Final = "model_name"
# Digest of the version that was found before the cache was asked; "" for none.
FOUND: Final = "found"

Artifacts = Mapping[str, Sequence[types.Artifact]]


class Driver(base_driver.BaseDriver, portable_base_driver.BaseDriver):
    """Makes the cache's key depend on what the registry holds now."""

    def run(self, execution_info: data_types.ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """Returns the execution property `found`."""
        output = driver_output_pb2.DriverOutput()
        output.exec_properties[FOUND].string_value = found(
            execution_info.input_dict, execution_info.exec_properties
        )
        return output


def found(inputs: Artifacts, exec_properties: Mapping[str, Any]) -> str:
    """Returns the digest of the version that a candidate would be compared with; "" for none."""
    versions = _comparable(inputs, exec_properties)
    return versions[0].digest if versions else ""


class Executor(base_executor.BaseExecutor):
    """Copies a version into `model`; where there is none to compare with, `model` has no artifact."""

    def Do(
        self,
        input_dict: Artifacts,
        output_dict: Mapping[str, list[types.Artifact]],
        exec_properties: Mapping[str, Any],
    ) -> None:
        model = artifact_utils.get_single_instance(output_dict[MODEL])
        folder = path_utils.serving_model_path(model.uri)
        version = _first_copied(_comparable(input_dict, exec_properties), folder)
        if version is None:
            logging.info("%s: no version to compare with", exec_properties[MODEL_NAME])
            output_dict[MODEL].clear()
            return
        model.set_int_custom_property("version", version.version)
        model.set_string_custom_property("source_uri", version.path)


def _comparable(inputs: Artifacts, exec_properties: Mapping[str, Any]) -> list[PublishedVersion]:
    """Returns the versions with which the candidate may be compared, newest first."""
    candidate = artifact_utils.get_single_instance(inputs[CANDIDATE])
    own = registry.origin_of(path_utils.serving_model_path(candidate.uri))
    known = registry.versions(exec_properties[BASE_DIR], exec_properties[MODEL_NAME])
    withdrawn = {entry.digest for entry in known[-1].withdrawn} if known else set()
    return [v for v in reversed(known) if v.digest not in withdrawn and not (own and v.origin == own)]


def _first_copied(versions: Iterable[PublishedVersion], folder: str) -> PublishedVersion | None:
    """Copies the first version that is whole, and returns it; the others are warnings."""
    for version in versions:
        try:
            registry.copy(version, folder)
        except PublishError as error:
            logging.warning("version %d is no baseline: %s", version.version, error)
        else:
            return version
    return None
