import errno
import io
import logging
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from components.config import ConfigError
from components.errors import Failure
from components.formats.errors import FormatError
from components.progress import BOARD
from pipelines import console
from pipelines.console import Explained, explain


def _caught(raise_it: object) -> BaseException:
    try:
        raise_it()  # type: ignore[operator]
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_expected_errors_speak_for_themselves() -> None:
    assert explain(ConfigError("train.x: unknown\nkey")) == Explained(2, "train.x: unknown key")
    assert explain(Failure("the mirror is gone")) == Explained(1, "the mirror is gone")


def test_the_innermost_expected_error_of_a_chain_is_told() -> None:
    def fail() -> None:
        try:
            raise FormatError("a.idx: expected magic 1, got 2")
        except FormatError as error:
            raise RuntimeError("a long story") from error

    assert explain(_caught(fail)) == Explained(2, "a.idx: expected magic 1, got 2")


def test_an_error_that_beam_turned_into_text_is_told_in_one_line() -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "x.py", line 1, in y\n'
        "components.formats.errors.FormatError: early\n"
        "During handling of the above exception, another exception occurred:\n"
        "components.formats.errors.FormatError: a: expected 3 [while running 'A'] [while running 'B']\n"
    )
    assert explain(RuntimeError(text)) == Explained(2, "a: expected 3")
    assert explain(RuntimeError("components.errors.Failure: no space")) == Explained(1, "no space")
    assert explain(RuntimeError("components.nowhere.Error: lost")) == Explained(1, "lost")


def _refuse(element: int) -> int:
    raise FormatError(f"a.idx: expected less, got {element}")


def test_an_error_in_a_real_beam_worker_is_told_in_one_line() -> None:
    import apache_beam as beam
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    def run() -> None:
        with beam.Pipeline(runner=FnApiRunner()) as pipeline:
            pipeline | "Numbers" >> beam.Create([7]) | "Refuse" >> beam.Map(_refuse)

    assert explain(_caught(run)) == Explained(2, "a.idx: expected less, got 7")


def test_a_full_disk_says_what_to_do() -> None:
    def fill() -> None:
        with open("/dev/full", "w") as file:
            file.write("x")

    code, message = explain(_caught(fill))
    assert code == 1
    assert "No space left on device; free some space and run the same command again" in message


def test_a_full_disk_names_the_file() -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/models/3/saved_model.pb")
    assert explain(error).message.startswith("/models/3/saved_model.pb: No space left on device")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG])
def test_a_path_that_cannot_be_used_is_a_mistake_in_what_was_given(code: int) -> None:
    error = OSError(code, os.strerror(code), "/a/b")
    assert explain(error) == Explained(2, f"/a/b: {os.strerror(code)}")


def test_unexpected_errors_point_to_debug() -> None:
    hint = "; run again with --debug for the traceback"
    assert explain(ValueError("odd\nmore")) == Explained(1, f"ValueError: odd{hint}")
    text = "Traceback (most recent call last):\n  File\nValueError: in a worker [while running 'A']"
    assert explain(RuntimeError(text)).message == f"ValueError: in a worker [while running 'A']{hint}"


class Wordless(Exception):
    pass


def test_an_error_without_words_is_told_by_its_cause() -> None:
    def fail() -> None:
        try:
            os.stat("/nonexistent/x")
        except FileNotFoundError as error:
            raise Wordless from error

    assert explain(_caught(fail)).message.startswith("/nonexistent/x: No such file or directory; ")


def test_an_error_without_words_or_cause_is_told_by_its_place() -> None:
    def fail() -> None:
        raise Wordless

    message = explain(_caught(fail)).message
    assert message.startswith("Wordless in fail (test_console.py, line ")
    assert explain(Wordless(" \n")).message == "Wordless; run again with --debug for the traceback"


def test_only_our_own_lines_reach_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "run.log"
    with warnings.catch_warnings(), console.quiet(log, debug=False):
        warnings.simplefilter("always")
        logging.getLogger("components.trainer").info("step %d", 1)
        logging.getLogger("components.trainer").debug("detail")
        logging.getLogger("another.package").warning("noise of a package")
        warnings.warn("noise of Python", stacklevel=1)
        os.write(2, b"noise of C++\n")
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "step 1\nafterwards\n"
    content = log.read_text()
    for noise in ("noise of a package", "noise of Python", "noise of C++", "step 1"):
        assert noise in content


def test_the_log_keeps_the_traceback_of_a_failure(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    with pytest.raises(ValueError, match="odd"), console.quiet(log, debug=False):
        raise ValueError("odd")
    assert "Traceback (most recent call last)" in log.read_text()


def test_with_debug_everything_is_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with console.quiet(tmp_path / "run.log", debug=True):
        logging.getLogger("another.package").info("detail of a package")
    assert "detail of a package" in capfd.readouterr().err
    assert not (tmp_path / "run.log").exists()


def test_messages_are_not_taken_for_markup(capfd: pytest.CaptureFixture[str]) -> None:
    console.print_error("a[bold]b" * 20)
    assert capfd.readouterr().err == f"millrace: error: {'a[bold]b' * 20}\n"
    console.print_error("host:x: no answer")
    assert capfd.readouterr().err == "millrace: error: host:x: no answer\n"
    console.results().print("I :heart: it")
    assert capfd.readouterr().out == "I :heart: it\n"


def test_what_is_counted_comes_as_it_is_and_no_bar_where_nobody_looks(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert list(console.counted(iter(range(20)), 20, "questions")) == list(range(20))
    assert capfd.readouterr() == ("", "")


def _told_of(windows: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a terminal shows while one question is answered."""
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(console, "diagnostics", lambda: terminal)
    monkeypatch.setattr(BOARD, "windows", (lambda: windows) if windows else None)

    def answered() -> Iterator[str]:
        time.sleep(0.5)
        BOARD.windows = None
        yield "answer"

    assert list(console.counted(answered(), 1, "questions")) == ["answer"]
    return terminal.file.getvalue()


def test_the_share_of_the_windows_that_are_done_is_shown_where_they_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = _told_of((3, 12), monkeypatch)
    assert "0 of 1 questions" in told
    assert "25%" in told
    for few in ((1, 2), None):
        assert "questions" not in _told_of(few, monkeypatch)
