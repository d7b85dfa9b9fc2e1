"""A run on Kubeflow Pipelines from its start to what came of it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from components.errors import Failure
from components.pusher.decision import read_decision
from pipelines.kubeflow import run_state
from pipelines.kubeflow.client import Client, UnreachableError
from pipelines.kubeflow.run_state import NodeState, PlannedTask, RunState

_POLL_S: Final = 5.0
# A run goes on while its server is upgraded or moved. Half an hour: a round, of five attempts, takes 12 s.
_SILENT_ROUNDS: Final = 150
# The server writes how a run ended before it writes how its tasks did.
_SETTLING_ROUNDS: Final = 12
# How the last line of a node that failed begins.
_ERROR: Final = "millrace: error: "
_PUSHER: Final = "pusher"
_WORDS: Final = {"FAILED": "failed", "CANCELED": "was cancelled", "SKIPPED": "was skipped"}


class RunFailed(Failure):
    """A run that did not succeed."""


class NotPublished(Failure):
    """A run that went well and whose model was refused, or of whose model nothing is known."""


class Listener(NamedTuple):
    """Who hears of a run: of a task's change, and of a server that falls silent or is back."""

    on_node: Callable[[NodeState], None]
    on_server: Callable[[str], None]


class Outcome(NamedTuple):
    """How a run ended, and where its model was published, or why it was not, or why that is not known."""

    state: RunState
    published: str | None = None
    refusal: str | None = None
    doubt: str | None = None

    def check(self) -> None:
        """Raises RunFailed, with the first node that failed, or NotPublished."""
        state = self.state
        if self.refusal:
            raise NotPublished(f"not published: {self.refusal}")
        if self.doubt:
            raise NotPublished(f"run {state.run_id}: {self.doubt}")
        if state.has_ended and state.state != "SUCCEEDED":
            raise RunFailed(f"run {state.run_id} {_WORDS[state.state]}: {_why(state)}")


def follow(client: Client, run_id: str, tasks: Sequence[PlannedTask], listener: Listener) -> RunState:
    """Returns how a run and its tasks ended, and why those failed that did."""
    told = {task.name: run_state.PENDING for task in tasks}
    settling = 0
    while True:
        state = _patient_state(client, run_id, tasks, listener)
        if state.has_ended and (state.is_settled or settling == _SETTLING_ROUNDS):
            break
        # What never ran and what is not written yet look alike after the end.
        _tell(() if state.has_ended else state.nodes, told, listener)
        settling += state.has_ended
        time.sleep(_POLL_S)
    state = explained(client, state, tasks)
    _tell(state.nodes, told, listener)
    return state


def explained(client: Client, state: RunState, tasks: Sequence[PlannedTask]) -> RunState:
    """Returns a state with the reasons of the nodes that failed, which their logs tell."""
    nodes = (
        _explained(client, state, node, task) if node.state == run_state.FAILED else node
        for node, task in zip(state.nodes, tasks, strict=True)
    )
    state = state._replace(nodes=tuple(nodes))
    if state.state == "FAILED" and not any(node.error for node in state.nodes):
        return state._replace(error=_lines(client, state, run_state.ROOT)[-1])
    return state


def outcome(client: Client, state: RunState, model_name: str) -> Outcome:
    """Returns what came of a run that was followed to its end.

    The server knows nothing of blessings: what the Pusher decided, its log says.
    """
    if state.state != "SUCCEEDED":
        return Outcome(state)
    try:
        decision = read_decision(client.log(state, _PUSHER), model_name)
    except Failure as error:
        return Outcome(state, doubt=f"whether its model was published is not known: {error}")
    if decision is None:
        return Outcome(state, doubt=f"the log of {_PUSHER} does not say whether its model was published")
    return Outcome(state, decision.destination, decision.refusal)


def _patient_state(client: Client, run_id: str, tasks: Sequence[PlannedTask], listener: Listener) -> RunState:
    for silent in itertools.count():
        try:
            state = client.state(run_id, tasks)
        except UnreachableError as error:
            if silent == _SILENT_ROUNDS:
                raise
            if silent == 0:
                listener.on_server(f"{error}; the run goes on, and is asked about until the server is back")
            time.sleep(_POLL_S)
        else:
            if silent:
                listener.on_server(f"{client.host}: answers again")
            break
    return state


def _why(state: RunState) -> str:
    if state.state == "CANCELED":
        return "somebody ended it"
    failed = (node for node in state.nodes if node.state in (run_state.FAILED, run_state.TIMED_OUT))
    return next((f"{node.node}: {node.error}" for node in failed), state.error or "no task says why")


def _tell(nodes: Sequence[NodeState], told: dict[str, str], listener: Listener) -> None:
    for node in nodes:
        if told[node.node] != node.state:
            told[node.node] = node.state
            listener.on_node(node)


def _explained(client: Client, state: RunState, node: NodeState, task: PlannedTask) -> NodeState:
    lines = _lines(client, state, node.node)
    reasons = [line.partition(_ERROR)[2] for line in lines if _ERROR in line]
    if not reasons and run_state.took_longer(state.rows, task):
        error_line = f"took longer than its timeout_s, {task.timeout_s}"
        return node._replace(state=run_state.TIMED_OUT, error=error_line)
    return node._replace(error=(reasons or lines)[-1])


def _lines(client: Client, state: RunState, node: str) -> list[str]:
    """Returns the lines of a node's log, or why there are none."""
    try:
        lines = [line.strip() for line in client.log(state, node).splitlines() if line.strip()]
    except Failure as error:
        return [str(error)]
    return lines or ["its log is empty"]
