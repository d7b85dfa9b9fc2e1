"""Pages of data, of statistics and of answers in Chromium, on a made history with real data.

Screenshots go where those of test_dashboard_browser.py do.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from made_history import MadeRun, write_runs
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from components.export.origin import STATISTICS_FILE
from components.metrics.classification import ImageClassification
from components.registry import registry
from pipelines.datasets.made_digits import make_digits

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SCREENSHOTS = Path(os.environ.get("MILLRACE_SCREENSHOTS", ROOT / ".artifacts" / "screenshots"))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PAGES = {
    "data-texts": "/runs/cola-3/data",
    "data-images": "/runs/mnist-1/data",
    "statistics": "/runs/mnist-2",
    "answers": "/compare?run=mnist-1&run=mnist-2",
}
LONG = "And then the longest of all the sentences went on and on, " * 20


def counted(labels: Mapping[str, int], lengths: list[int]) -> bytes:
    """Statistics of labels and of a number that is spread over a few buckets."""
    found = DatasetFeatureStatisticsList()
    dataset = found.datasets.add(num_examples=sum(labels.values()))
    label = dataset.features.add(type="INT", name="label").string_stats
    label.common_stats.num_non_missing, label.unique = sum(labels.values()), len(labels)
    for value, count in labels.items():
        label.top_values.add(value=value, frequency=count)
        label.rank_histogram.buckets.add(label=value, sample_count=count)
    number = dataset.features.add(type="FLOAT", name="ink").num_stats
    number.common_stats.num_non_missing, number.common_stats.num_missing = sum(lengths), 3
    number.min, number.mean, number.max = 0.0, 4.2, float(len(lengths))
    histogram = number.histograms.add(type="STANDARD")
    for place, count in enumerate(lengths):
        histogram.buckets.add(low_value=place, high_value=place + 1, sample_count=count)
    return bytes(found.SerializeToString())


BEFORE = counted({str(digit): 40 + digit for digit in range(10)}, [4, 9, 20, 31, 20, 9, 4])
NOW = counted({str(digit): 80 if digit == 3 else 30 for digit in range(10)}, [4, 5, 9, 20, 31, 24, 12])


def write_texts(folder: Path) -> None:
    folder.mkdir()
    train = [(1, "The cats sat on the mat."), (0, "On mat cats the sat."), (1, "The cats sat on the mat.")]
    train += [(1, LONG), *((number % 2, f"Sentence number {number} is short.") for number in range(40))]
    for name, rows in (
        ("train.tsv", train),
        ("dev.tsv", [(0, "The cats sat on the mat."), (1, "Owls fly.")]),
    ):
        lines = (f"gj04\t{label}\t\t{text}\n" for label, text in rows)
        (folder / name).write_text("".join(lines), encoding="utf-8")


def publish(folder: Path, models: Path) -> None:
    (folder / STATISTICS_FILE).parent.mkdir(parents=True)
    (folder / STATISTICS_FILE).write_bytes(BEFORE)
    (folder / "saved_model.pb").write_bytes(b"")
    registry.publish(
        str(folder), str(models), "mnist", metrics={"accuracy": 0.95}, source={"run_id": "1"}, keep_versions=5
    )


def mistakes() -> dict[str, str]:
    """Answers as the Evaluator shows them, to grey squares."""
    picture = ImageClassification(image_shape=(28, 28)).picture
    return {
        f"{shade:02d}": f"{picture({'image': bytes([10 * shade] * 784)})}is 4, said 9 (9{shade % 10}.1%)"
        for shade in range(20)
    }


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `millrace ui` over three made runs."""
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH; on Debian and Ubuntu: apt-get install chromium")
    root = tmp_path_factory.mktemp("root")
    write_texts(root / "texts")
    (root / "digits").mkdir()
    make_digits(root / "digits")
    publish(root / "model", root / "models")
    looks, digits = mistakes(), {"data_dir": str(root / "digits")}
    first = {key: 0.0 if number % 3 else 0.9 for number, key in enumerate(looks)}
    second = {key: 0.0 if number % 4 else 0.8 for number, key in enumerate(looks)}
    write_runs(
        root,
        [
            MadeRun("mnist", "2026-01-01T00:00:01", 0.95, record=digits, badness=first, mistakes=looks),
            MadeRun(
                "mnist", "2026-01-01T00:00:02", 0.97, record=digits, badness=second, mistakes=looks,
                statistics={"train": NOW, "eval": BEFORE},
            ),
            MadeRun("cola", "2026-01-01T00:00:03", record={"data_dir": str(root / "texts")}),
        ],
    )  # fmt: skip
    command = [sys.executable, "-m", "pipelines.cli.main", "ui", "--port=0", "--json"]
    server = subprocess.Popen(
        [*command, "--pipeline-root", root], text=True, cwd=ROOT, stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    yield json.loads(server.stdout.readline())["url"].rstrip("/")
    server.terminate()
    server.wait(timeout=30)


@pytest.fixture(scope="module")
def chromium(url: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Root has no sandbox of its own.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [390, 1280, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_data_is_whole_and_accessible_without_scripts(
    chromium: Any, url: str, name: str, width: int, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    complaints: list[str] = []
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda asked: asked.url.startswith((url, "data:")) or complaints.append(asked.url))
    page.goto(f"{url}{PAGES[name]}")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SCREENSHOTS / f"{name}-{width}-{scheme}.png"), full_page=True)
    found = Axe().run(page).response["violations"]
    assert [f"{each['id']}: {each['nodes'][0]['html']}" for each in found] == []
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    context.close()
