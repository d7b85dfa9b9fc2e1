"""What can go wrong with models and their weights."""

from components.errors import UserError


class ModelError(UserError, ValueError):
    """A model that cannot be made as asked, or weights that do not fit it."""
