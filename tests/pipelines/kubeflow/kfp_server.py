"""A server with the calls of Kubeflow Pipelines' API that the client makes, over a real socket.

Written after backend/api/v2beta1/swagger of kubeflow/pipelines and what 2.17.0 answers (see recorded/): names
are unique, uploads are files, runs go on, their rows are Argo's, and logs alone say why a node failed.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

PREFIX = "/"
API = "apis/v2beta1/"
RECORDED = Path(__file__).parent / "recorded"
WORKFLOW = "mnist-abcde"


class KubeflowServer:
    """What the server holds; tests set `states`, `logs`, `token` and `failures`."""

    def __init__(self) -> None:
        self.url = ""
        self.token = ""
        self.pipelines: list[dict[str, Any]] = []
        self.versions: list[dict[str, Any]] = []
        self.experiments: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.recurring: list[dict[str, Any]] = []
        self.scheduled = 0
        # Runs whose workflow is gone.
        self.without_workflow: list[str] = []
        self.uploads: list[str] = []
        # What a run looks like, one a call; the last one stays. A number is a status code in place of it.
        self.states: list[dict[str, Any] | int] = [{"state": "PENDING"}]
        # What the pods have printed, by their names.
        self.logs: dict[str, str] = {}
        # Status codes for the next calls.
        self.failures: list[int] = []
        # Whether there are pages for people, as there are not behind the service of the API.
        self.has_pages = True

    def answer(
        self, method: str, path: str, query: dict[str, str], body: bytes, headers: Message
    ) -> tuple[int, Any]:
        if not path and method == "GET":
            return (200, "<html>pages</html>") if self.has_pages else (404, "404 page not found")
        if self.failures:
            return self.failures.pop(0), {
                "error": "the database is gone",
                "code": 14,
                "message": "the database is gone",
            }
        if self.token and headers["Authorization"] != f"Bearer {self.token}":
            return 401, {"error": "Unauthenticated"}
        if found := re.fullmatch(r"apis/v1alpha1/runs/[^/]+/nodes/([^/]+)/log", path):
            return self._log(found[1])
        if not path.startswith(API):
            return 404, "<html>nothing here</html>"
        return self._answer_api(method, path.removeprefix(API), query, body, headers)

    def _log(self, pod: str) -> tuple[int, Any]:
        if pod in self.logs:
            return 200, self.logs[pod]
        return 500, {"error_message": f'pods "{pod}" not found', "error_details": "many lines"}

    def _answer_api(
        self, method: str, path: str, query: dict[str, str], body: bytes, headers: Message
    ) -> tuple[int, Any]:
        kind = path.split("/")[0]
        if kind == "healthz":
            return 200, {"multi_user": False}
        if method == "POST" and path == "pipelines/upload_version":
            return self._upload(query, body, headers)
        if found := re.fullmatch(r"recurringruns/(.+):disable", path):
            return self._disable(found[1])
        if method == "POST":
            return self._create(kind, json.loads(body))
        if found := re.fullmatch(r"runs/(.+)", path):
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            if isinstance(state, int):
                return state, {"error": "upgrading", "code": 14, "message": "upgrading"}
            return 200, {**state, "run_id": found[1]}
        if re.fullmatch(r"pipelines/[^/]+/versions", path):
            owner = path.split("/")[1]
            return 200, self._page(
                "pipeline_versions", [v for v in self.versions if v["pipeline_id"] == owner], query
            )
        if method == "DELETE":
            return self._delete(path.removeprefix("recurringruns/"))
        if kind == "recurringruns":
            return 200, self._page("recurringRuns", self.recurring, query)
        if kind == "runs":
            assert query["sort_by"] == "created_at desc"
            return 200, self._page(kind, self.runs[::-1], query)
        if kind in ("pipelines", "experiments"):
            return 200, self._page(kind, getattr(self, kind), query)
        return 404, {"error": "Not Found", "code": 5, "message": "Not Found"}

    def _page(self, key: str, items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        if "filter" in query:
            (predicate,) = json.loads(query["filter"])["predicates"]
            assert predicate["operation"] == "EQUALS"
            items = [item for item in items if item["display_name"] == predicate["string_value"]]
        # One a page: clients that read the first page alone are found out.
        start = int(query.get("page_token") or 0)
        more = {"next_page_token": str(start + 1)} if start + 1 < len(items) else {}
        return {key: items[start : start + 1], **more}

    def _disable(self, recurring_run_id: str) -> tuple[int, Any]:
        for recurring in self.recurring:
            if recurring["recurring_run_id"] == recurring_run_id:
                recurring["status"] = "DISABLED"
                return 200, {}
        return 404, {"error": "not found", "code": 5, "message": f"{recurring_run_id} not found"}

    def _delete(self, recurring_run_id: str) -> tuple[int, Any]:
        ids = [recurring["recurring_run_id"] for recurring in self.recurring]
        if recurring_run_id not in ids:
            return 404, {"error": "not found", "code": 5, "message": f"{recurring_run_id} not found"}
        del self.recurring[ids.index(recurring_run_id)]
        # The workflows that it owns go with it; the API says "running" all the same.
        owned = [run["run_id"] for run in self.runs if run.get("recurring_run_id") == recurring_run_id]
        self.without_workflow += owned
        return 200, {}

    def _create(self, kind: str, body: dict[str, Any]) -> tuple[int, Any]:
        singular = {"pipelines": "pipeline_id", "experiments": "experiment_id", "runs": "run_id",
                    "recurringruns": "recurring_run_id"}[kind]  # fmt: skip
        items = (
            {"recurringruns": self.recurring}.get(kind) if kind == "recurringruns" else getattr(self, kind)
        )
        assert items is not None
        if kind in ("pipelines", "experiments") and any(
            i["display_name"] == body["display_name"] for i in items
        ):
            return 409, {
                "error": "exists",
                "code": 6,
                "message": f"The name {body['display_name']} already exists",
            }
        # Names of recurring runs are not unique; ids are, also of those that are gone.
        self.scheduled += items is self.recurring
        number = self.scheduled if items is self.recurring else len(items) + 1
        items.append({**body, singular: f"{kind}-{number}"})
        return 200, items[-1]

    def _upload(self, query: dict[str, str], body: bytes, headers: Message) -> tuple[int, Any]:
        boundary = headers.get_param("boundary", header="content-type")
        part = body.split(f"--{boundary}".encode())[1]
        self.uploads.append(part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n").decode())
        version = {"display_name": query["name"], "pipeline_id": query["pipelineid"],
                   "pipeline_version_id": f"version-{len(self.versions) + 1}"}  # fmt: skip
        self.versions.append(version)
        return 200, version


def recorded(name: str) -> dict[str, Any]:
    """Returns what a server of version 2.17.0 answered about a run."""
    return dict(json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8")))


def task_rows(name: str, state: str | None, start: int = 100, end: int = 200) -> list[dict[str, Any]]:
    """Returns the rows of a task that ran from and to a second: attempts of Argo's, its driver, its pod."""
    place = f"{WORKFLOW}(0).root(0).{name}"
    driver = f"{place}-driver"
    return [
        _row(f"{name}-driver", state and "SUCCEEDED", start - 10, start, f"{driver}(0)"),
        _row(f"{name}-driver(0)", state and "SUCCEEDED", start - 10, start, f"{driver}(0).driver"),
        _row(name, state, start, end, f"{place}(0)"),
        _row(f"{name}(0)", state, start, end, f"{place}(0).executor"),
        _row("executor", "SKIPPED" if start == end else state, start, end, f"{place}(0).executor(0)"),
        _row("executor(0)", state, start, end),
        {"start_time": _time(start), "end_time": _time(end), "execution_id": "6"},
    ]


