"""The node that looks up which published model a candidate is compared with."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, Final

from absl import logging
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components import files
from components.registry import registry
from pipelines.kubeflow.node import EMPTY

MODEL: Final = "model"


class Executor(base_executor.BaseExecutor):
    """Copies the live version into `model`; before the first one, marks `model` as empty."""

    def Do(
        self,
        input_dict: Mapping[str, Sequence[types.Artifact]],
        output_dict: Mapping[str, Sequence[types.Artifact]],
        exec_properties: Mapping[str, Any],
    ) -> None:
        model = artifact_utils.get_single_instance(output_dict[MODEL])
        live = registry.live(exec_properties["base_dir"], exec_properties["model_name"])
        model.set_int_custom_property(EMPTY, int(live is None))
        if live is None:
            logging.info("%s: no version is published yet", exec_properties["model_name"])
            return
        folder = path_utils.serving_model_path(model.uri)
        for name in live.files:
            files.copy_file(posixpath.join(live.path, name), posixpath.join(folder, name))
        model.set_int_custom_property("version", live.version)
        model.set_string_custom_property("source_uri", live.path)
