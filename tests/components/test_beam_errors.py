"""Errors of Beam's workers, as text of other processes and as exceptions of this one."""

from pathlib import Path

import pytest

from components.beam_errors import worker_error
from components.errors import Failure, UserError
from components.example_gen.validation import AnomalyError
from components.formats.errors import FormatError


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (FormatError("a.idx: early [while running 'A'] [while running 'B/C']"), FormatError, "a.idx: early"),
        (Failure("no space"), Failure, "no space"),
        (
            RuntimeError(
                "Traceback (most recent call last):\n"
                '  File "x.py", line 1, in y\n'
                "components.errors.Failure: first\n\n"
                "During handling of the above exception, another exception occurred:\n\n"
                "components.formats.errors.FormatError: a: expected 3, got 2 [while running 'A-7']\n"
            ),
            FormatError,
            "a: expected 3, got 2",
        ),
        (
            RuntimeError("components.example_gen.validation.AnomalyError: odd"),
            AnomalyError,
            "odd",
        ),
        (RuntimeError("components.nowhere.Error: lost"), Failure, "lost"),
        (RuntimeError("components.files.nothing: lost"), Failure, "lost"),
    ],
)
def test_the_error_is_what_was_raised(
    error: Exception, kind: type[UserError | Failure], message: str
) -> None:
    known = worker_error(error)
    assert type(known) is kind
    assert str(known) == message


@pytest.mark.parametrize("error", [ValueError("odd"), RuntimeError("ValueError: in components.files: odd")])
def test_what_nobody_foresaw_stands_for_nothing(error: Exception) -> None:
    assert worker_error(error) is None


def test_the_error_of_a_real_worker_keeps_its_class(tmp_path: Path) -> None:
    import apache_beam as beam
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    from components.example_gen.digests import sha256

    with pytest.raises(Exception, match="nowhere") as caught, beam.Pipeline(runner=FnApiRunner()) as pipeline:
        pipeline | "Files" >> beam.Create([str(tmp_path / "nowhere")]) | "Digest" >> beam.Map(sha256)
    known = worker_error(caught.value)
    assert type(known) is FormatError
    assert str(known) == f"{tmp_path}/nowhere: cannot be read: No such file or directory"
