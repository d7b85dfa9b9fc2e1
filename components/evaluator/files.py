"""The files of an evaluation artifact beside TFMA's own."""

from __future__ import annotations

import json
import os
from typing import Any, Final

from components.errors import UserError
from components.files import read_text

METRICS_FILE: Final = "metrics.json"
REPORT_FILE: Final = "report.html"
MISTAKES_FILE: Final = "mistakes.json"


class EvaluationError(UserError, ValueError):
    """An evaluation artifact that is not there or not readable."""


def load_metrics(evaluation_uri: str) -> dict[str, Any]:
    """Returns the result of an evaluation, as `result.collect` describes it."""
    path = os.path.join(evaluation_uri, METRICS_FILE)
    try:
        return dict(json.loads(read_text(path)))
    except OSError as error:
        raise EvaluationError(f"{path}: expected the result of an evaluation: {error}") from error
    except ValueError as error:
        raise EvaluationError(f"{path}: not JSON: {error}") from error
