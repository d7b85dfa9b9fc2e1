"""Tables on terminals of every width, and for programs."""

import pytest

from pipelines.cli import layout
from pipelines.cli.layout import Column

COLUMNS = (
    Column("run", 0),
    Column("state", 1),
    Column("seconds", 3, is_number=True),
    Column("metrics", 2, folds=True),
)
ROWS = [
    ("cola-7", "complete", "24.2", "accuracy 0.9000, matthews_corrcoef 0.8000"),
    ("cola-10", "failed", "1.0", ""),
]


def _seen(columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    # Of whose width rich says that it is 80.
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", str(columns))
    layout.show(COLUMNS, ROWS)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


# The columns are 7, 8, 7 and 41 wide, the last one at least 30, with 3 between two.
@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (
            80,
            [
                "run       state      seconds   metrics",
                "─" * 72,
                "cola-7    complete      24.2   accuracy 0.9000, matthews_corrcoef 0.8000",
                "cola-10   failed         1.0",
            ],
        ),
        (
            60,
            [
                "run       state      metrics",
                "─" * 60,
                "cola-7    complete   accuracy 0.9000, matthews_corrcoef",
                "                     0.8000",
                "cola-10   failed",
            ],
        ),
        (50, ["run       state", "─" * 18, "cola-7    complete", "cola-10   failed"]),
        (10, ["run", "─" * 7, "cola-7", "cola-10"]),
        (5, ["run", "─" * 7, "cola-7", "cola-10"]),
    ],
)
def test_the_least_important_columns_go_first_and_no_id_is_folded(
    columns: int, lines: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _seen(columns, monkeypatch, capsys) == lines


def test_a_program_gets_every_column_between_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    layout.show(COLUMNS, [("cola-7", "complete", "24.2", "a\tlong " * 60), ROWS[1]])
    assert capsys.readouterr().out.split("\n") == [
        "run\tstate\tseconds\tmetrics",
        "cola-7\tcomplete\t24.2\t" + "a long " * 60,
        "cola-10\tfailed\t1.0\t",
        "",
    ]


def test_a_cell_does_not_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    layout.show((Column("input", 0),), [("\x1b[2Jgone\x07",)])
    assert "\x1b[2J" not in capsys.readouterr().out
