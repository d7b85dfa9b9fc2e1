"""What a run would execute, and why, before it starts: the cache's question, asked of what past runs left.

As TFX asks it: an execution is reused that was told the same, took the same artifacts, and whose outputs are
still there. Nothing is written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final, NamedTuple

from tfx.types import standard_artifacts

from components.baseline import executor as baseline
from components.example_gen.digests import fingerprint
from components.pusher import executor as pusher
from components.task import Task
from pipelines.dag import nodes
from pipelines.dag.pipeline import make_pipeline
from pipelines.dag.settings import RunConfig
from pipelines.runs import explain, history
from pipelines.runs.history import Artifact, NodeRun, Run

EXECUTE: Final = "execute"
REUSE: Final = "reuse"
SKIP: Final = "skip"

_ENDED_WELL: Final = ("complete", "cached", "skipped")
# What TFX's driver of ExampleGen adds, always the same here.
_ADDED: Final = ("span", "version")
# The id of a run that there is not yet.
_NEXT_RUN: Final = "next"


class Foreseen(NamedTuple):
    """What becomes of a node: it is executed, its outputs are reused, or it is left out; and why."""

    node: str
    will: str
    why: str


def foresee(
    task: Task, config: RunConfig, from_node: str | None = None, until_node: str | None = None
) -> list[Foreseen]:
    """Returns what a run would do with each node, in their order."""
    runs = history.read_runs(config.pipeline_root, task.name)
    planned = {node.id: node for node in make_pipeline(task, config).components}
    start = nodes.NODES.index(from_node) if from_node else 0
    end = nodes.NODES.index(until_node) if until_node else len(nodes.NODES) - 1
    if from_node and start:
        history.base_run(config.pipeline_root, task.name, from_node)
    # By node, the past execution whose outputs are taken.
    taken: dict[str, NodeRun] = {}
    found = []
    for place, name in enumerate(nodes.NODES):
        if place > end:
            found.append(Foreseen(name, SKIP, f"the run ends after {until_node}"))
        elif place < start:
            taken |= {name: node} if runs and (node := runs[0].node(name)) else {}
            found.append(Foreseen(name, SKIP, "its outputs are those of the last run"))
        else:
            found.append(_asked(task, config, planned[name], runs, taken))
    return found


def _asked(
    task: Task, config: RunConfig, planned: Any, runs: Sequence[Run], taken: dict[str, NodeRun]
) -> Foreseen:
    """Returns what the cache answers for a node, and notes in `taken` what is reused."""
    name = planned.id
    if not config.enable_cache:
        return Foreseen(name, EXECUTE, "the cache is not asked")
    inputs, new = _inputs(planned, taken)
    if new:
        return Foreseen(name, EXECUTE, explain.line([f"input {key} is made anew" for key in new]))
    now = _execution(task, config, planned, inputs)
    for run in runs:
        past = run.node(name)
        if past and past.state in _ENDED_WELL and _is_same(past, now) and _are_there(past.artifacts):
            taken[name] = past
            return Foreseen(name, REUSE, f"as in {run.short_id}")
    before = explain.last_complete(name, runs)
    why = explain.line(list(explain.differences(before, _beside(before, now)))) if before else explain.NEVER
    return Foreseen(name, EXECUTE, why)


def _inputs(planned: Any, taken: Mapping[str, NodeRun]) -> tuple[tuple[Artifact, ...], list[str]]:
    """Returns the artifacts that a node would take, and the names of the inputs that would be new ones."""
    inputs, new = [], []
    for key, channel in planned.inputs.items():
        producer = taken.get(channel.producer_component_id)
        if producer is None:
            new.append(key)
        else:
            outputs = (each for each in producer.artifacts if each.key == channel.output_key)
            inputs += [artifact._replace(key=key) for artifact in outputs]
    return tuple(inputs), new


def _execution(task: Task, config: RunConfig, planned: Any, inputs: tuple[Artifact, ...]) -> NodeRun:
    """Returns an execution of a node as it would begin now."""
    told = {key: value for key, value in planned.exec_properties.items() if value is not None}
    look = _LOOKS.get(planned.id)
    told |= look(task, config, told, inputs) if look else {}
    return NodeRun(planned.id, "planned", datetime.now(timezone.utc), 0.0, (), inputs, told)


def _is_same(past: NodeRun, now: NodeRun) -> bool:
    told = {key: value for key, value in past.properties.items() if not _is_added(key)}
    took = [{(artifact.key, artifact.artifact_id) for artifact in node.inputs} for node in (past, now)]
    return told == now.properties and took[0] == took[1]


def _is_added(key: str) -> bool:
    return key in _ADDED or key.startswith("__")


def _beside(past: NodeRun, now: NodeRun) -> NodeRun:
    """Returns an execution with what TFX would add to it."""
    added = {key: value for key, value in past.properties.items() if _is_added(key)}
    return now._replace(properties={**added, **now.properties})


def _are_there(artifacts: Sequence[Artifact]) -> bool:
    return all(os.path.exists(artifact.uri) for artifact in artifacts)


Looked = Callable[[Task, RunConfig, Mapping[str, Any], Sequence[Artifact]], dict[str, Any]]


def _files(
    task: Task, config: RunConfig, told: Mapping[str, Any], inputs: Sequence[Artifact]
) -> dict[str, Any]:
    return {"input_fingerprint": fingerprint(task.source, config.data_dir)}


def _baseline(
    task: Task, config: RunConfig, told: Mapping[str, Any], inputs: Sequence[Artifact]
) -> dict[str, Any]:
    return {baseline.FOUND: baseline.found(_as_tfx(inputs), told)}


def _published(
    task: Task, config: RunConfig, told: Mapping[str, Any], inputs: Sequence[Artifact]
) -> dict[str, Any]:
    return {pusher.PUBLISHED_BY: pusher.published_by(_as_tfx(inputs), told, _NEXT_RUN)}


# What nodes look up before the cache is asked.
_LOOKS: Final[Mapping[str, Looked]] = {
    nodes.EXAMPLE_GEN: _files,
    nodes.LATEST_BLESSED_MODEL: _baseline,
    nodes.PUSHER: _published,
}


def _as_tfx(artifacts: Sequence[Artifact]) -> dict[str, list[Any]]:
    """Returns artifacts as TFX's drivers get them, by the name of the input."""
    inputs: dict[str, list[Any]] = {}
    for artifact in artifacts:
        made = getattr(standard_artifacts, artifact.type)()
        made.uri = artifact.uri
        for name, value in _whole_numbers(artifact.properties):
            made.set_int_custom_property(name, value)
        inputs.setdefault(artifact.key, []).append(made)
    return inputs


def _whole_numbers(properties: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yields what blessings say of themselves."""
    for name, value in properties.items():
        if isinstance(value, int):
            yield name, value
