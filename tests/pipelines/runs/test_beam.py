"""Beam's options on their way around the cache."""

import os

import pytest

from components.errors import UserError
from pipelines.runs.beam import MOST_OPTIONS, outside_the_cache


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
