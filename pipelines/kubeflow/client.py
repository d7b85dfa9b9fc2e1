"""Kubeflow Pipelines over its REST API, version v2beta1 (backends 2.15 to 2.17).

Source of the calls: backend/api/v2beta1/swagger of github.com/kubeflow/pipelines; of the logs,
backend/src/apiserver/server/run_log_server.go there.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple

import httpx

from components.errors import Failure, UserError
from pipelines.kubeflow import run_state
from pipelines.kubeflow.run_state import ENDED, PlannedTask, RunState

# Where Kubernetes puts the token that a pod shows to Kubeflow Pipelines.
_TOKEN_FILE: Final = "/var/run/secrets/kubeflow/pipelines/token"
_TIMEOUT_S: Final = 30.0
# What only reads is asked for again, for 7.5 seconds.
_ATTEMPTS: Final = 5
# Begins the description of a recurring run; the image follows.
_BY_MILLRACE: Final = "millrace "
_EXISTS: Final = 409
# Answers that say "later".
_LATER: Final = (408, 425, 429)

Json = dict[str, Any]


class RefusedError(UserError):
    """The server does not do what it was asked."""


class UnreachableError(Failure):
    """The server did not answer, or not as Kubeflow Pipelines does."""


class LogMissing(Failure):
    """A node whose log the server does not have."""


class Pipeline(NamedTuple):
    """An uploaded pipeline, by its ids."""

    pipeline_id: str
    version_id: str


class PastRun(NamedTuple):
    """A run as the server lists it."""

    run_id: str
    name: str
    state: str
    started: str
    ended: str | None


class Schedule(NamedTuple):
    """A recurring run; `image` is that of its pipeline, if millrace created it."""

    recurring_run_id: str
    task: str
    cron: str
    enabled: bool
    image: str | None
    experiment_id: str


class Client:
    """One server of Kubeflow Pipelines; use as a context manager."""

    def __init__(self, host: str, token_file: str | None = None, namespace: str | None = None) -> None:
        """`host`: a URL such as http://localhost:8080, or of a reverse proxy with a path.

        The token is read from `token_file`, or where Kubernetes puts a pod's, if there is one.
        """
        if not _is_url(host):
            raise RefusedError(f"--host {host}: expected a URL such as http://localhost:8080")
        _read_token(token_file)
        self.host = host.rstrip("/")
        self._token_file = token_file
        self._namespace = {"namespace": namespace} if namespace else {}
        self._http = httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False)

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
        image: str,
        root: str | None = None,
    ) -> str:
        """Creates a recurring run and returns its id; one run at a time, none made up for.

        An earlier one of the same name and experiment is not touched.
        """
        body = {
            **self._run(pipeline, name, parameters, experiment, root),
            "description": f"{_BY_MILLRACE}{image}",
            "trigger": {"cron_schedule": {"cron": cron}},
            "mode": "ENABLE",
            "max_concurrency": "1",
            "no_catchup": True,
        }
        return str(self._call("POST", "recurringruns", json=body)["recurring_run_id"])

    def schedules(self, task: str | None = None, experiment: str | None = None) -> list[Schedule]:
        """Returns the recurring runs, of a task or of all, in an experiment or in all."""
        wanted = self._experiment_id(experiment) if experiment else None
        found = map(_schedule, self._pages("recurringruns", "recurringRuns", self._namespace))
        return [
            schedule
            for schedule in found
            if task in (None, schedule.task) and wanted in (None, schedule.experiment_id)
        ]

    def unschedule(self, recurring_run_id: str) -> str | None:
        """Ends a recurring run; returns the run of it that goes on, if there is one.

        It is only disabled then: with it Kubernetes would delete the workflow of that run.
        """
        self._call("POST", f"recurringruns/{recurring_run_id}:disable")
        # One at a time: an earlier one has ended.
        newest = next((r for r in self._newest_runs() if r.get("recurring_run_id") == recurring_run_id), {})
        if newest and newest.get("state") not in ENDED:
            return str(newest["run_id"])
        self._call("DELETE", f"recurringruns/{recurring_run_id}")
        return None

    def state(self, run_id: str, tasks: Sequence[PlannedTask]) -> RunState:
        """Returns how a run and its tasks are doing."""
        return run_state.read_run(self._call("GET", f"runs/{run_id}"), tasks)

    def log(self, state: RunState, node: str) -> str:
        """Returns the log of a node's last attempt; Failure where there is none."""
        pod = run_state.pod_of(state.rows, node)
        if pod is None:
            raise LogMissing(f"run {state.run_id}: {node} has no pod that one knows of")
        response = self._request("GET", f"apis/v1alpha1/runs/{state.run_id}/nodes/{pod}/log")
        # Older servers find out that there is no log when they have begun to answer.
        if response.status_code >= 400 or response.text.startswith('{"error_message"'):
            raise LogMissing(f"{pod}: its log cannot be read: {_log_error(response)}")
        return response.text

    def runs(self, task: str | None, limit: int) -> list[PastRun]:
        """Returns the newest runs, of the pipeline of a task or of all, newest first."""
        wanted = self._find("pipeline", task) if task else None
        if task and wanted is None:
            return []
        mine = (
            run
            for run in self._newest_runs()
            if wanted is None or run.get("pipeline_version_reference", {}).get("pipeline_id") == wanted
        )
        return [_past_run(run) for run in itertools.islice(mine, limit)]

    def url(self, run_id: str) -> str | None:
        """Returns where people look at a run; None where the server is the API alone, as inside a cluster."""
        try:
            has_pages = self._http.get(f"{self.host}/", headers=self._headers()).status_code != 404
        except httpx.HTTPError:
            has_pages = False
        return f"{self.host}/#/runs/details/{run_id}" if has_pages else None

    def _newest_runs(self) -> Iterator[Json]:
        return self._pages("runs", "runs", {"sort_by": "created_at desc", **self._namespace})

    def _pipeline_id(self, name: str) -> str:
        return self._find_or_make("pipeline", name)

    def _experiment_id(self, name: str) -> str:
        return self._find_or_make("experiment", name)

    def _find(self, kind: str, name: str) -> str | None:
        for found in self._pages(f"{kind}s", f"{kind}s", {**_named(name), **self._namespace}):
            if found["display_name"] == name:
                return str(found[f"{kind}_id"])
        return None

    def _find_or_make(self, kind: str, name: str) -> str:
        if found := self._find(kind, name):
            return found
        response = self._request(
            "POST", f"apis/v2beta1/{kind}s", json={"display_name": name, **self._namespace}
        )
        # Somebody else's, who began at the same time.
        if response.status_code == _EXISTS and (found := self._find(kind, name)):
            return found
        return str(self._content(response)[f"{kind}_id"])

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
        return self._content(self._request(method, f"apis/v2beta1/{path}", **request))

    def _request(self, method: str, path: str, **request: Any) -> httpx.Response:
        attempts = _ATTEMPTS if method == "GET" else 1
        for attempt in range(attempts):
            is_last = attempt + 1 == attempts
            try:
                response = self._http.request(
                    method, f"{self.host}/{path}", headers=self._headers(), **request
                )
            except httpx.HTTPError as error:
                if is_last or isinstance(error, httpx.UnsupportedProtocol):
                    raise UnreachableError(
                        f"{self.host}: no answer: {error or type(error).__name__}"
                    ) from error
            else:
                if is_last or (response.status_code < 500 and response.status_code not in _LATER):
                    return response
            time.sleep(2.0**attempt / 2)
        raise UnreachableError(f"{self.host}: no answer")

    def _headers(self) -> dict[str, str]:
        # Read anew: Kubernetes replaces a pod's token long before a training ends.
        token = _read_token(self._token_file)
        return {"Authorization": f"Bearer {token}"} if token else {}

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
            kind = RefusedError if status < 500 and status not in _LATER else UnreachableError
            raise kind(f"{self.host}: {_message(content)} (HTTP {status})")
        return content


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


