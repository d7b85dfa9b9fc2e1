"""Who may ask, and that what users named stays text."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from dashboard_support import ORIGIN, SCRIPT, token
from starlette.testclient import TestClient

from components.registry import registry

PAGES = (
    "/", "/runs/mnist-5", "/runs/mnist-2", "/compare?run=mnist-5&run=mnist-2", "/models", "/models/mnist",
    "/models/mnist/rollback?to=1", "/ask", "/ask/mnist", "/nothing",
)  # fmt: skip


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "127.0.0.1", "evil.example:8600", ""])
def test_another_name_that_leads_here_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/", headers={"Host": host})
    assert answer.status_code == 403
    assert "mnist" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "https://127.0.0.1:8600"},
        {"Origin": "http://127.0.0.1:8601"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_form_of_another_site_changes_nothing(
    client: TestClient, models: Path, headers: dict[str, str]
) -> None:
    known = token(client.get("/models/mnist/rollback?to=1").text)
    answer = client.post("/models/mnist/rollback?to=1", data={"token": known}, headers=headers)
    assert answer.status_code == 403
    assert len(registry.versions(str(models), "mnist")) == 2


@pytest.mark.parametrize("data", [{}, {"token": ""}, {"token": "guessed"}, {"token": "é"}])
def test_a_form_without_the_token_changes_nothing(
    client: TestClient, models: Path, data: dict[str, str]
) -> None:
    answer = client.post("/models/mnist/rollback?to=1", data=data, headers={"Origin": ORIGIN})
    assert answer.status_code in (400, 403)
    assert len(registry.versions(str(models), "mnist")) == 2


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_forbids_what_is_inline_or_from_elsewhere(client: TestClient, path: str) -> None:
    answer = client.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?! src=\"/static/)|\son\w+=|\sstyle=|<style|javascript:", answer.text)
    assert not re.search(r'(src|href|action)="(?!/|\?|#|")', answer.text)


@pytest.mark.parametrize("path", ["/", "/runs/mnist-5", "/compare?run=mnist-5&run=mnist-2"])
def test_a_run_named_as_a_script_stays_text(client: TestClient, path: str) -> None:
    page = client.get(path).text
    assert SCRIPT not in page
    assert "&lt;script&gt;" in page


def test_a_report_outside_the_pipeline_root_is_not_shown(
    client: TestClient, root: Path, tmp_path: Path
) -> None:
    report = next((root / "artifacts/cola/Evaluator").glob("*/report.html"))
    kept = report.read_text()
    secret = tmp_path / "secret.html"
    secret.write_text("secret")
    report.unlink()
    report.symlink_to(secret)
    try:
        answer = client.get("/runs/cola-3/report")
        assert answer.status_code == 404
        assert "secret" not in answer.text
    finally:
        report.unlink()
        report.write_text(kept)


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/runs/..%2f..%2fetc/report"],
)
def test_no_path_leads_out(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_reading_is_all_that_a_get_does(client: TestClient, models: Path) -> None:
    client.get("/models/mnist/rollback?to=1")
    assert len(registry.versions(str(models), "mnist")) == 2
    assert client.post("/", headers={"Origin": ORIGIN}).status_code == 405
    assert client.request("DELETE", "/models/mnist", headers={"Origin": ORIGIN}).status_code == 405


def test_a_form_that_is_too_large_is_refused(client: TestClient) -> None:
    body = b"token=" + b"x" * (1 << 20)
    headers = {"Origin": ORIGIN, "Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/models/mnist/rollback?to=1", content=body, headers=headers).status_code == 413


def test_a_page_of_a_task_imports_nothing_that_its_path_names(client: TestClient) -> None:
    for page in ("models", "ask", "show"):
        assert client.get(f"/{page}/tabnanny:check").status_code == 404
    assert "tabnanny" not in sys.modules
