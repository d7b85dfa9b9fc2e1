"""What the terminal shows: errors as one line, progress of our own code, and nobody else's noise."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import pydantic
import rich
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from components.beam_errors import worker_error
from components.errors import Failure, UserError, causes
from components.progress import BOARD
from pipelines import full_disk, terminal

USER_ERROR: Final = 2
FAILURE: Final = 1

_TRACEBACK: Final = "Traceback (most recent call last):"
_OUR_LOGGERS: Final = ("components", "pipelines")
# Of which one does not wait for a bar.
_FEW: Final = 8

# What only another path, or another user, changes.
_NOT_USABLE: Final = (
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP),
)

_Item = TypeVar("_Item")


class Explained(NamedTuple):
    """An error as the user meets it."""

    exit_code: int
    message: str

    def to_json(self) -> dict[str, Any]:
        """Returns what `--json` prints of it."""
        return {"error": self._asdict()}


class InResult(Failure):
    """A failure that the JSON on stdout has told already."""


_MORE: Final = "; run again with --debug for the traceback"


def explain(error: BaseException, more: str = _MORE) -> Explained:
    """Returns the exit code and the one line of an error, which ends with `more` for one that nobody foresaw.

    A UserError or Failure anywhere in the chain of causes speaks for itself, the innermost one first, and
    also where Beam has turned it into text. A full disk is told alike, whoever tells of it.
    """
    chain = list(causes(error))
    if full := full_disk.told_by(chain):
        advice = "free some space and run the same command again, finished nodes are reused"
        return Explained(FAILURE, _one_line(f"{full}; {advice}"))
    expected = [cause for cause in chain if isinstance(cause, (UserError, Failure))]
    for cause in (*reversed(expected), *reversed(chain)):
        if known := worker_error(cause) or _not_utf8(cause) or _not_usable(cause):
            exit_code = USER_ERROR if isinstance(known, UserError) else FAILURE
            return Explained(exit_code, _one_line(str(known)))
    return Explained(FAILURE, _unexpected(chain) + more)


def _not_utf8(error: BaseException) -> UserError | None:
    """Returns what is wrong where an argument of other bytes came to something that takes UTF-8 alone."""
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        return UserError(f"{error.object}: expected UTF-8")
    if isinstance(error, pydantic.ValidationError):
        for detail in error.errors():
            if detail["type"] == "string_unicode":
                return UserError(f"{detail['input']}: expected UTF-8")
    return None


def _not_usable(error: BaseException) -> UserError | None:
    """Returns what is wrong with a path that somebody may not use, or that is no such thing."""
    if isinstance(error, OSError) and error.errno in _NOT_USABLE and error.filename:
        return UserError(f"{error.filename}: {error.strerror}")
    return None


def _unexpected(chain: list[BaseException]) -> str:
    # TFX turns a file that is not there into an error without words.
    return next(filter(None, map(_summary, chain)), None) or _place(chain[0])


def _summary(error: BaseException) -> str | None:
    """Returns the line that matters: the last one of a traceback in a message, otherwise the first one.

    None for an error without words.
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    lines = [line for line in str(error).splitlines() if line.strip()]
    if not lines:
        return None
    if any(_TRACEBACK in line for line in lines):
        return _one_line(lines[-1])
    return f"{type(error).__name__}: {_one_line(lines[0])}"


def _place(error: BaseException) -> str:
    """Returns where an error without words was raised: "KeyError in find (registry.py, line 7)"."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f" in {frame.name} ({Path(frame.filename).name}, line {frame.lineno})" for frame in frames]
    return type(error).__name__ + "".join(places[-1:])


def _one_line(text: str) -> str:
    return " ".join(text.split())


def print_error(message: str) -> None:
    """Prints `millrace: error: …` on stderr, in one line however narrow the terminal."""
    diagnostics().print(f"[bold red]millrace: error:[/] {escape(message)}", soft_wrap=True, highlight=False)


def note(message: str) -> None:
    """Prints a line of progress on stderr."""
    diagnostics().print(escape(message), soft_wrap=True, highlight=False)


def diagnostics() -> Console:
    """Returns rich's global console, on stderr; a progress bar and the lines above it have to share one."""
    console = rich.get_console()
    if not console.stderr:
        rich.reconfigure(stderr=True, emoji=False)
    return rich.get_console()


def has_live_block() -> bool:
    """Whether a run shows on the terminal what it is doing, in a block that it redraws."""
    return diagnostics().is_terminal and not diagnostics().is_dumb_terminal


