"""Locations that would be taken for patterns."""

import pytest

from components.patterns import PatternError, check_literal


@pytest.mark.parametrize("location", ["/a[1]", "/a*/b", "gs://bucket/a?b", "/a\\b"])
def test_a_location_that_stands_for_others_is_refused(location: str) -> None:
    with pytest.raises(
        PatternError, match=r"expected a path without .*, which TensorFlow takes for a pattern"
    ):
        check_literal(location)


@pytest.mark.parametrize("location", ["", "/a", "/a]{b},c %20 @#", "gs://bucket/a"])
def test_any_other_location_is_taken(location: str) -> None:
    check_literal(location)
