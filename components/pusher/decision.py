"""What the Pusher decided, in the line of its log that says so.

Kubeflow Pipelines hands out logs, but not what an executor wrote of its outputs.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Decision(NamedTuple):
    """Where a model was published, or why it was not."""

    destination: str | None
    refusal: str | None


def pushed_line(model_name: str, destination: str) -> str:
    """Returns "mnist is pushed: /millrace/models/mnist/7"."""
    return f"{model_name} is pushed: {destination}"


def refused_line(model_name: str, reason: str) -> str:
    """Returns "mnist is not pushed: the Evaluator did not bless it: accuracy …", in one line."""
    return f"{model_name} is not pushed: {' '.join(reason.split())}"


def read_decision(log: str, model_name: str) -> Decision | None:
    """Returns what the last such line of a log says; None without one."""
    lines = re.findall(rf"(?:^|\s){re.escape(model_name)} is (not )?pushed: (.*)", log)
    if not lines:
        return None
    refused, text = lines[-1]
    return Decision(None, text.strip()) if refused else Decision(text.strip(), None)
