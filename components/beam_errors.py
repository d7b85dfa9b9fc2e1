"""What workers of Beam raise, as it was raised: Beam adds names of steps to it, or knows its text alone."""

from __future__ import annotations

import importlib
import re
from typing import Final

from components.errors import Failure, UserError

_STEPS: Final = r"(?: \[while running '[^\n]*'\])*"
# "components.formats.errors.FormatError: … [while running 'Step']", as the last line of a traceback has it.
_RAISED: Final = re.compile(rf"^((?:components|pipelines)(?:\.\w+)+): (.*?){_STEPS}$", re.MULTILINE)


def worker_error(error: BaseException) -> UserError | Failure | None:
    """Returns the UserError or Failure that an error of a Beam pipeline stands for; None if there is none.

    RuntimeError("…\\ncomponents.errors.Failure: no space [while running 'A']") -> Failure("no space")
    """
    if isinstance(error, (UserError, Failure)):
        return type(error)(re.sub(f"{_STEPS}$", "", str(error)))
    raised = _RAISED.findall(str(error))
    if not raised:
        return None
    name, message = raised[-1]
    return _class(name)(message)


def _class(dotted: str) -> type[UserError | Failure]:
    """Returns the class of an expected error; Failure in place of any other."""
    module, _, name = dotted.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return Failure
    return kind if isinstance(kind, type) and issubclass(kind, (UserError, Failure)) else Failure
