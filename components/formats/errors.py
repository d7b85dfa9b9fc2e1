"""The one error of malformed input files."""

from components.errors import UserError


class FormatError(UserError, ValueError):
    """A file that is not what its format demands: "{path}: expected …, got …", in one line."""
