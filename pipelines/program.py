"""How this program was called, for it to propose commands that work when they are pasted."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Final

_NAME: Final = "millrace"
_MODULE: Final = "pipelines.cli.main"


def command(*words: object) -> str:
    """Returns a command line of this program: command("run", "cola") -> ".venv/bin/millrace run cola"."""
    return shlex.join([*called_as(), *map(str, words)])


def called_as() -> list[str]:
    """Returns the words before a verb: ["millrace"], [".venv/bin/millrace"], ["python", "-m", …]."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.name == _MODULE:
        return [sys.orig_argv[0], "-m", _MODULE]
    on_path = os.path.realpath(shutil.which(_NAME) or "")
    is_named = os.path.basename(sys.argv[0]) == _NAME
    return [sys.argv[0]] if is_named and os.path.realpath(sys.argv[0]) != on_path else [_NAME]


def with_setting(arguments: Sequence[str], assignment: str) -> list[str]:
    """Returns a command's arguments with `--set ASSIGNMENT` at their end, in place of those of its key."""
    return [*_without(arguments, f"{assignment.partition('=')[0]}="), "--set", assignment]


def _without(arguments: Sequence[str], key: str) -> Iterator[str]:
    words = iter(arguments)
    for word in words:
        if word == "--set":
            value = next(words, "")
            if not value.startswith(key):
                yield from (word, value)
        elif not word.startswith(f"--set={key}"):
            yield word
