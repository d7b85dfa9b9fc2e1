"""What the Canary does: try the exported model on a server of its own before anyone else serves it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from absl import logging
from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components import files
from components.canary.probe import probe
from components.canary.replay import Report, Tolerance

MODEL: Final = "model"
MODEL_BLESSING: Final = "model_blessing"
BLESSING: Final = "blessing"
ABSOLUTE_TOLERANCE: Final = "absolute_tolerance"
DIFFERING_SHARE: Final = "differing_share"
TIMEOUT_S: Final = "timeout_s"

Artifacts = Mapping[str, Sequence[types.Artifact]]


class Executor(base_executor.BaseExecutor):
    """Writes canary.json, and INFRA_BLESSED or INFRA_NOT_BLESSED as TFX's InfraValidator does."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: Mapping[str, Any]) -> None:
        blessing = artifact_utils.get_single_instance(output_dict[BLESSING])
        model = artifact_utils.get_single_instance(input_dict[MODEL])
        judgements = input_dict.get(MODEL_BLESSING)
        if judgements and not model_utils.is_model_blessed(artifact_utils.get_single_instance(judgements)):
            report = Report(ok=False, reason="not tried: the Evaluator did not bless it", signatures={})
        else:
            report = probe(
                path_utils.serving_model_path(model.uri),
                Tolerance(exec_properties[ABSOLUTE_TOLERANCE], exec_properties[DIFFERING_SHARE]),
                exec_properties[TIMEOUT_S],
            )
        _write(report, blessing)
        if not report.ok:
            logging.warning("%s is not blessed by the Canary: %s", model.uri, report.reason)


def _write(report: Report, blessing: types.Artifact) -> None:
    marker = "INFRA_BLESSED" if report.ok else "INFRA_NOT_BLESSED"
    for name, content in (("canary.json", report.model_dump_json(indent=2)), (marker, "")):
        files.write_text(os.path.join(blessing.uri, name), content)
    blessing.set_int_custom_property("blessed", int(report.ok))
