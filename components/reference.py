"""Objects of a task that travel as the name of their class and their settings."""

from __future__ import annotations

import importlib
from typing import Any

from components.config import Config, ConfigError
from components.protocols import Preprocessing


class Reference(Config):
    """A preprocessing that travels as the dotted name of its class and its settings."""

    class_name: str
    settings: dict[str, Any]

    @classmethod
    def to(cls, preprocessing: Preprocessing) -> Reference:
        """Returns the reference; ConfigError unless `preprocessing` is a Config and so can become JSON."""
        kind = type(preprocessing)
        name = f"{kind.__module__}.{kind.__qualname__}"
        if not isinstance(preprocessing, Config):
            raise ConfigError(f"{name}: expected a subclass of {Config.__module__}.Config")
        return cls(class_name=name, settings=preprocessing.model_dump(mode="json"))

    def load(self) -> Preprocessing:
        """Imports the class and returns the preprocessing; ConfigError unless it is one."""
        module, _, name = self.class_name.rpartition(".")
        try:
            kind = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(f"{self.class_name}: cannot be imported: {error}") from error
        if not (isinstance(kind, type) and issubclass(kind, Config) and issubclass(kind, Preprocessing)):
            raise ConfigError(f"{self.class_name}: expected a preprocessing with settings, got {kind!r}")
        return kind(**self.settings)
