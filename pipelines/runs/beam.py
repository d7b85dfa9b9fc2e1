"""Beam's options for a local run, kept out of the cache's keys: how work is spread changes no result.

TFX's keys hold a node's executor with its Beam options. As placeholders for environment variables, always
as many, they look the same whatever they stand for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from tfx.dsl.placeholder import placeholder

from components.errors import UserError

MOST_OPTIONS: Final = 32


@contextmanager
def outside_the_cache(options: Sequence[str]) -> Iterator[list[Any]]:
    """Yields placeholders that stand for at least one option, such as "--runner=DirectRunner", meanwhile."""
    if len(options) > MOST_OPTIONS:
        raise UserError(f"--beam: expected at most {MOST_OPTIONS} options, got {len(options)}")
    # An option that is given again says nothing new.
    filled = [*options, *[options[0]] * (MOST_OPTIONS - len(options))]
    variables = {f"MILLRACE_BEAM_{index}": option for index, option in enumerate(filled)}
    os.environ.update(variables)
    try:
        yield [placeholder.environment_variable(name) for name in variables]
    finally:
        for name in variables:
            del os.environ[name]
