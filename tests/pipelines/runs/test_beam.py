"""Beam's options on their way around the cache."""

import os
import subprocess
import sys

import pytest

from components.errors import UserError
from pipelines.runs.beam import MOST_OPTIONS, check_options, outside_the_cache


def test_placeholders_are_the_same_whatever_they_stand_for() -> None:
    seen = []
    for options in (["--runner=DirectRunner"], ["--runner=FlinkRunner", "--parallelism=4"]):
        with outside_the_cache(options) as placeholders:
            texts = [placeholder.encode() for placeholder in placeholders]
            seen.append([text.SerializeToString(deterministic=True) for text in texts])
            values = [os.environ[text.placeholder.key] for text in texts]
            assert list(dict.fromkeys(values)) == options
    assert seen[0] == seen[1]
    assert not [name for name in os.environ if name.startswith("MILLRACE_BEAM_")]


def test_more_options_than_fit_are_refused() -> None:
    options = [f"--option{number}=1" for number in range(MOST_OPTIONS + 1)]
    message = "--beam: expected at most 32 options, got 33"
    with pytest.raises(UserError, match=message), outside_the_cache(options):
        raise AssertionError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"foo": "1"}, "--beam foo=1: unknown option of Beam 'foo'; the nearest known is "),
        ({"direct_num_worker": "2"}, "direct_num_worker=2: .*; the nearest known is 'direct_num_workers'"),
        ({"direct_num_workers": "x"}, "direct_num_workers=x: .*invalid int value: 'x'"),
        ({"direct_running_mode": "x"}, "direct_running_mode=x: .*invalid choice: 'x'"),
        ({"runner": "FlinkRuner"}, "runner=FlinkRuner: unknown runner .* did you mean 'FlinkRunner'"),
    ],
)
def test_what_beam_does_not_know_is_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_options(options)


@pytest.mark.parametrize("runner", ["DaskRunner", "dask", "apache_beam.runners.dask.dask_runner.DaskRunner"])
def test_the_runner_that_loses_outputs_is_refused_by_name(runner: str) -> None:
    message = f"--beam runner={runner}: Beam's DaskRunner loses outputs without a word"
    with pytest.raises(UserError, match=message):
        check_options({"runner": runner})


def test_nobody_hears_what_beam_warns_of_as_it_is_imported() -> None:
    command = [sys.executable, "-m", "pipelines.cli.main", "run", "mnist", "--data", "D", "--beam", "foo=1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "--beam foo=1: unknown option of Beam 'foo'" in done.stderr


def test_what_beam_knows_is_taken() -> None:
    assert check_options({}) == {}
    own = {"runner": "company.runners.OwnRunner", "direct_num_workers": "2"}
    assert check_options(own) == own


@pytest.mark.parametrize(
    ("runner", "known"),
    [("flink", "FlinkRunner"), ("DIRECT", "DirectRunner"), ("directrunner", "DirectRunner")],
)
def test_a_runner_has_the_name_that_beam_gives_it(runner: str, known: str) -> None:
    assert check_options({"parallelism": "4", "runner": runner}) == {"parallelism": "4", "runner": known}
