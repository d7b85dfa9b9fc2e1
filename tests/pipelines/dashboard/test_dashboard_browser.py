"""The pages in Chromium, on real runs: as wide and as narrow as people have them, light and dark.

Screenshots of every page go to .artifacts/screenshots, or to $MILLRACE_SCREENSHOTS.
"""

from __future__ import annotations

import base64
import io
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

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium on PATH; on Debian and Ubuntu: apt-get install chromium"
    ),
]

ROOT = Path(__file__).parents[3]
SCREENSHOTS = Path(os.environ.get("MILLRACE_SCREENSHOTS", ROOT / ".artifacts" / "screenshots"))
# By name: of which task's dashboard, and where there.
PAGES = {
    "runs": ("mnist", "/"),
    "run": ("mnist", "/runs/mnist-1"),
    "log": ("mnist", "/runs/mnist-1/log"),
    "compare": ("mnist", "/compare?run=mnist-1&run=mnist-2"),
    "models": ("mnist", "/models"),
    "model": ("mnist", "/models/mnist"),
    "rollback": ("mnist", "/models/mnist/rollback?to=1"),
    "asks": ("mnist", "/ask"),
    "ask": ("mnist", "/ask/mnist"),
    "show": ("mnist", "/show/mnist"),
    "error": ("mnist", "/nothing"),
}
OTHERS = ("mnli", "squad", "lits")
for task in OTHERS:
    PAGES |= {
        f"run-of-{task}": (task, f"/runs/{task}-1"),
        f"model-of-{task}": (task, f"/models/{task}"),
        f"ask-of-{task}": (task, f"/ask/{task}"),
    }
# That of a scan was not answered within a minute on busy cores.
PAGES |= {f"show-of-{task}": (task, f"/show/{task}") for task in ("mnli", "squad")}
MILLRACE = [sys.executable, "-m", "pipelines.cli.main"]


