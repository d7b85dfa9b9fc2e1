"""The command on terminals, and on what stands in their place, as people have them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MILLRACE = f"'{sys.executable}' -m pipelines.cli.main"
# Letters that not every encoding has, and a byte that is no UTF-8.
SAY = (
    "import sys; from pipelines import console, terminal; terminal.prepare(); "
    "print('2 × 3 – 4 … ± é ж', sys.argv[1]); console.note('2 × 3 é')"
)


def _shell(script: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("arguments", ["tasks", "tasks --json", "--help", "--version"])
def test_a_closed_standard_output_is_not_written_to(arguments: str) -> None:
    done = _shell(f"{MILLRACE} {arguments} >&-")
    assert (done.returncode, done.stderr) == (0, b"")


def test_without_any_standard_stream_the_exit_code_says_what_happened(tmp_path: Path) -> None:
    done = _shell(f"{MILLRACE} run mnist --data {tmp_path} --pipeline-root {tmp_path}/root <&- >&- 2>&-")
    assert done.returncode == 2
    assert _shell(f"{MILLRACE} data make mnist --out {tmp_path}/data <&- >&- 2>&-").returncode == 0
    # No file got one of their descriptors.
    assert b"complete" not in b"".join(file.read_bytes() for file in (tmp_path / "data").iterdir())


def test_a_reader_that_goes_changes_no_exit_code(tmp_path: Path) -> None:
    for redirection in ("", "2>&1"):
        done = _shell(f"set -o pipefail; {MILLRACE} tasks --json {redirection} | true")
        assert (done.returncode, done.stderr) == (0, b"")
    wrong = f"{MILLRACE} runs show x --pipeline-root {tmp_path} 2>&1 | true; echo ${{PIPESTATUS[0]}}"
    assert _shell(wrong).stdout == b"2\n"


def test_progress_that_nobody_reads_stops_nothing(tmp_path: Path) -> None:
    out = tmp_path / "data"
    done = _shell(
        f"set -o pipefail; {{ {MILLRACE} data make mnist --out {out} 2>&1 && echo done >&3; }} 3>&2 | true"
    )
    assert done.stderr == b"done\n"
    assert len(list(out.iterdir())) == 4


@pytest.mark.parametrize("arguments", ["tasks", "tasks --json", "--version"])
def test_a_full_disk_below_standard_output_is_told_once(arguments: str) -> None:
    done = _shell(f"{MILLRACE} {arguments} > /dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith(b"millrace: error: standard output: No space left on device")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("encoding", "out"),
    [
        ("ascii", rb"2 x 3 - 4 ... +- \xe9 \u0436 caf" + b"\xe9\n"),
        ("latin-1", b"2 \xd7 3 - 4 ... \xb1 \xe9 \\u0436 caf\xe9\n"),
        ("cp1252", b"2 \xd7 3 \x96 4 \x85 \xb1 \xe9 \\u0436 caf\xe9\n"),
        ("utf-8", "2 × 3 – 4 … ± é ж caf".encode() + b"\xe9\n"),
    ],
)
def test_every_encoding_shows_every_text(encoding: str, out: bytes) -> None:
    done = _shell(f"'{sys.executable}' -c \"{SAY}\" $'caf\\xe9'", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stdout) == (0, out)
    expected = "2 x 3 \\xe9\n" if encoding == "ascii" else "2 × 3 é\n"
    assert done.stderr == expected.encode(encoding)


def test_a_locale_without_unicode_shows_tables_and_whole_json() -> None:
    c = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = _shell(f"{MILLRACE} tasks; {MILLRACE} tasks --json", **c)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()


def test_json_holds_what_the_encoding_does_not() -> None:
    say = (
        "from pipelines import console, terminal; import sys; "
        "terminal.prepare(); console.print_json(sys.argv[1])"
    )
    for encoding in ("ascii", "latin-1", "utf-8"):
        done = _shell(f"'{sys.executable}' -c \"{say}\" $'ж\\xe9'", PYTHONIOENCODING=encoding)
        assert json.loads(done.stdout) == "ж\udce9"


def test_a_path_that_is_not_utf8_is_used_or_refused_in_one_line(tmp_path: Path) -> None:
    made = _shell(f"{MILLRACE} data make mnist --out $'{tmp_path}/caf\\xe9'")
    assert (made.returncode, made.stderr) == (0, bytes(tmp_path) + b"/caf\xe9: complete\n")
    for wrong in (
        f"run mnist --data $'{tmp_path}/caf\\xe9' --pipeline-root '{tmp_path}/root'",
        f"run mnist --data '{tmp_path}' --pipeline-root $'{tmp_path}/caf\\xe9'",
        f"retrain mnist --data $'{tmp_path}/caf\\xe9'",
    ):
        done = _shell(f"{MILLRACE} {wrong}")
        assert done.returncode == 2
        assert done.stderr == b"millrace: error: " + bytes(tmp_path) + b"/caf\xe9: expected UTF-8\n"


@pytest.mark.parametrize(
    "environment",
    [{"TERM": "", "COLUMNS": "0"}, {"TERM": "dumb", "COLUMNS": ""}, {"NO_COLOR": "1", "COLUMNS": "10"}],
)
def test_what_the_environment_says_of_a_terminal_may_be_missing_or_wrong(environment: dict[str, str]) -> None:
    done = _shell(f"{MILLRACE} tasks", **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"accuracy 0.97" in done.stdout
    assert b"\x1b" not in done.stdout
