"""The files of an evaluation artifact beside TFMA's own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from components.errors import UserError

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


def read_text(path: str) -> str:
    """Returns the text of a local file or of one on an object store; OSError if there is none."""
    if "://" not in path:
        return Path(path).read_text(encoding="utf-8")
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path) as file:
            return str(file.read())
    except tf.errors.OpError as error:
        raise OSError(error.message) from error


def write_text(path: str, text: str) -> None:
    """Writes aside, then renames: a reader sees the whole text or none."""
    import tensorflow as tf

    aside = f"{path}.part"
    with tf.io.gfile.GFile(aside, "w") as file:
        file.write(text)
    tf.io.gfile.rename(aside, path, overwrite=True)
