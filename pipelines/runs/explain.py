"""Why nodes of a run were executed, and not answered from the cache."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pipelines.dag.nodes import FINGERPRINT
from pipelines.runs.history import NodeRun, Run, as_json

# Found by a node itself before the cache is asked: by the execution property, what has changed.
LOOKED_UP: Final = {
    "input_fingerprint": "the files of the data changed",
    "found": "another version is there to compare with",
    "published_by": "what was published is gone, or was rolled back",
}
# How TFX wraps settings: nothing that one has set.
_WRAPPING: Final = re.compile(r"^(custom_config|customConfig|value|settings)\.")
_SHOWN: Final = 4
NEVER: Final = "never executed before"


def explain(runs: Sequence[Run]) -> dict[str, str]:
    """Returns a line for each node that was executed in the first of a task's runs, newest first.

    {"Trainer": "components/trainer/loop.py changed; train.num_epochs is 5, was 3"}
    """
    newest, *earlier = runs
    lines = {}
    for node in newest.nodes:
        if node.state != "cached":
            before = last_complete(node.node, earlier)
            lines[node.node] = line(list(differences(before, node))) if before else NEVER
    return lines


def changed(what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Yields "WHAT train.num_epochs is 5, was 3" for each difference of two flat mappings."""
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key) or (key in before) != (key in now):
            yield f"{what}{key} is {_shown(now, key)}, was {_shown(before, key)}"


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields ("train.num_epochs", 3) for {"train": {"num_epochs": 3}}."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def changed_digests(what: str, before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """Yields "WHAT components/a.py changed" for each difference; of versions, both: "keras is 4, was 3"."""
    for name in sorted({*before, *now}):
        if name not in before:
            yield f"{what}{name} is new"
        elif name not in now:
            yield f"{what}{name} is gone"
        elif before[name] != now[name]:
            is_version = "." in now[name]
            yield what + (f"{name} is {now[name]}, was {before[name]}" if is_version else f"{name} changed")


def last_complete(name: str, runs: Sequence[Run]) -> NodeRun | None:
    """Returns the newest execution of a node that was none of the cache's."""
    nodes = (run.node(name) for run in runs)
    return next((node for node in nodes if node and node.state == "complete"), None)


def differences(before: NodeRun, now: NodeRun) -> Iterator[str]:
    """Yields what an execution was told, ran or took otherwise than an earlier one."""
    yield from changed_digests("", before.json_property(FINGERPRINT), now.json_property(FINGERPRINT))
    yield from changed("", _settings(before), _settings(now))
    yield from _changed_inputs(before, now)
    for name, line in LOOKED_UP.items():
        # A node that failed could not write down what it had found.
        if name in now.properties and before.properties.get(name) != now.properties[name]:
            yield line


def _changed_inputs(before: NodeRun, now: NodeRun) -> Iterator[str]:
    """Yields "input model is another one" for each input that is not the same artifact."""
    old, new = ({(a.key, a.artifact_id) for a in node.inputs} for node in (before, now))
    for key in sorted({key for key, _ in old ^ new}):
        yield f"input {key} is another one"


def _settings(node: NodeRun) -> dict[str, Any]:
    """Returns the execution properties that one can set, flat and under the names by which one sets them."""
    kept = {
        name: as_json(value)
        for name, value in node.properties.items()
        if name != FINGERPRINT and name not in LOOKED_UP and not name.startswith("__")
    }
    return {_unwrapped(key): value for key, value in flat(kept)}


def _unwrapped(key: str) -> str:
    while (shorter := _WRAPPING.sub("", key)) != key:
        key = shorter
    return key


def line(reasons: Sequence[str]) -> str:
    """Returns the first few reasons in one line."""
    if not reasons:
        return "nothing changed: its outputs are gone, or the cache was not asked"
    more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
    return "; ".join(reasons[:_SHOWN]) + more


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return json.dumps(settings[key], ensure_ascii=False) if key in settings else "not there"
