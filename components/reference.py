"""Objects of a task that travel as the name of their class and their settings."""

from __future__ import annotations

import importlib
from typing import Any

from components.config import Config, ConfigError


class Reference(Config):
    """An object that travels as the dotted name of its class, which is a Config, and its settings."""

    class_name: str
    settings: dict[str, Any]

    @classmethod
    def to(cls, thing: object) -> Reference:
        """Returns the reference; ConfigError unless `thing` is a Config and so can become JSON."""
        name = f"{type(thing).__module__}.{type(thing).__qualname__}"
        if not isinstance(thing, Config):
            raise ConfigError(f"{name}: expected a subclass of {Config.__module__}.Config")
        return cls(class_name=name, settings=thing.model_dump(mode="json"))

    def load(self, protocol: Any) -> Any:
        """Imports the class and returns the object; ConfigError unless it fits a protocol, such as Source."""
        module, _, name = self.class_name.rpartition(".")
        try:
            kind = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(f"{self.class_name}: cannot be imported: {error}") from error
        # An object, since Python cannot tell whether a class has a protocol's properties.
        thing = kind(**self.settings) if isinstance(kind, type) and issubclass(kind, Config) else None
        if not isinstance(thing, protocol):
            raise ConfigError(
                f"{self.class_name}: expected a {protocol.__name__.lower()} with settings, got {kind!r}"
            )
        return thing
