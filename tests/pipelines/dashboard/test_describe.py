from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from pipelines.dashboard import describe

NOW = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (59, "just now"),
        (60, "1 minute ago"),
        (7199, "1 hour ago"),
        (7200, "2 hours ago"),
        (86400 * 3, "3 days ago"),
        (-5, "just now"),
    ],
)
def test_a_moment_is_told_by_how_long_ago_it_is(seconds: int, expected: str) -> None:
    assert describe.ago(NOW - timedelta(seconds=seconds), NOW) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 0 s"), (3599.4, "59 min 59 s"), (7620, "2 h 7 min")],
)
def test_a_duration_has_two_units_at_most(seconds: float, expected: str) -> None:
    assert describe.duration(seconds) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [(None, "–"), (True, "yes"), (1e-4, "0.0001"), (40, "40"), ([1, None], "[1, –]"), ("a", "a"), ({}, "{}")],
)
def test_settings_are_shown_in_short(found: object, expected: str) -> None:
    assert describe.value(found) == expected


@pytest.mark.parametrize(
    ("name", "words"),
    [("text_a", "Text"), ("text_b", "Second text"), ("context", "Context"), ("spacing_mm", "Spacing mm")],
)
def test_inputs_are_called_by_words(name: str, words: str) -> None:
    assert describe.called(name) == words
