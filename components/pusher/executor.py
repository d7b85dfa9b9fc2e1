"""What the Pusher does: publish, if every blessing holds."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from absl import logging
from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.components.base import base_driver, base_executor
from tfx.orchestration.portable import base_driver as portable_base_driver
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration import driver_output_pb2
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components import files
from components.export.results import UNFINISHED, read_results
from components.pusher.decision import pushed_line, refused_line
from components.registry import refusals, registry
from components.registry.registry import PublishFailed

MODEL: Final = "model"
MODEL_BLESSING: Final = "model_blessing"
INFRA_BLESSING: Final = "infra_blessing"
EVALUATION: Final = "evaluation"
PUSHED_MODEL: Final = "pushed_model"
BASE_DIR: Final = "base_dir"
MODEL_NAME: Final = "model_name"
KEEP_VERSIONS: Final = "keep_versions"
UNFINISHED_DIR: Final = "unfinished_dir"
# Whether to publish also what a rollback withdrew: 0 or 1.
FORCE: Final = "force"
# Digest of what judges models: see components/registry/refusals.py.
JUDGE: Final = "judge"
# The run that published the model, or is to publish it; found before the cache is asked.
PUBLISHED_BY: Final = "published_by"
# Custom property of an input: where it is, where its `uri` is but this run's copy.
ORIGINAL_URI: Final = "original_uri"
# Custom property: why a blessed model was not pushed.
REASON: Final = "reason"

Artifacts = Mapping[str, Sequence[types.Artifact]]


class Driver(base_driver.BaseDriver, portable_base_driver.BaseDriver):
    """Makes the cache's key depend on the registry: a version that is gone is published again."""

    def run(self, execution_info: data_types.ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """Returns the execution property `published_by`."""
        output = driver_output_pb2.DriverOutput()
        output.exec_properties[PUBLISHED_BY].string_value = published_by(
            execution_info.input_dict, execution_info.exec_properties, str(execution_info.pipeline_run_id)
        )
        return output


class Executor(base_executor.BaseExecutor):
    """Publishes to the registry; see components/registry/registry.py."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: Mapping[str, Any]) -> None:
        pushed = artifact_utils.get_single_instance(output_dict[PUSHED_MODEL])
        model = artifact_utils.get_single_instance(input_dict[MODEL])
        model_dir = path_utils.serving_model_path(model.uri)
        refusal = _refusal(input_dict)
        withdrawal = "" if refusal else _withdrawal(model, exec_properties)
        if refusal:
            _remember(model, exec_properties, refusal)
        if refusal or withdrawal:
            logging.warning("%s", refused_line(exec_properties[MODEL_NAME], refusal or withdrawal))
            pushed.set_int_custom_property("pushed", 0)
            if withdrawal:
                pushed.set_string_custom_property(REASON, withdrawal)
            return
        version = registry.publish(
            model_dir,
            exec_properties[BASE_DIR],
            exec_properties[MODEL_NAME],
            metrics=_metrics(input_dict),
            source=self._source(model),
            keep_versions=exec_properties[KEEP_VERSIONS],
            blessed=bool(input_dict.get(MODEL_BLESSING)),
            cards=_cards(input_dict),
        )
        pushed.set_int_custom_property("pushed", 1)
        pushed.set_string_custom_property("pushed_version", str(version.version))
        pushed.set_string_custom_property("pushed_destination", version.path)
        logging.info("%s", pushed_line(exec_properties[MODEL_NAME], version.path))
        if exec_properties.get(UNFINISHED_DIR):
            _remove_checkpoints(model_dir, exec_properties[UNFINISHED_DIR])

    def _source(self, model: types.Artifact) -> dict[str, str]:
        # Where a run has a copy of the model, that is gone with it.
        source = {"model_uri": model.get_string_custom_property(ORIGINAL_URI) or model.uri}
        context = self._context
        if context and context.pipeline_info:
            source["pipeline"] = context.pipeline_info.id
        if context and context.pipeline_run_id:
            source["run_id"] = context.pipeline_run_id
        return source


def published_by(inputs: Artifacts, properties: Mapping[str, Any], run_id: str) -> str:
    """Returns the run that published the model, or `run_id` where that run is to publish it."""
    if _refusal(inputs):
        return ""
    origin = _origin(artifact_utils.get_single_instance(inputs[MODEL]))
    if entry := registry.withdrawn(properties[BASE_DIR], properties[MODEL_NAME], origin):
        return run_id if properties.get(FORCE) else f"withdrawn {entry.time}"
    for version in reversed(registry.versions(properties[BASE_DIR], properties[MODEL_NAME])):
        if origin and version.origin == origin:
            return version.source.get("run_id", version.digest)
    return run_id


def _origin(model: types.Artifact) -> str:
    return registry.origin_of(path_utils.serving_model_path(model.uri))


def _withdrawal(model: types.Artifact, exec_properties: Mapping[str, Any]) -> str:
    """Returns when an equal model was rolled back, unless it is to be published nevertheless, or nothing."""
    entry = registry.withdrawn(exec_properties[BASE_DIR], exec_properties[MODEL_NAME], _origin(model))
    if entry is None or exec_properties.get(FORCE):
        return ""
    return entry.explanation


def _remember(model: types.Artifact, exec_properties: Mapping[str, Any], reason: str) -> None:
    origin, judge = _origin(model), exec_properties.get(JUDGE)
    if origin and judge:
        refusals.remember(exec_properties[BASE_DIR], exec_properties[MODEL_NAME], origin, judge, reason)


def _refusal(inputs: Artifacts) -> str:
    """Returns why the model must not be pushed, or nothing."""
    blessings = inputs.get(MODEL_BLESSING)
    if blessings and not model_utils.is_model_blessed(artifact_utils.get_single_instance(blessings)):
        return _explained("the Evaluator did not bless it", inputs.get(EVALUATION), "metrics.json", "reasons")
    blessings = inputs.get(INFRA_BLESSING)
    if blessings and not model_utils.is_infra_validated(artifact_utils.get_single_instance(blessings)):
        return _explained("the Canary did not bless it", blessings, "canary.json", "reason")
    return ""


def _remove_checkpoints(model_dir: str, unfinished_dir: str) -> None:
    """Removes what the model's training left to go on from."""
    try:
        name = read_results(model_dir)[UNFINISHED]
        # Whatever stands in the file, no more than one of the folders goes.
        if name in files.list_folder(unfinished_dir):
            files.remove_tree(os.path.join(unfinished_dir, name))
    except (OSError, ValueError, KeyError, TypeError) as error:
        # The model is published all the same, and the next training sweeps.
        logging.warning("%s: checkpoints are not removed: %r", unfinished_dir, error)


def _explained(what: str, artifacts: Sequence[types.Artifact] | None, name: str, key: str) -> str:
    """Returns `what`, with the reasons that a file of an artifact gives where there is one."""
    path = os.path.join(artifact_utils.get_single_uri(artifacts), name) if artifacts else ""
    if not files.exists(path):
        return what
    found = json.loads(files.read_text(path))[key]
    return f"{what}: {'; '.join(found) if isinstance(found, list) else found}"


def _cards(inputs: Artifacts) -> dict[str, bytes]:
    """Returns the model's card as the Evaluator wrote it, by its name in the version's folder."""
    if not inputs.get(EVALUATION):
        return {}
    uri = artifact_utils.get_single_instance(inputs[EVALUATION]).uri
    written = {name: os.path.join(uri, os.path.basename(name)) for name in registry.CARDS}
    return {name: files.read_bytes(path) for name, path in written.items() if files.exists(path)}


def _metrics(inputs: Artifacts) -> dict[str, Any]:
    """Returns the metrics in the evaluation's metrics.json: {"metrics": {"accuracy": 0.98}, …}."""
    if not inputs.get(EVALUATION):
        return {}
    path = os.path.join(artifact_utils.get_single_instance(inputs[EVALUATION]).uri, "metrics.json")
    try:
        return dict(json.loads(files.read_text(path))["metrics"])
    except (ValueError, KeyError, TypeError) as error:
        raise PublishFailed(f"{path}: expected JSON with 'metrics', got {error!r}") from error
