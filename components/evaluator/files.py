"""The files of an evaluation artifact beside TFMA's own."""

from __future__ import annotations

import json
import os
from typing import Any, Final

from components import files
from components.errors import UserError

METRICS_FILE: Final = "metrics.json"
REPORT_FILE: Final = "report.html"
WORST_FILE: Final = "worst.json"
# How bad the answer to each example is, and how some of the bad ones look.
ANSWERS_FILE: Final = "answers.json"
MISTAKES_FILE: Final = "mistakes.json"
INTERVALS_FILE: Final = "intervals.json"
# The model's card, which the Pusher publishes with it: Markdown and a page.
CARD_FILES: Final = ("card.md", "card.html")


class EvaluationError(UserError, ValueError):
    """An evaluation artifact that is not there or not readable."""


def load_metrics(evaluation_uri: str) -> dict[str, Any]:
    """Returns the result of an evaluation, as `result.collect` describes it."""
    path = os.path.join(evaluation_uri, METRICS_FILE)
    try:
        return dict(json.loads(files.read_text(path)))
    except OSError as error:
        raise EvaluationError(f"{path}: expected the result of an evaluation: {error}") from error
    except ValueError as error:
        raise EvaluationError(f"{path}: not JSON: {error}") from error