def run_answer(state: str, *tasks: list[dict[str, Any]], history: tuple[str, ...] = ()) -> dict[str, Any]:
    """Returns the answer about a run with the rows of its tasks, and those of the DAG and the workflow."""
    whole = [
        _row(WORKFLOW, state, 0, 900, f"{WORKFLOW}(0)"),
        _row(f"{WORKFLOW}(0)", state, 0, 900, f"{WORKFLOW}(0).root"),
        _row("root-driver", "SUCCEEDED", 0, 10, f"{WORKFLOW}(0).root-driver(0)"),
        _row("root", state, 10, 900, f"{WORKFLOW}(0).root(0)"),
        _row("root(0)", state, 10, 900),
    ]
    rows = [*whole, *(row for rows in tasks for row in rows)]
    past = [{"state": before} for before in ("PENDING", "RUNNING", *history, state)]
    return {"state": state, "state_history": past, "run_details": {"task_details": rows}}


def pod(name: str) -> str:
    """Returns the pod of a task's only attempt."""
    return pod_name(f"{WORKFLOW}(0).root(0).{name}(0).executor(0)")


def _row(name: str, state: str | None, start: int, end: int, child: str = "") -> dict[str, Any]:
    children = {"child_tasks": [{"pod_name": pod_name(child)}]} if child else {}
    known = {"state": state} if state else {}
    return {"display_name": name, "start_time": _time(start), "end_time": _time(end), **known, **children}


def _time(second: int) -> str:
    return f"2026-01-02T03:{second // 60:02d}:{second % 60:02d}Z"


def pod_name(place: str) -> str:
    """Returns what Argo calls the pod of a place in a workflow, such as "mnist-1.root.trainer.executor"."""
    digest = 2166136261
    for byte in place.encode():
        digest = ((digest ^ byte) * 16777619) % 2**32
    workflow = re.split(r"[.(]", place)[0]
    return f"{workflow}-{digest}"


@contextlib.contextmanager
def serving(state: Any, prefix: str = PREFIX, address: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[str]:
    """Yields the URL of a server that asks `state` for its answers, by default on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            if not parts.path.startswith(prefix):
                status, content = 404, "<html>nothing here</html>"
            else:
                path = parts.path.removeprefix(prefix)
                status, content = state.answer(self.command, path, query, body, self.headers)
            encoded = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            is_page = isinstance(content, str) and content.startswith("<html>")
            kind = (
                "text/html" if is_page else "text/plain" if isinstance(content, str) else "application/json"
            )
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        do_GET = do_POST = do_DELETE = _answer

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(address, Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
