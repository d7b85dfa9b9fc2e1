"""What the compiled pipeline tells a container about its node: the contract of runner and entrypoint."""

from __future__ import annotations

import json
from typing import Any, Final, Literal

from components.config import Config

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
    # A location that all pods see, where pods that train together find their inputs.
    stage_dir: str = ""
    # The TFJob that does the work, without its name and arguments, where one pod is not enough.
    job: dict[str, Any] | None = None

    def to_json(self) -> str:
        """Returns what is not default, in an order that depends on nothing: it is part of KFP's cache key."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
