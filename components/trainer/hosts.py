"""Which of the processes that train together this one is, by TF_CONFIG; without TensorFlow.

TF_CONFIG is `{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}`: see
tensorflow.org/guide/distributed_training.
"""

from __future__ import annotations

import json
import os
from typing import Any

from components.trainer.errors import TrainConfigError


def is_chief() -> bool:
    """Whether this process writes what all share: it is alone, the `chief` if there is one, or worker 0."""
    kind, index = _task()
    return kind == _chief_kind() and index == 0


def name() -> str:
    """Returns a name of this process among the others: "worker-1"; "chief" for the one that writes."""
    kind, index = _task()
    return "chief" if is_chief() else f"{kind}-{index}"


def has_others() -> bool:
    """Whether several processes train together."""
    cluster = _section("cluster")
    return sum(len(cluster.get(kind, [])) for kind in ("chief", "worker")) > 1


def _task() -> tuple[str, int]:
    task = _section("task")
    return str(task.get("type", _chief_kind())), int(task.get("index", 0))


def _chief_kind() -> str:
    return "chief" if _section("cluster").get("chief") else "worker"


def _section(key: str) -> dict[str, Any]:
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        return dict(json.loads(text).get(key, {}))
    except (ValueError, AttributeError) as error:
        raise TrainConfigError(f"TF_CONFIG: expected a JSON object with a {key}, got {text!r}") from error
