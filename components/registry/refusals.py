"""Models that were trained and refused: `BASE/<model_name>/refused.json`, so that none is trained again.

The file is a convenience: what cannot be read counts as empty, with a warning, and is written anew.
"""

from __future__ import annotations

import logging
import posixpath
from typing import Any, Final

import pydantic

from components.config import Config
from components.registry import registry

FILE: Final = "refused.json"
# Older ones are forgotten.
MOST: Final = 100

_log = logging.getLogger(__name__)


class Refusal(Config):
    """A model that the Evaluator or the Canary refused, and what would have to differ for another answer."""

    # The digest of what it was made of.
    origin: str
    # The digest of what judged it: settings and code.
    judge: str
    # The live version when it was judged, with which it was compared; None: none.
    live_version: int | None
    reason: str
    # UTC, ISO 8601.
    time: str


_REFUSALS: Final = pydantic.TypeAdapter(tuple[Refusal, ...])


def remember(base: str, model_name: str, origin: str, judge: str, reason: str) -> Refusal:
    """Adds a refusal of now, in place of an earlier one of the same, and returns it."""
    storage, folder = registry.model_folder(base, model_name)
    live = registry.live(base, model_name)
    refusal = Refusal(
        origin=origin,
        judge=judge,
        live_version=live.version if live else None,
        reason=reason,
        time=registry.now(),
    )
    path = posixpath.join(folder, FILE)

    def added(content: bytes | None) -> bytes:
        others = [known for known in _parse(path, content) if _key(known) != _key(refusal)]
        return _REFUSALS.dump_json((*others, refusal)[-MOST:], indent=2)

    with registry.changing(storage, folder):
        storage.update(path, added)
    return refusal


def find(base: str, model_name: str, origin: str, judge: str) -> Refusal | None:
    """Returns the refusal of a model made of `origin`, unless what judged it or what is live has changed."""
    live = registry.live(base, model_name)
    key = (origin, judge, live.version if live else None)
    storage, folder = registry.model_folder(base, model_name)
    path = posixpath.join(folder, FILE)
    with registry.explained(path):
        return next((known for known in _parse(path, storage.content(path)) if _key(known) == key), None)


def _parse(path: str, content: bytes | None) -> tuple[Refusal, ...]:
    if content is None:
        return ()
    try:
        return _REFUSALS.validate_json(content)
    except pydantic.ValidationError as error:
        _log.warning("%s: expected a list of refusals, got %s", path, error.errors()[0]["msg"])
        return ()


def _key(refusal: Refusal) -> tuple[Any, ...]:
    return refusal.origin, refusal.judge, refusal.live_version
