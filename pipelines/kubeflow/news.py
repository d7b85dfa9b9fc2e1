"""The first node of a scheduled run: is there anything that the live model was not made of?

It writes the one output parameter on which the nodes that begin are conditional, and says why in its log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from components import files
from components.pusher import executor as pusher
from pipelines.dag.settings import RunConfig
from pipelines.runs import retrain
from pipelines.tasks import get_task

# The parameter, and its value where the others are to run.
FOUND: Final = "news"
YES: Final = "yes"
NO: Final = "no"

INPUT_BASE: Final = "input_base"
CUSTOM_CONFIG: Final = "custom_config"


def tell(exec_properties: Mapping[str, Any], output_file: str) -> None:
    """Writes whether there is anything new to KFP's `outputFile`; the properties are those of other nodes.

    Of ExampleGen where the data are, of the Trainer the task and its settings, of the Pusher where models are
    published and what judges them.
    """
    found = _compare(exec_properties)
    idle = found.idle if not (exec_properties[pusher.FORCE] and found.reasons) else None
    print(idle or "\n".join(found.reasons), flush=True)
    files.write_text(output_file, json.dumps({"parameterValues": {FOUND: NO if idle else YES}}))


def _compare(exec_properties: Mapping[str, Any]) -> retrain.Comparison:
    chosen = json.loads(exec_properties[CUSTOM_CONFIG])
    task = get_task(chosen["task"]).override(chosen["settings"])
    config = RunConfig(
        data_dir=exec_properties[INPUT_BASE], models_dir=exec_properties[pusher.BASE_DIR], pipeline_root=""
    )
    return retrain.compare(task, config, exec_properties[pusher.JUDGE])
