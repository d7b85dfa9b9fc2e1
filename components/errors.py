"""The two kinds of expected error: the user's mistake, and a failure of the work itself."""


class UserError(Exception):
    """A mistake in what the user gave, in one line: where, what was expected, what was found. Exit code 2."""


class Failure(Exception):
    """The work itself failed in a way that one line explains. Exit code 1."""