def _schedule(recurring: Json) -> Schedule:
    description = str(recurring.get("description", ""))
    return Schedule(
        str(recurring["recurring_run_id"]),
        str(recurring.get("display_name", "")),
        str(recurring.get("trigger", {}).get("cron_schedule", {}).get("cron", "")),
        recurring.get("status") != "DISABLED",
        description.removeprefix(_BY_MILLRACE) if description.startswith(_BY_MILLRACE) else None,
        str(recurring.get("experiment_id", "")),
    )


def _past_run(run: Json) -> PastRun:
    return PastRun(
        str(run["run_id"]), str(run.get("display_name", "")), run_state.read_state(run),
        str(run.get("created_at", "")), run.get("finished_at") if run.get("state") in ENDED else None,
    )  # fmt: skip


def _log_error(response: httpx.Response) -> str:
    try:
        content = response.json()
    except ValueError:
        return f"HTTP {response.status_code}"
    text = content.get("error_message") if isinstance(content, dict) else content
    return f"{_message(text or content)} (HTTP {response.status_code})"


def _message(content: Any) -> str:
    """Returns what the server says, in one line."""
    if not isinstance(content, dict):
        return " ".join(str(content or "").split())
    text = content.get("message") or content.get("error") or json.dumps(content)
    return " ".join(str(text).split())
