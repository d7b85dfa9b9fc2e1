"""Runs commands on a pseudo-terminal, and shows what a person would see there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Sequence
from typing import NamedTuple

_TOKEN = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


class Seen(NamedTuple):
    code: int
    raw: str
    # Every line that was ever complete on the screen, and what is there at the end.
    screen: list[str]


def run(arguments: Sequence[str], columns: int, lines: int = 40, **environment: str) -> Seen:
    """Runs Python with these arguments on a terminal of that size."""
    process, terminal = pty.fork()
    if process == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        # An environment of its own: readline puts COLUMNS where Python does not see it.
        size = ("COLUMNS", "LINES")
        inherited = {name: value for name, value in os.environ.items() if name not in size}
        terminal_type = {"TERM": "xterm-256color"}
        os.execve(sys.executable, [sys.executable, *arguments], {**inherited, **terminal_type, **environment})
    content = b""
    # Linux' way of saying that nobody writes there any more is EIO.
    while chunk := _read(terminal):
        content += chunk
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    raw = content.decode("utf-8")
    return Seen(os.waitstatus_to_exitcode(status), raw, screen(raw))


def screen(raw: str) -> list[str]:
    """Returns the lines of an endless screen, after every movement of the cursor and every erasure."""
    lines, row, column = [""], 0, 0
    for numbers, verb, returns, feeds, text in _TOKEN.findall(raw):
        if verb == "A":
            row -= int(numbers or 1)
        elif verb == "K":
            lines[row] = "" if numbers == "2" else lines[row][:column]
        elif returns:
            column = 0
        elif feeds:
            row += 1
            lines.extend([""] * (row + 1 - len(lines)))
        elif text:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
    return [line.rstrip() for line in lines]


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""