def millrace(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    command = [*MILLRACE, *map(str, arguments)]
    return subprocess.Popen(command, text=True, cwd=ROOT, stdout=subprocess.PIPE, **options)


@pytest.fixture(scope="module")
def chromium(urls: dict[str, str]) -> Iterator[Any]:
    """The system's browser; Playwright's own ones are not downloaded. It is started when all has run."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Root has no sandbox of its own.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pipeline_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real runs of mnist on real digits, each of which published a version."""
    root = tmp_path_factory.mktemp("root")
    for arguments in (["demo"], ["run", "mnist", "--data", root / "demo-data", *SHORT]):
        done = millrace(*arguments, "--pipeline-root", root)
        done.communicate(timeout=600)
        assert done.returncode == 0
    return root


@pytest.fixture(scope="module")
def folders(mnli_run: Any, squad_run: Any, lits_run: Any) -> dict[str, Path]:
    """Where the other tasks' data, runs and models are."""
    return {
        task: Path(report.pushed_dir).parents[2]
        for task, report in zip(OTHERS, (mnli_run, squad_run, lits_run), strict=True)
    }


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
def urls(pipeline_root: Path, folders: dict[str, Path]) -> Iterator[dict[str, str]]:
    """The addresses of `millrace ui` by task."""
    places = {"mnist": (pipeline_root, pipeline_root / "models")}
    places |= {task: (folder / "root", folder / "models") for task, folder in folders.items()}
    servers = {
        task: millrace("ui", "--port=0", "--json", "--pipeline-root", root, "--models", models)
        for task, (root, models) in places.items()
    }
    yield {task: _address(server) for task, server in servers.items()}
    for server in servers.values():
        server.terminate()
        server.wait(timeout=30)


def _address(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    return str(json.loads(server.stdout.readline())["url"]).rstrip("/")


@pytest.fixture(scope="module")
def url(urls: dict[str, str]) -> str:
    return urls["mnist"]


class Watched:
    """A page whose complaints, and whose requests to others, are kept."""

    def __init__(self, page: Any, urls: dict[str, str]) -> None:
        self.page = page
        self.urls = urls
        self.complaints: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._on_request(request.url))

    def _on_console(self, message: Any) -> None:
        # That a page which is not there was not found is no complaint of it.
        if message.type in ("error", "warning") and "404 (Not Found)" not in message.text:
            self.complaints.append(message.text)

    def _on_request(self, asked: str) -> None:
        if not asked.startswith((*(f"{url}/" for url in self.urls.values()), "data:", "blob:")):
            self.complaints.append(f"request to {asked}")

    def goto(self, task: str, path: str) -> Any:
        self.page.goto(f"{self.urls[task]}{path}")
        return self.page

    def shoot(self, name: str) -> None:
        """Keeps a picture of the whole page, which has to be as wide as the window and without a fault."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(SCREENSHOTS / f"{name}.png"), full_page=True)
        assert self.complaints == []
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
        assert violations(self.page) == []


@pytest.fixture
def watched(urls: dict[str, str], chromium: Any, request: pytest.FixtureRequest) -> Iterator[Watched]:
    width, scheme = getattr(request, "param", (1280, "light"))
    context = chromium.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, base_url=urls["mnist"],
        reduced_motion="reduce",
    )  # fmt: skip
    context.set_default_timeout(180_000)
    yield Watched(context.new_page(), urls)
    context.close()


def view_name(view: tuple[int, str]) -> str:
    return f"{view[0]}-{view[1]}"


VIEWS = [(width, scheme) for width in (390, 1280) for scheme in ("light", "dark")]
every_view = pytest.mark.parametrize("watched", VIEWS, ids=view_name, indirect=True)
# What takes seconds to be answered is looked at in two of them.
two_views = pytest.mark.parametrize("watched", [VIEWS[1], VIEWS[2]], ids=view_name, indirect=True)


@pytest.fixture
def view(request: pytest.FixtureRequest) -> str:
    return view_name(request.node.callspec.params["watched"])


@every_view
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_accessible_and_asks_nobody_else(watched: Watched, name: str, view: str) -> None:
    watched.goto(*PAGES[name])
    watched.shoot(f"{name}-{view}")


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


@two_views
def test_a_drawn_digit_is_told(watched: Watched, view: str) -> None:
    page = watched.goto("mnist", "/ask/mnist?version=1")
    draw_zero(page)
    page.get_by_label("Show what the answer hangs on").check()
    page.get_by_role("button", name="Ask").click()
    page.get_by_text('Prediction is "0"').wait_for()
    assert page.get_by_role("img", name="What the answer hangs on").is_visible()
    watched.shoot(f"ask-answered-{view}")


@two_views
def test_typed_sentences_are_told_and_what_hangs_on_their_words(watched: Watched, view: str) -> None:
    page = watched.goto("mnli", "/ask/mnli")
    page.get_by_label("Text", exact=True).fill("A large dog sat.")
    page.get_by_label("Second text").fill("A dog sat down.")
    page.get_by_label("Show what the answer hangs on").check()
    page.get_by_role("button", name="Ask").click()
    page.get_by_text(re.compile(r'^Prediction is "(contradiction|entailment|neutral)"')).wait_for()
    assert [words.inner_text() for words in page.locator(".words").all()] == [
        "A large dog sat.",
        "A dog sat down.",
    ]
    watched.shoot(f"ask-of-mnli-answered-{view}")


@two_views
def test_a_question_is_answered_and_the_answer_marked_in_the_text(watched: Watched, view: str) -> None:
    page = watched.goto("squad", "/ask/squad")
    page.get_by_label("Question").fill("Who lives in the mill?")
    page.get_by_label("Context").fill("Anna lives in the mill. In spring, Paul crossed the river.")
    page.get_by_label("Show what the answer hangs on").check()
    page.get_by_role("button", name="Ask").click()
    said = page.locator(".sentence").inner_text()
    if not said.startswith("The text does not say"):
        assert f'Answer is "{page.locator("mark").inner_text()}"' in said
    assert page.locator(".words").count() == 2
    watched.shoot(f"ask-of-squad-answered-{view}")


@two_views
def test_a_scan_is_uploaded_and_looked_through_with_the_mask_over_it(
    watched: Watched, folders: dict[str, Path], view: str
) -> None:
    page = watched.goto("lits", "/ask/lits")
    page.locator("input[type=file]").set_input_files(folders["lits"] / "data" / "volume-0.nii.gz")
    page.get_by_label("Show what the answer hangs on").check()
    page.get_by_role("button", name="Ask").click()
    page.get_by_text(re.compile(r"^liver [\d,.]+ ml, tumour [\d,.]+ ml$")).wait_for()
    slider = page.get_by_role("slider", name="Slices from the feet to the head")
    shown = page.locator(".slices img:visible")
    assert shown.count() == 1
    middle = shown.get_attribute("alt")
    slider.press("ArrowRight")
    assert shown.get_attribute("alt") != middle
    pictures = [image.get_attribute("src") for image in page.locator(".slices img").all()]
    assert any(has_mask(picture) for picture in pictures)
    watched.shoot(f"ask-of-lits-answered-{view}")


def has_mask(picture: str) -> bool:
    """Whether a slice, grey but for that, has a contour in the colour of liver or of tumour."""
    from PIL import Image

    content = base64.b64decode(picture.partition(",")[2])
    colours = Image.open(io.BytesIO(content)).convert("RGB").getcolors(1 << 20)
    return bool({(240, 228, 66), (213, 94, 0)} & {colour for _, colour in colours})


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
        watched.shoot("runs-live-1280-light")
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
    watched.shoot("rolled-back-1280-light")
