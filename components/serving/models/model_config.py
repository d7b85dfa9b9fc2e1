"""The models to serve: ModelServerConfig, read from flags or a file, and checked."""

from __future__ import annotations

import urllib.parse

from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig, ModelType

from components.serving.config_protos import read_text_proto
from components.serving.errors import invalid_argument
from components.serving.flags import ServerFlags

_PLATFORM = "tensorflow"


def initial_config(flags: ServerFlags) -> ModelServerConfig:
    """Returns the configuration that the flags name; raises ServingError if they name none."""
    if flags.model_config_file:
        return read_text_proto(flags.model_config_file, ModelServerConfig)
    if not flags.model_base_path:
        raise invalid_argument(
            "Both server_options.model_base_path and server_options.model_config_file are empty!"
        )
    config = ModelServerConfig()
    config.model_config_list.config.add(
        name=flags.model_name, base_path=flags.model_base_path, model_platform=_PLATFORM
    )
    return config


def checked_models(
    config: ModelServerConfig, previous: dict[str, ModelConfig] | None = None
) -> dict[str, ModelConfig]:
    """Returns the models by name; ServingError for what cannot be served or cannot follow `previous`."""
    models: dict[str, ModelConfig] = {}
    for model in config.model_config_list.config:
        if model.name in models:
            raise invalid_argument(f"Illegal to list model {model.name} multiple times in config list")
        models[model.name] = model
    for model in models.values():
        if not (model.base_path.startswith("/") or urllib.parse.urlsplit(model.base_path).scheme):
            raise invalid_argument(
                f"Expected model {model.name} to have an absolute path or URI; "
                f"got base_path()={model.base_path}"
            )
        _check_platform(model, (previous or {}).get(model.name))
    return models


def _check_platform(model: ModelConfig, previous: ModelConfig | None) -> None:
    platform = _platform(model)
    if previous is not None and platform != _platform(previous):
        raise invalid_argument(
            f"Illegal to change a model's platform. For model {model.name} platform was "
            f"{_platform(previous)} and new platform requested is {platform}"
        )
    if platform != _PLATFORM:
        raise invalid_argument(f"Model {model.name} requests unsupported platform {platform}")


def _platform(model: ModelConfig) -> str:
    if model.model_type != ModelType.MODEL_TYPE_UNSPECIFIED:
        if model.model_platform:
            raise invalid_argument(
                "Illegal setting both ModelServerConfig::model_type (deprecated) "
                "and ModelServerConfig::model_platform."
            )
        if model.model_type != ModelType.TENSORFLOW:
            raise invalid_argument(f"ModelServerConfig::model_type choice {model.model_type} not supported.")
        return _PLATFORM
    if not model.model_platform:
        raise invalid_argument(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) "
            "nor ModelServerConfig::model_platform."
        )
    return model.model_platform
