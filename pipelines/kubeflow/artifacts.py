"""Artifacts as Kubeflow Pipelines describes them in JSON, and as TFX knows them.

The JSON is "ExecutorInput" and "ExecutorOutput" of pipeline_spec.proto. KFP's launcher copies what lies
behind a URI to a path before a node runs, and copies back what the node leaves at the path of an output.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tfx import types
from tfx.types.artifact import PropertyType

from components.config import ConfigError
from components.pusher.executor import ORIGINAL_URI
from pipelines.kubeflow.node import EMPTY

# Where the launcher keeps its copies: backend/src/v2/component/launcher_v2.go, LocalPathForURI.
MOUNTS: Final = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}

_UNKNOWN_TO_TENSORFLOW: Final = ("minio://", "s3://")

# What KFP writes into metadata for itself.
_OF_KFP: Final = {"display_name", "store_session_info", "_kfp_workspace"}

Json = dict[str, Any]


class Locations:
    """Where artifacts are for this process, and what KFP calls those places."""

    def __init__(self, remote: bool) -> None:
        """With `remote`, TensorFlow opens URIs that it knows itself, for workers on other machines, too."""
        self._remote = remote
        self._uris: dict[str, str] = {}

    def local(self, given: Mapping[str, Any]) -> str:
        """Returns where this process finds or leaves an artifact of KFP."""
        uri = str(given["uri"])
        if self._remote and uri.startswith(_UNKNOWN_TO_TENSORFLOW):
            raise ConfigError(f"{uri}: workers on other machines open gs:// and shared folders alone")
        path = str(given.get("customPath") or (uri if self._remote else local_path(uri)))
        self._uris[path] = uri
        return path

    def rewritten(self, text: str) -> str:
        """Returns a text in which the places of this process are the URIs that they stand for."""
        for path in sorted(self._uris, key=len, reverse=True):
            text = text.replace(path, self._uris[path])
        return text


def local_path(uri: str) -> str:
    """Returns where the launcher has what a URI names: "minio://b/x" -> "/minio/b/x"; a path is itself."""
    for scheme, mount in MOUNTS.items():
        if uri.startswith(scheme):
            return mount + uri.removeprefix(scheme)
    return uri


def read_inputs(
    classes: Mapping[str, str], given: Json, locations: Locations
) -> dict[str, list[types.Artifact]]:
    """Returns the input artifacts by key, without those that a node does not name or that stand for none."""
    found = {}
    for key, dotted in classes.items():
        artifacts = [a for a in given.get(key, {}).get("artifacts", []) if not _metadata(a).get(EMPTY)]
        if artifacts:
            found[key] = [_input(dotted, artifact, locations) for artifact in artifacts]
    return found


def read_outputs(
    classes: Mapping[str, str], given: Json, locations: Locations
) -> dict[str, list[types.Artifact]]:
    """Returns the artifacts to be written, by key."""
    return {
        key: [_artifact(dotted, artifact, locations) for artifact in given[key]["artifacts"]]
        for key, dotted in classes.items()
    }


def written(output_dict: Mapping[str, Sequence[types.Artifact]], given: Json, locations: Locations) -> Json:
    """Returns what a node wrote, by key, as KFP wants to hear about it; an output without artifacts, too."""
    return {
        key: {
            "artifacts": [
                to_json(artifact, place, locations)
                for artifact, place in zip(found, given[key]["artifacts"], strict=True)
            ]
            if found
            else [{**place, "metadata": {EMPTY: 1}} for place in given[key]["artifacts"]]
        }
        for key, found in output_dict.items()
    }


def to_json(artifact: types.Artifact, given: Mapping[str, Any], locations: Locations) -> Json:
    """Returns an output artifact as KFP wants to hear about it."""
    metadata = dict(_properties(artifact, locations))
    kept = {key: given[key] for key in ("name", "type") if key in given}
    return {**kept, "uri": given["uri"], "metadata": metadata}


def import_class(dotted: str) -> Any:
    """Returns the class with a dotted name."""
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _input(dotted: str, given: Mapping[str, Any], locations: Locations) -> types.Artifact:
    artifact = _artifact(dotted, given, locations)
    artifact.set_string_custom_property(ORIGINAL_URI, given["uri"])
    return artifact


def _artifact(dotted: str, given: Mapping[str, Any], locations: Locations) -> types.Artifact:
    artifact = import_class(dotted)()
    artifact.uri = locations.local(given)
    last = str(given.get("name", "")).rpartition("/")[2]
    if last.isdigit():
        artifact.id = int(last)
    for key, value in _metadata(given).items():
        _set(artifact, key, value)
    return artifact


def _metadata(given: Mapping[str, Any]) -> Json:
    return {key: _unwrapped(value) for key, value in given.get("metadata", {}).items() if key not in _OF_KFP}


def _unwrapped(value: Any) -> Any:
    """Returns a value without the {"list": …} or {"struct": …} that ML Metadata puts around it."""
    if isinstance(value, dict) and len(value) == 1:
        return value.get("list", value.get("struct", value))
    return value


def _set(artifact: types.Artifact, key: str, value: Any) -> None:
    declared = artifact.PROPERTIES or {}
    if key in declared:
        setattr(artifact, key, int(value) if declared[key].type == PropertyType.INT else value)
    elif isinstance(value, bool):
        artifact.set_int_custom_property(key, int(value))
    elif isinstance(value, (int, float)) and float(value).is_integer():
        # KFP has no integers: 1 comes back as 1.0.
        artifact.set_int_custom_property(key, int(value))
    elif isinstance(value, float):
        artifact.set_float_custom_property(key, value)
    elif isinstance(value, str):
        artifact.set_string_custom_property(key, value)
    else:
        artifact.set_json_value_custom_property(key, value)


def _properties(artifact: types.Artifact, locations: Locations) -> Iterator[tuple[str, Any]]:
    mlmd = artifact.mlmd_artifact
    for properties in (mlmd.properties, mlmd.custom_properties):
        for key, value in properties.items():
            kind = value.WhichOneof("value")
            if kind == "string_value":
                yield key, locations.rewritten(value.string_value)
            elif kind in ("int_value", "double_value", "bool_value"):
                yield key, getattr(value, kind)
