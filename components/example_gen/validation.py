"""ExampleValidator that stops the run at an anomaly, after it has written all of them down."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import components
from tfx.components.example_validator import executor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import Artifact, artifact_utils
from tfx.utils import io_utils

from components.errors import UserError

# A runner may delete the outputs of a failed node, so the error has to say what matters.
_SHOWN = 5


class AnomalyError(UserError, ValueError):
    """Examples that do not fit the schema."""


class Executor(executor.Executor):
    """TFX's own, which only writes anomalies down; then raises AnomalyError if there are any."""

    def Do(
        self,
        input_dict: Mapping[str, list[Artifact]],
        output_dict: Mapping[str, list[Artifact]],
        exec_properties: Mapping[str, Any],
    ) -> Any:
        result = super().Do(input_dict, output_dict, exec_properties)
        (artifact,) = output_dict["anomalies"]
        found = [
            f"split {split!r}, {anomaly}"
            for split in artifact_utils.decode_split_names(artifact.split_names)
            for anomaly in _describe(_read(artifact, split))
        ]
        if found:
            more = f"; and {len(found) - _SHOWN} more" if found[_SHOWN:] else ""
            raise AnomalyError("; ".join(found[:_SHOWN]) + more)
        return result


class ExampleValidator(components.ExampleValidator):
    """The node "ExampleValidator": statistics and schema to `anomalies`, or a failed run."""

    EXECUTOR_SPEC = ExecutorClassSpec(Executor)


def _read(artifact: Artifact, split: str) -> anomalies_pb2.Anomalies:
    uri = artifact_utils.get_split_uri([artifact], split)
    return anomalies_pb2.Anomalies.FromString(
        io_utils.read_bytes_file(os.path.join(uri, executor.DEFAULT_FILE_NAME))
    )


def _describe(anomalies: anomalies_pb2.Anomalies) -> Iterator[str]:
    """Yields "feature 'label': Out-of-range values: …" for each anomaly."""
    for key, anomaly in sorted(anomalies.anomaly_info.items()):
        yield f"feature {key!r}: {_one_line(anomaly.short_description)}: {_one_line(anomaly.description)}"
    if anomalies.HasField("dataset_anomaly_info"):
        yield _one_line(anomalies.dataset_anomaly_info.description)


def _one_line(text: str) -> str:
    return " ".join(text.split())
