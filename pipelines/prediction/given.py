"""The words of a command line as what a task's Asking is given."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from components import files
from components.config import unknown_name
from components.errors import UserError
from components.protocols import Asking, Given

_logger = logging.getLogger(__name__)

# In place of a file: what comes on standard input.
STDIN: Final = "-"
_OPTION: Final = re.compile(r"--([a-z][\w-]*)(?:=(.*))?", re.DOTALL)


class GivenError(UserError):
    """Words that are neither inputs nor fields, or a field that cannot be read."""


def read_given(
    asking: Asking,
    words: Sequence[str],
    rows: Path | None,
    assignments: Iterable[str],
    texts: Sequence[str] = (),
) -> Given:
    """Returns what was given: ["Who?", "--context", "rome.txt"] -> inputs ["Who?"] and the text of the file.

    `assignments` are NAME=TEXT, NAME=@FILE or NAME=-, the last for standard input; the option `--NAME FILE`
    of a field stands for NAME=@FILE, and `--NAME VALUE` for NAME=VALUE, as the Asking declares. `texts` are
    inputs that name no files. Raises GivenError, also for an empty input or field.
    """
    inputs, options = _split(asking, words)
    fields = dict(_assignment(asking, text) for text in assignments) | options
    if sum(value == STDIN for value in fields.values()) > 1:
        raise GivenError("standard input, -, can be one field alone")
    read = {name: _read(value) for name, value in fields.items()}
    for name, text in (*(("INPUT", text) for text in (*inputs, *texts)), *read.items()):
        if not text.strip():
            raise GivenError(f"{name}: expected more than white space, got {text!r}")
    return Given(inputs, rows, read, texts)


def _split(asking: Asking, words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Returns the inputs, and the fields that options among them give."""
    inputs, fields, rest = [], {}, iter(words)
    for word in rest:
        if option := _OPTION.fullmatch(word):
            name, value = option.groups()
            if name not in asking.fields:
                raise GivenError(f"no such option: --{name}; the task takes {asking.takes}")
            takes = asking.fields[name]
            value = next(rest, None) if value is None else value
            if value is None:
                raise GivenError(f"{word}: expected a {takes}, or - for standard input")
            fields[name] = value if takes == "value" or value == STDIN else f"@{value}"
        else:
            inputs.append(word)
    return inputs, fields


def _assignment(asking: Asking, text: str) -> tuple[str, str]:
    """Returns ("context", "Rome fell.") for "context=Rome fell."."""
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise GivenError(f"--field {text}: expected NAME=VALUE")
    if name not in asking.fields:
        known = unknown_name("field", name, asking.fields) if asking.fields else "the task takes no fields"
        raise GivenError(f"--field {text}: {known}")
    return name, value


def _read(value: str) -> str:
    """Returns a field's text: as it is, of a file, or of standard input."""
    try:
        if value == STDIN:
            return sys.stdin.buffer.read().decode()
        if value.startswith("@"):
            return files.read_text(value[1:])
        if os.path.exists(value):
            _logger.warning("%s: is a file, but its name is taken as the text; @%s reads it", value, value)
        return value
    except UnicodeDecodeError as error:
        raise GivenError(f"standard input: expected UTF-8, got {error.object[error.start]:#04x}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None)
        raise GivenError(f"{value[1:]}: cannot be read: {reason}" if reason else str(error)) from error
