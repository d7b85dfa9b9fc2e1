"""The two kinds of expected error: the user's mistake, and a failure of the work itself."""

from __future__ import annotations

from collections.abc import Iterator


class UserError(Exception):
    """A mistake in what the user gave, in one line: where, what was expected, what was found. Exit code 2."""


class Failure(Exception):
    """The work itself failed in a way that one line explains. Exit code 1."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields the error and what it was raised from, outermost first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
