"""Folders of checkpoints of trainings whose models are not published yet, one a training."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from typing import Final

from components import files
from components.export.origin import Origin

_KEPT_S: Final = 7 * 24 * 3600

logger = logging.getLogger(__name__)


def name_of(origin: Origin) -> str:
    """Returns a folder's name: equal for equal data, settings and code, wherever they lie."""
    content = json.dumps(origin.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def sweep(folder: str, kept: str) -> None:
    """Removes the folders in which nothing was written for a week, but for the one with the name `kept`."""
    try:
        for name in files.list_folder(folder):
            path = os.path.join(folder, name)
            if name != kept and _newest_s(path) < time.time() - _KEPT_S:
                files.remove_tree(path)
                logger.info("removed what was left of a training: %s", path)
    except OSError as error:
        # Another training sweeps, too; or the folder is not ours. Neither is a reason not to train.
        logger.warning("%s: cannot be swept: %s", folder, error)


def _newest_s(folder: str) -> float:
    times = [files.modified_s(os.path.join(folder, name)) for name in files.walk(folder)]
    # One that is empty may have been made this moment.
    return max(times, default=time.time())
