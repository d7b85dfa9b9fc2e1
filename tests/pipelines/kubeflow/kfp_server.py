"""A server with the calls of Kubeflow Pipelines' API that the client makes, over a real socket.

Written after backend/api/v2beta1/swagger of kubeflow/pipelines: names are unique, uploads are files, and
runs go on.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PREFIX = "/apis/v2beta1/"


class KubeflowServer:
    """What the server holds; tests set `states`, `token` and `failures`."""

    def __init__(self) -> None:
        self.url = ""
        self.token = ""
        self.pipelines: list[dict[str, Any]] = []
        self.versions: list[dict[str, Any]] = []
        self.experiments: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.recurring: list[dict[str, Any]] = []
        self.uploads: list[str] = []
        # What a run looks like, one a call; the last one stays.
        self.states: list[dict[str, Any]] = [{"state": "PENDING"}]
        # Status codes for the next calls.
        self.failures: list[int] = []

    def answer(
        self, method: str, path: str, query: dict[str, str], body: bytes, headers: Message
    ) -> tuple[int, Any]:
        if self.failures:
            return self.failures.pop(0), {
                "error": "the database is gone",
                "code": 14,
                "message": "the database is gone",
            }
        if self.token and headers["Authorization"] != f"Bearer {self.token}":
            return 401, {"error": "Unauthenticated"}
        kind = path.split("/")[0]
        if kind == "healthz":
            return 200, {"multi_user": False}
        if method == "POST" and path == "pipelines/upload_version":
            return self._upload(query, body, headers)
        if method == "POST":
            return self._create(kind, json.loads(body))
        if found := re.fullmatch(r"runs/(.+)", path):
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return 200, {"run_id": found[1], **state}
        if re.fullmatch(r"pipelines/[^/]+/versions", path):
            owner = path.split("/")[1]
            return 200, self._page(
                "pipeline_versions", [v for v in self.versions if v["pipeline_id"] == owner], query
            )
        if kind in ("pipelines", "experiments"):
            return 200, self._page(kind, getattr(self, kind), query)
        return 404, {"error": "Not Found", "code": 5, "message": "Not Found"}

    def _page(self, key: str, items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        (predicate,) = json.loads(query["filter"])["predicates"]
        assert predicate["operation"] == "EQUALS"
        found = [item for item in items if item["display_name"] == predicate["string_value"]]
        # One a page: clients that read the first page alone are found out.
        start = int(query.get("page_token") or 0)
        more = {"next_page_token": str(start + 1)} if start + 1 < len(found) else {}
        return {key: found[start : start + 1], **more}

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
        items.append({**body, singular: f"{kind}-{len(items) + 1}"})
        return 200, items[-1]

    def _upload(self, query: dict[str, str], body: bytes, headers: Message) -> tuple[int, Any]:
        boundary = headers.get_param("boundary", header="content-type")
        part = body.split(f"--{boundary}".encode())[1]
        self.uploads.append(part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n").decode())
        version = {"display_name": query["name"], "pipeline_id": query["pipelineid"],
                   "pipeline_version_id": f"version-{len(self.versions) + 1}"}  # fmt: skip
        self.versions.append(version)
        return 200, version


@contextlib.contextmanager
def serving(state: Any, prefix: str = PREFIX) -> Iterator[str]:
    """Yields the URL of a server on a port of its own that asks `state` for its answers."""

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
            self.send_header("Content-Type", "text/html" if isinstance(content, str) else "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        do_GET = do_POST = do_DELETE = _answer

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
