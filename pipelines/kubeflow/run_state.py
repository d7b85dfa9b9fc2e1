"""How a run is doing, by what the API of Kubeflow Pipelines tells of it.

Of ten nodes it tells in 55 rows and more: each also as an attempt, such as "trainer(0)", the drivers, the
DAG, the workflow itself, and executions without a name. A task of the pipeline is the newest row of its name.
A row tells neither why it failed nor whether it was cached.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from components.config import unknown_name
from components.errors import UserError

ENDED: Final = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
# States of nodes.
RUNNING: Final = "running"
PENDING: Final = "pending"
COMPLETE: Final = "complete"
CACHED: Final = "cached"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
TIMED_OUT: Final = "timed out"
NOT_RUN: Final = "not run"
# What Argo calls the DAG, whose driver runs before all nodes.
ROOT: Final = "root"

_EXECUTOR: Final = "executor"

Json = dict[str, Any]


class PlannedTask(NamedTuple):
    """A task of a compiled pipeline."""

    name: str
    timeout_s: int | None = None


class NodeState(NamedTuple):
    """How one node of a run is doing."""

    node: str
    state: str
    error: str = ""


class RunState(NamedTuple):
    """How a run is doing; `rows` are the API's own."""

    run_id: str
    state: str
    nodes: tuple[NodeState, ...] = ()
    rows: tuple[Json, ...] = ()
    # Why the run failed before any of its nodes could.
    error: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether nothing runs any more; of its nodes one may hear a little later."""
        return self.state in ENDED

    @property
    def is_settled(self) -> bool:
        """Whether what is told of the nodes goes with how the run ended."""
        states = {node.state for node in self.nodes}
        if states & {RUNNING, PENDING}:
            return False
        if self.state == "SUCCEEDED":
            return NOT_RUN not in states
        return bool(states & {FAILED, CANCELLED}) or not states


def read_run(run: Json, tasks: Sequence[PlannedTask]) -> RunState:
    """Returns how the tasks of a run are doing, in their order, from an answer of the API."""
    rows = tuple(run.get("run_details", {}).get("task_details") or ())
    state = read_state(run)
    nodes = tuple(NodeState(task.name, _state(task.name, rows, state)) for task in tasks)
    return RunState(str(run["run_id"]), state, nodes, rows)


def read_state(run: Json) -> str:
    """Returns a run's state as the API names it, CANCELED where it says FAILED of what somebody ended."""
    state = str(run.get("state", "PENDING"))
    was_cancelled = any(past.get("state") == "CANCELING" for past in run.get("state_history") or ())
    return "CANCELED" if state == "FAILED" and was_cancelled else state


def task_of(rows: Sequence[Json], node: str) -> str:
    """Returns the task of a node, however that is spelled: "LatestBlessedModel" -> "latest-blessed-model".

    Raises UserError, with the tasks that there are, for a run that has no such one.
    """
    names = (str(row.get("display_name", "")) for row in rows)
    known = {name.removesuffix("-driver") for name in names if name.endswith("-driver")} - {ROOT}
    by_key = {_key(name): name for name in sorted(known)}
    if _key(node) not in by_key:
        raise UserError(unknown_name("node", node, sorted(known)))
    return by_key[_key(node)]


def took_longer(rows: Sequence[Json], task: PlannedTask) -> bool:
    """Whether a failed attempt of a task lasted as long as it may; the API does not say what ended it."""
    row = _newest(task.name, rows)
    attempts = (
        other
        for other in rows
        if str(other.get("display_name", "")).startswith(_EXECUTOR)
        and not other.get("child_tasks")
        and _is_within(other, row)
    )
    longest = max((_seconds(other) for other in attempts if other.get("state") == "FAILED"), default=0.0)
    return task.timeout_s is not None and longest >= task.timeout_s


def pod_of(rows: Sequence[Json], node: str) -> str | None:
    """Returns the pod of a node's last attempt, or that of its driver where there is none, or None.

    Of the DAG, ROOT, it is the driver's.

    A row names its children's pods and not its own. Argo makes their names of the workflow's and of a hash of
    the place in it, "mnist-8cwvr(0).root(0).trainer(0).executor(0)": see NodeID in
    pkg/apis/workflow/v1alpha1/workflow_types.go of argoproj/argo-workflows.
    """
    pods = {child["pod_name"] for row in rows for child in row.get("child_tasks") or ()}
    for workflow in sorted({pod.rpartition("-")[0] for pod in pods}):
        for parts in ((ROOT, node, _EXECUTOR), (ROOT, f"{node}-driver"), (f"{node}-driver",)):
            place = _last_attempt(workflow, workflow, pods)
            for part in parts:
                place = _last_attempt(workflow, f"{place}.{part}", pods)
            if (pod := _pod_name(workflow, place)) in pods:
                return pod
    return None


def _key(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _state(name: str, rows: Sequence[Json], run_state: str) -> str:
    row = _newest(name, rows)
    state = row.get("state")
    if not state and _newest(f"{name}-driver", rows).get("state") == "FAILED":
        state = "FAILED"
    if not state:
        return NOT_RUN if run_state in ENDED else PENDING
    if state == "SUCCEEDED":
        # A container takes seconds, and what is looked up none.
        return CACHED if row.get("start_time") == row.get("end_time") else COMPLETE
    if state == "FAILED":
        return CANCELLED if run_state == "CANCELED" else FAILED
    return str(state).lower()


def _newest(name: str, rows: Sequence[Json]) -> Json:
    found = (row for row in rows if row.get("display_name") == name)
    return max(found, key=lambda row: str(row.get("start_time", "")), default={})


def _is_within(row: Json, outer: Json) -> bool:
    return (
        _moment(outer, "start_time")
        <= _moment(row, "start_time")
        <= _moment(row, "end_time")
        <= _moment(outer, "end_time")
    )


def _seconds(row: Json) -> float:
    return (_moment(row, "end_time") - _moment(row, "start_time")).total_seconds()


def _moment(row: Json, key: str) -> datetime:
    return datetime.fromisoformat(str(row.get(key, "1970-01-01T00:00:00Z")).replace("Z", "+00:00"))


def _last_attempt(workflow: str, place: str, pods: set[str]) -> str:
    """Returns the place of the last attempt at a node: "….trainer(1)"; the place itself without retries."""
    attempts = (f"{place}({number})" for number in itertools.count())
    known = list(itertools.takewhile(lambda attempt: _pod_name(workflow, attempt) in pods, attempts))
    return known[-1] if known else place


def _pod_name(workflow: str, place: str) -> str:
    if place == workflow:
        return workflow
    # FNV-1a of 32 bits (isthe.com/chongo/tech/comp/fnv).
    digest = 0x811C9DC5
    for byte in place.encode():
        digest = (digest ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{workflow}-{digest}"