def download_progress() -> Progress:
    """Returns a progress bar for bytes."""
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), *columns, console=diagnostics())


def counted(items: Iterable[_Item], total: int, what: str) -> Iterator[_Item]:
    """Yields the items, beside a bar that counts them where they, or windows, are many and somebody looks."""
    columns = (TextColumn("{task.fields[done]:,} of {task.total:,.0f} {task.description}"), BarColumn())
    with _Counting(
        *columns,
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=diagnostics(),
        # What came of a few items follows at once.
        transient=total <= _FEW,
        disable=not diagnostics().is_terminal,
    ) as bar:
        task = bar.add_task(what, total=total, visible=total > _FEW, done=0)
        for done, item in enumerate(items, start=1):
            yield item
            bar.update(task, completed=done, done=done)


class _Counting(Progress):
    """Items as they are done, and of one that is being worked on the share of its windows."""

    def get_renderables(self) -> Iterable[RenderableType]:
        windows = BOARD.windows() if BOARD.windows else (0, 0)
        for task in self.tasks if windows[1] > _FEW else ():
            share = windows[0] / windows[1]
            self.update(task.id, completed=task.fields["done"] + share, visible=True)
        return super().get_renderables()


def results() -> Console:
    """Returns a console on stdout; where nobody looks at it, lines are as long as they need to be."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 400
    # Both, or a dumb terminal counts as 80 columns.
    return Console(width=width, height=24, highlight=False, markup=False, emoji=False)


def print_json(value: Any) -> None:
    """Prints a result as JSON on stdout, sorted, letters beyond its encoding as numbers."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str, sort_keys=True)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2, default=str, sort_keys=True)
    print(text)


def print_outcome(value: Mapping[str, Any], check: Callable[[], None]) -> None:
    """Prints a result as JSON with the `error` that `check` raises, or null; raises InResult for one."""
    try:
        check()
    except (UserError, Failure) as error:
        print_json({**value, **explain(error).to_json()})
        raise InResult(str(error)) from error
    print_json({**value, "error": None})


@contextlib.contextmanager
def quiet(log_file: Path | None, debug: bool) -> Iterator[None]:
    """Shows the log lines of our own packages; all else goes to a file, or nowhere without one.

    With `debug` everything is shown. Must be entered before TensorFlow is imported.
    """
    with contextlib.ExitStack() as stack:
        if debug:
            stack.enter_context(_handling(logging.getLogger(), _TerminalHandler()))
            yield
            return
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        # On by itself only where a CPU has AVX-512; a quarter faster for BERT without it, too.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
        log = stack.enter_context(open(log_file or os.devnull, "a", encoding="utf-8"))
        stack.enter_context(_stderr_to(log))
        handler = _file_handler(log.name)
        stack.callback(handler.close)
        stack.enter_context(_handling(logging.getLogger(), handler))
        stack.enter_context(_captured_warnings())
        for name in _OUR_LOGGERS:
            stack.enter_context(_handling(logging.getLogger(name), _TerminalHandler()))
        try:
            yield
        except BaseException:
            logging.getLogger().error("failed", exc_info=True)
            raise


class _TerminalHandler(logging.Handler):
    """A log record, a line on the console that a progress bar uses, too."""

    def emit(self, record: logging.LogRecord) -> None:
        if not (getattr(record, "in_live_block", False) and has_live_block()):
            note(self.format(record))


class _FileHandler(logging.FileHandler):
    """A log record, lines of the file; a full disk loses them, while the error itself is on the terminal."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


def _file_handler(path: str) -> logging.Handler:
    handler = _FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return handler


@contextlib.contextmanager
def _handling(logger: logging.Logger, handler: logging.Handler) -> Iterator[None]:
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


@contextlib.contextmanager
def _captured_warnings() -> Iterator[None]:
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)


@contextlib.contextmanager
def _stderr_to(log: io.TextIOBase) -> Iterator[None]:
    """Sends the process' standard error to a file, while `sys.stderr` still reaches the terminal.

    C++ libraries write to the file descriptor and know no handlers. Children inherit it, too.
    """
    sys.stderr.flush()
    terminal_descriptor = os.dup(2)
    before = sys.stderr
    if terminal.writes_to(before, 2):
        sys.stderr = terminal.stream(terminal_descriptor, before.encoding)
    os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(terminal_descriptor, 2)
        sys.stderr = before
        os.close(terminal_descriptor)
