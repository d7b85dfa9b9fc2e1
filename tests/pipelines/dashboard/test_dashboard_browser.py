"""The pages in Chromium, on real runs: as wide and as narrow as people have them, light and dark.

Screenshots of every page go to .artifacts/screenshots, or to $MILLRACE_SCREENSHOTS.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SCREENSHOTS = Path(os.environ.get("MILLRACE_SCREENSHOTS", ROOT / ".artifacts" / "screenshots"))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PAGES = {
    "runs": "/",
    "run": "/runs/mnist-1",
    "log": "/runs/mnist-1/log",
    "compare": "/compare?run=mnist-1&run=mnist-2",
    "models": "/models",
    "model": "/models/mnist",
    "rollback": "/models/mnist/rollback?to=1",
    "asks": "/ask",
    "ask": "/ask/mnist",
    "show": "/show/mnist",
    "error": "/nothing",
}
MILLRACE = [sys.executable, "-m", "pipelines.cli.main"]


def millrace(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    command = [*MILLRACE, *map(str, arguments)]
    return subprocess.Popen(command, text=True, cwd=ROOT, stdout=subprocess.PIPE, **options)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The system's browser; Playwright's own ones are not downloaded."""
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH; on Debian and Ubuntu: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Root has no sandbox of its own.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pipeline_root(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real runs of mnist on real digits, each of which published a version."""
    root = tmp_path_factory.mktemp("root")
    for arguments in (["demo"], ["run", "mnist", "--data", root / "demo-data", *SHORT]):
        done = millrace(*arguments, "--pipeline-root", root)
        done.communicate(timeout=600)
        assert done.returncode == 0
    return root


SHORT = [
    f"--set={key}"
    for key in (
        "train.num_epochs=2",
        "train.learning_rate=0.001",
        "blessing.threshold=0.1",
        "blessing.max_drop=1",
    )
]


@pytest.fixture(scope="module")
def url(pipeline_root: Path) -> Iterator[str]:
    """The address of `millrace ui`."""
    server = millrace("ui", "--port=0", "--json", "--pipeline-root", pipeline_root)
    assert server.stdout is not None
    yield json.loads(server.stdout.readline())["url"].rstrip("/")
    server.terminate()
    server.wait(timeout=30)


class Watched:
    """A page whose complaints, and whose requests to others, are kept."""

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._on_request(request.url, url))

    def _on_console(self, message: Any) -> None:
        # That a page which is not there was not found is no complaint of it.
        if message.type in ("error", "warning") and "404 (Not Found)" not in message.text:
            self.complaints.append(message.text)

    def _on_request(self, asked: str, url: str) -> None:
        if not asked.startswith((f"{url}/", "data:", "blob:")):
            self.complaints.append(f"request to {asked}")


@pytest.fixture
def watched(chromium: Any, url: str, request: pytest.FixtureRequest) -> Iterator[Watched]:
    width, scheme = getattr(request, "param", (1280, "light"))
    context = chromium.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, base_url=url, reduced_motion="reduce"
    )
    context.set_default_timeout(60_000)
    yield Watched(context.new_page(), url)
    context.close()


VIEWS = [(width, scheme) for width in (390, 1280) for scheme in ("light", "dark")]


@pytest.mark.parametrize("watched", VIEWS, ids=lambda view: f"{view[0]}-{view[1]}", indirect=True)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_accessible_and_asks_nobody_else(
    watched: Watched, name: str, request: pytest.FixtureRequest
) -> None:
    page = watched.page
    page.goto(PAGES[name])
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    view = request.node.callspec.id.replace(f"{name}-", "").replace(f"-{name}", "")
    page.screenshot(path=str(SCREENSHOTS / f"{name}-{view}.png"), full_page=True)
    assert watched.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    assert violations(page) == []


def violations(page: Any) -> list[str]:
    """Returns what axe-core finds: the rule, and the first element that breaks it."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['help']}: {each['nodes'][0]['html']}" for each in found]


def draw_zero(page: Any) -> None:
    box = page.locator("#canvas").bounding_box()
    centre = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    points = [
        (centre[0] + 0.2 * box["width"] * math.cos(t / 4), centre[1] + 0.3 * box["height"] * math.sin(t / 4))
        for t in range(27)
    ]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points:
        page.mouse.move(*point)
    page.mouse.up()


def test_a_drawn_digit_is_told(watched: Watched) -> None:
    page = watched.page
    page.goto("/ask/mnist?version=1")
    draw_zero(page)
    page.get_by_role("button", name="Ask").click()
    page.get_by_text('Prediction is "0"').wait_for()
    page.screenshot(path=str(SCREENSHOTS / "ask-answered-1280.png"), full_page=True)
    assert (violations(page), watched.complaints) == ([], [])


def test_the_keyboard_reaches_the_content_first(watched: Watched) -> None:
    page = watched.page
    page.goto("/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_marked_runs_are_compared(watched: Watched) -> None:
    page = watched.page
    page.goto("/")
    for name in ("mnist-1", "mnist-2"):
        page.get_by_label(f"Compare {name}").check()
    page.get_by_role("button", name="Compare the marked runs").click()
    page.get_by_role("heading", name="Compare").wait_for()
    assert page.get_by_role("row", name=re.compile("train.num_epochs")).count() == 1


def test_a_run_is_followed_while_it_goes_on(watched: Watched, pipeline_root: Path) -> None:
    page = watched.page
    page.goto("/")
    page.get_by_label("Compare mnist-1").check()
    changed = ["--set=train.seed=5", "--until=Trainer"]
    run = millrace("run", "mnist", "--data", pipeline_root / "demo-data", *SHORT, *changed, "--pipeline-root", pipeline_root)  # fmt: skip # noqa: E501
    try:
        page.get_by_role("row", name=re.compile("mnist-3 running Trainer")).wait_for(timeout=300_000)
        page.screenshot(path=str(SCREENSHOTS / "runs-live-1280.png"), full_page=True)
        # What somebody marked stays marked.
        assert page.get_by_label("Compare mnist-1").is_checked()
        page.get_by_role("row", name=re.compile("mnist-3 complete")).wait_for(timeout=300_000)
    finally:
        run.communicate(timeout=300)
    assert run.returncode == 0
    assert watched.complaints == []


def test_without_scripts_the_pages_work(chromium: Any, url: str) -> None:
    context = chromium.new_context(java_script_enabled=False, base_url=url)
    page = context.new_page()
    page.goto("/?sort=metric")
    page.get_by_role("link", name="mnist-1", exact=True).click()
    assert page.get_by_role("heading", name="Learning curves").count() == 1
    page.goto("/ask/mnist")
    assert page.locator("input[type=file]").is_visible()
    assert not page.locator("#canvas").is_visible()
    context.close()


def test_a_rollback_is_done(watched: Watched) -> None:
    page = watched.page
    page.goto("/models/mnist")
    page.get_by_role("link", name="Roll back to 1").click()
    page.get_by_role("button", name="Make version 1 live again").click()
    page.get_by_text("Version 3 is live now.").wait_for()
    assert page.get_by_role("row", name=re.compile("^3 live restored from 1")).count() == 1
    assert watched.complaints == []
