"""Texts as they were typed, where the name of a file may have been meant by one."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from components.formats.errors import FormatError

_logger = logging.getLogger(__name__)


def typed(inputs: Sequence[str], texts: Sequence[str]) -> list[str]:
    """Returns all of them, `texts` being those that are certainly none; warns of inputs that name a file.

    Raises FormatError for bytes that are no UTF-8.
    """
    for text in inputs:
        if os.path.exists(text):
            kind = "folder" if os.path.isdir(text) else "file"
            told = "but its name is asked about as a text; --text says that it is meant"
            _logger.warning("%s: is a %s, %s", text, kind, told)
    for text in (*inputs, *texts):
        if not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text):
            raise FormatError(f"{text.encode(errors='replace').decode()}: expected UTF-8, got other bytes")
    return [*inputs, *texts]
