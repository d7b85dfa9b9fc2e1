"""Kubeflow Pipelines over its REST API, version v2beta1 (backends 2.15 to 2.17).

Source of the calls: backend/api/v2beta1/swagger of github.com/kubeflow/pipelines.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple

import httpx

from components.errors import Failure, UserError

# Where Kubernetes puts the token that a pod shows to Kubeflow Pipelines.
_TOKEN_FILE: Final = "/var/run/secrets/kubeflow/pipelines/token"
_TIMEOUT_S: Final = 30.0
_ENDED: Final = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}
# A backend that restarts is back within a minute or so.
_ATTEMPTS: Final = 5

Json = dict[str, Any]


class RefusedError(UserError):
    """The server does not do what it was asked."""


class UnreachableError(Failure):
    """The server did not answer, or not as Kubeflow Pipelines does."""


class RunFailed(Failure):
    """A run that did not succeed."""


class NodeState(NamedTuple):
    """How one node of a run is doing."""

    node: str
    state: str  # "running", "complete", "cached", "failed", …
    error: str


class RunState(NamedTuple):
    """How a run is doing."""

    run_id: str
    state: str
    error: str
    nodes: tuple[NodeState, ...]


class Pipeline(NamedTuple):
    """An uploaded pipeline, by its ids."""

    pipeline_id: str
    version_id: str


class Client:
    """One server of Kubeflow Pipelines; use as a context manager."""

    def __init__(self, host: str, token_file: str | None = None, namespace: str | None = None) -> None:
        """`host`: a URL such as http://localhost:8080, or of a reverse proxy with a path.

        The token is read from `token_file`, or where Kubernetes puts a pod's, if there is one.
        """
        if not _is_url(host):
            raise RefusedError(f"--host {host}: expected a URL such as http://localhost:8080")
        headers = {"Authorization": f"Bearer {token}"} if (token := _read_token(token_file)) else {}
        self.host = host.rstrip("/")
        self._namespace = {"namespace": namespace} if namespace else {}
        self._http = httpx.Client(headers=headers, timeout=_TIMEOUT_S, follow_redirects=False)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def reach(self) -> None:
        """Raises what any call would raise for a server that cannot be reached or refuses the token."""
        self._call("GET", "healthz")

    def upload(self, name: str, specification: str) -> Pipeline:
        """Uploads a version of a pipeline, unless this very one is there, and returns it."""
        pipeline_id = self._pipeline_id(name)
        version = hashlib.sha256(specification.encode()).hexdigest()[:12]
        versions = f"pipelines/{pipeline_id}/versions"
        for found in self._pages(versions, "pipeline_versions", _named(version)):
            if found["display_name"] == version:
                return Pipeline(pipeline_id, found["pipeline_version_id"])
        uploaded = self._call(
            "POST",
            "pipelines/upload_version",
            params={"name": version, "pipelineid": pipeline_id},
            files={"uploadfile": (f"{name}.yaml", specification, "application/yaml")},
        )
        return Pipeline(pipeline_id, uploaded["pipeline_version_id"])

    def start(
        self,
        pipeline: Pipeline,
        name: str,
        parameters: Mapping[str, Any],
        experiment: str,
        root: str | None = None,
    ) -> str:
        """Starts a run and returns its id."""
        run = self._call("POST", "runs", json=self._run(pipeline, name, parameters, experiment, root))
        return str(run["run_id"])

    def schedule(
        self,
        pipeline: Pipeline,
        name: str,
        parameters: Mapping[str, Any],
        experiment: str,
        cron: str,
        root: str | None = None,
    ) -> str:
        """Creates a recurring run and returns its id; one run at a time, none made up for."""
        body = {
            **self._run(pipeline, name, parameters, experiment, root),
            "trigger": {"cron_schedule": {"cron": cron}},
            "mode": "ENABLE",
            "max_concurrency": "1",
            "no_catchup": True,
        }
        return str(self._call("POST", "recurringruns", json=body)["recurring_run_id"])

    def state(self, run_id: str) -> RunState:
        """Returns how a run is doing."""
        run = self._call("GET", f"runs/{run_id}")
        tasks = run.get("run_details", {}).get("task_details", [])
        return RunState(
            run_id=run_id,
            state=run.get("state", "PENDING"),
            error=_message(run.get("error")),
            nodes=tuple(_node_state(task) for task in tasks if _is_node(task)),
        )

    def follow(self, run_id: str, on_node: Callable[[NodeState], None], poll_s: float = 5.0) -> RunState:
        """Returns when a run has ended; `on_node` hears of every change."""
        seen: dict[str, str] = {}
        while True:
            state = self.state(run_id)
            for node in state.nodes:
                if seen.get(node.node) != node.state:
                    seen[node.node] = node.state
                    on_node(node)
            if state.state in _ENDED:
                return state
            time.sleep(poll_s)

    def url(self, run_id: str) -> str:
        """Returns where people look at a run."""
        return f"{self.host}/#/runs/details/{run_id}"

    def _pipeline_id(self, name: str) -> str:
        for found in self._pages("pipelines", "pipelines", {**_named(name), **self._namespace}):
            if found["display_name"] == name:
                return str(found["pipeline_id"])
        body = {"display_name": name, **self._namespace}
        return str(self._call("POST", "pipelines", json=body)["pipeline_id"])

    def _experiment_id(self, name: str) -> str:
        for found in self._pages("experiments", "experiments", {**_named(name), **self._namespace}):
            if found["display_name"] == name:
                return str(found["experiment_id"])
        body = {"display_name": name, **self._namespace}
        return str(self._call("POST", "experiments", json=body)["experiment_id"])

    def _run(
        self, pipeline: Pipeline, name: str, parameters: Mapping[str, Any], experiment: str, root: str | None
    ) -> Json:
        runtime: Json = {"parameters": dict(parameters)}
        if root:
            runtime["pipeline_root"] = root
        return {
            "display_name": name,
            "experiment_id": self._experiment_id(experiment),
            "pipeline_version_reference": {
                "pipeline_id": pipeline.pipeline_id,
                "pipeline_version_id": pipeline.version_id,
            },
            "runtime_config": runtime,
        }

    def _pages(self, path: str, key: str, params: Mapping[str, str]) -> Iterator[Json]:
        token = ""
        while True:
            page = self._call("GET", path, params={**params, "page_size": "100", "page_token": token})
            yield from page.get(key) or []
            token = page.get("next_page_token") or ""
            if not token:
                return

    def _call(self, method: str, path: str, **request: Any) -> Json:
        url = f"{self.host}/apis/v2beta1/{path}"
        # What only reads may be asked again.
        attempts = _ATTEMPTS if method == "GET" else 1
        for attempt in range(attempts):
            try:
                response = self._http.request(method, url, **request)
            except httpx.HTTPError as error:
                if attempt + 1 == attempts or isinstance(error, httpx.UnsupportedProtocol):
                    raise UnreachableError(
                        f"{self.host}: no answer: {error or type(error).__name__}"
                    ) from error
            else:
                if response.status_code < 500 or attempt + 1 == attempts:
                    return self._content(response)
            time.sleep(2.0**attempt / 2)
        raise UnreachableError(f"{self.host}: no answer")

    def _content(self, response: httpx.Response) -> Json:
        try:
            content = response.json()
        except ValueError:
            content = None
        status = response.status_code
        if status in (401, 403):
            raise RefusedError(f"{self.host}: the token is refused ({status}); give one with --token-file")
        if not isinstance(content, dict) or 300 <= status < 400:
            raise UnreachableError(
                f"{self.host}: expected the API of Kubeflow Pipelines, got HTTP {status} "
                f"with {response.headers.get('content-type', 'no content')}"
            )
        if status >= 400:
            kind = RefusedError if status < 500 else UnreachableError
            raise kind(f"{self.host}: {_message(content)} (HTTP {status})")
        return content


def check(state: RunState) -> None:
    """Raises RunFailed for a run that has ended without success, with the first node that failed."""
    if state.state not in _ENDED - {"SUCCEEDED"}:
        return
    failed = [node for node in state.nodes if node.state == "failed"]
    reason = f"{failed[0].node}: {failed[0].error}" if failed else state.error
    raise RunFailed(f"run {state.run_id} ended as {state.state.lower()}: {reason or 'no reason given'}")


def cron_fields(cron: str) -> str:
    """Returns a schedule with seconds in front, as KFP takes it: "0 3 * * *" -> "0 0 3 * * *"."""
    fields = cron.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6 or not all(re.fullmatch(r"[0-9A-Za-z*/,?-]+", field) for field in fields):
        raise RefusedError(
            f"--cron {cron!r}: expected five fields such as '0 3 * * *', or six with seconds first"
        )
    return " ".join(fields)


def _is_url(text: str) -> bool:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return False
    return url.scheme in ("http", "https") and bool(url.host)


def _read_token(token_file: str | None) -> str:
    path = Path(token_file or os.environ.get("KF_PIPELINES_SA_TOKEN_PATH", _TOKEN_FILE))
    if token_file is None and not path.is_file():
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"{path}: cannot be read as a token: {error}") from error


def _named(name: str) -> dict[str, str]:
    predicate = {"operation": "EQUALS", "key": "name", "string_value": name}
    return {"filter": json.dumps({"predicates": [predicate]})}


def _is_node(task: Json) -> bool:
    """Whether a task is one of the pipeline's: KFP lists the drivers and the DAG, too."""
    name = str(task.get("display_name", ""))
    return bool(name) and name != "root" and not name.endswith("-driver") and name != "executor"


def _node_state(task: Json) -> NodeState:
    states = {"SUCCEEDED": "complete", "SKIPPED": "cached", "CACHED": "cached"}
    state = str(task.get("state", "PENDING"))
    return NodeState(str(task["display_name"]), states.get(state, state.lower()), _message(task.get("error")))


def _message(content: Any) -> str:
    """Returns what the server says, in one line."""
    if not isinstance(content, dict):
        return " ".join(str(content or "").split())
    text = content.get("message") or content.get("error") or json.dumps(content)
    return " ".join(str(text).split())
