"""Objects of a task that travel as text: by the name of their class and their settings."""

from __future__ import annotations

import importlib
from typing import Any

from components.config import Config, ConfigError


class Reference(Config):
    """A part of a task, such as its source, as text that reaches any container."""

    class_name: str
    settings: dict[str, Any]

    @classmethod
    def to(cls, part: object) -> Reference:
        """Returns the reference; ConfigError unless `part` is a Config and so can become JSON."""
        kind = type(part)
        name = f"{kind.__module__}.{kind.__qualname__}"
        if not isinstance(part, Config):
            raise ConfigError(f"{name}: expected a subclass of {Config.__module__}.Config")
        return cls(class_name=name, settings=part.model_dump(mode="json"))

    def load(self, protocol: Any) -> Any:
        """Imports the class and returns the part; ConfigError unless it has settings and the protocol."""
        module, _, name = self.class_name.rpartition(".")
        try:
            kind = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(f"{self.class_name}: cannot be imported: {error}") from error
        part = kind(**self.settings) if isinstance(kind, type) and issubclass(kind, Config) else None
        if not isinstance(part, protocol):
            what = protocol.__name__.lower()
            raise ConfigError(f"{self.class_name}: expected the settings of a task's {what}, got {kind!r}")
        return part
