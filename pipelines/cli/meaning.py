"""What settings mean: their descriptions."""

from __future__ import annotations

from components.config import Config


def meanings(section: type[Config]) -> dict[str, str]:
    """Returns a sentence for each setting that has one, by name; one that is declared anew keeps it."""
    parents = [each for each in reversed(section.__mro__) if issubclass(each, Config)]
    fields = [field for each in parents for field in each.model_fields.items()]
    return {name: field.description for name, field in fields if field.description}
