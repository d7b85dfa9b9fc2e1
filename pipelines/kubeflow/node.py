"""What the compiled pipeline tells a container about its node: the contract of runner and entrypoint."""

from __future__ import annotations

import json
import posixpath
import re
from typing import Any, Final, Literal

from components.config import Config, ConfigError

# Metadata of an artifact that stands for none: KFP cannot leave an output away.
EMPTY: Final = "empty"

ParameterType = Literal["STRING", "NUMBER_INTEGER", "NUMBER_DOUBLE", "BOOLEAN"]


class Parameter(Config):
    """A parameter of the whole run, and where its value goes in a node's exec properties."""

    name: str
    type: ParameterType
    # Keys from the outside in; behind the first one the property is JSON: ("custom_config", "settings", …).
    path: tuple[str, ...]
    # For settings that may be none, since every parameter needs a default.
    zero_is_none: bool = False


class NodeSpec(Config):
    """One node, as its container has to run it."""

    id: str
    # Its name, as of a local run.
    pipeline: str = ""
    # Dotted names of classes.
    executor: str
    driver: str | None = None
    # Artifact classes by key.
    inputs: dict[str, str]
    outputs: dict[str, str]
    exec_properties: dict[str, str | int | float]
    parameters: tuple[Parameter, ...] = ()
    # The input whose location is the exec property `input_base`: data that KFP fetched.
    data_input: str | None = None
    beam_args: tuple[str, ...] = ()
    # Whether TensorFlow and Beam open the artifacts' URIs themselves, instead of KFP's copies of them:
    # workers on other machines do not see those.
    remote: bool = False
    # Whether it does no more than look for something new: see pipelines/kubeflow/news.py.
    asks: bool = False
    # A location that all pods see, where pods that train together find their inputs.
    stage_dir: str = ""
    # The TFJob that does the work, without its name and arguments, where one pod is not enough,
    job: dict[str, Any] | None = None
    # and how long its pods may wait for a place on the cluster.
    start_timeout_s: int = 0

    def to_json(self) -> str:
        """Returns what is not default, in an order that depends on nothing: it is part of KFP's cache key."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)


def task_name(node_id: str) -> str:
    """Returns a node's id in kebab case, which Argo takes: "LatestBlessedModel" -> "latest-blessed-model"."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", node_id)
    name = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    if not name:
        raise ConfigError(f"{node_id!r}: expected a name with letters or digits")
    return name


def run_id(node_id: str, output_file: str) -> str:
    """Returns the run's id, which KFP tells in the path of `outputFile` alone: "…/RUN/TASK/SALT/x.json"."""
    task = task_name(node_id)
    before, found, _ = output_file.rpartition(f"/{task}/")
    if not found:
        raise ConfigError(f"outputFile: expected …/RUN/{task}/…, got {output_file}")
    return posixpath.basename(before)
