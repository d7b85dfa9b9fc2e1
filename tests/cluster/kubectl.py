"""kubectl, as the tests call it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 1.0

Json = dict[str, Any]
_Found = TypeVar("_Found")


class KubectlError(Exception):
    """What kubectl says when it fails."""


class Kubectl:
    """Calls kubectl by a command, which says where the cluster is."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)

    def __call__(self, *arguments: str, given: str | None = None, timeout_s: float = _TIMEOUT_S) -> str:
        """Returns what kubectl prints, `given` on its standard input; raises KubectlError."""
        done = self.run(*arguments, given=given, timeout_s=timeout_s)
        if done.returncode:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def run(
        self, *arguments: str, given: str | None = None, timeout_s: float = _TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        """Returns how kubectl ended; raises KubectlError where it did not within `timeout_s`."""
        try:
            return subprocess.run(
                [*self._command, *arguments], input=given or "", capture_output=True, text=True,
                timeout=timeout_s,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise KubectlError(f"kubectl {' '.join(arguments)}: no end after {timeout_s:.0f} s") from error

    def get(self, *arguments: str) -> Json:
        """Returns an object, or a list of them."""
        return dict(json.loads(self("get", *arguments, "--output=json")))

    def apply(self, *objects: Json) -> None:
        """Makes objects, or changes them."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self("apply", "--filename=-", given=json.dumps(items))


def until(
    found: Callable[[], _Found], what: str, timeout_s: float, why: Callable[[], str] = lambda: ""
) -> _Found:
    """Returns the first thing found that is true; TimeoutError after `timeout_s`, which says `why` not."""
    end = time.monotonic() + timeout_s
    while True:
        result = found()
        if result:
            return result
        if time.monotonic() > end:
            raise TimeoutError(f"expected {what} within {timeout_s:.0f} s; {why()}")
        time.sleep(_POLL_S)
