"""Work that is short is done on the event loop, and long work in a thread, as others wait for the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

SHORT_BYTES: Final = 64 << 10


async def in_thread_if(is_long: bool, function: Callable[..., _T], *arguments: Any) -> _T:
    """Returns what the function returns, called in a thread if `is_long`."""
    if is_long:
        return await asyncio.to_thread(function, *arguments)
    return function(*arguments)
