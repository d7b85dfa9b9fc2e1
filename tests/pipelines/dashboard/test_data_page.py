"""What the page says of the folder that a run read."""

from __future__ import annotations

from pathlib import Path

import pytest
from dashboard_support import ORIGIN, SCRIPT
from made_history import MadeRun, write_runs
from starlette.testclient import TestClient

from pipelines.dashboard import data_page
from pipelines.dashboard.app import Places, make_app
from pipelines.datasets.made_digits import make_digits


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    """Runs of texts, of digits, and of a folder that nobody wrote down."""
    texts, digits = tmp_path / "texts", tmp_path / "digits"
    texts.mkdir()
    rows = [("train.tsv", [(1, "Cats sat."), (0, SCRIPT), (1, "Cats sat.")]), ("dev.tsv", [(0, "Cats sat.")])]
    for name, labelled in rows:
        lines = (f"gj04\t{label}\t\t{text}\n" for label, text in labelled)
        (texts / name).write_text("".join(lines), encoding="utf-8")
    digits.mkdir()
    make_digits(digits)
    write_runs(
        tmp_path / "root",
        [
            MadeRun("cola", "2026-01-01T00:00:01", record={"data_dir": str(texts)}),
            MadeRun("mnist", "2026-01-01T00:00:02", record={"data_dir": str(digits)}),
            MadeRun("gone", "2026-01-01T00:00:03", record={"data_dir": str(texts)}),
            MadeRun("cola", "2026-01-01T00:00:04", record={"data_dir": str(tmp_path / "nowhere")}),
        ],
    )
    app = make_app(Places(str(tmp_path / "root"), str(tmp_path / "models")), ["127.0.0.1:8600"])
    return TestClient(app, base_url=ORIGIN)


def test_rows_labels_and_what_looks_wrong_are_shown(client: TestClient) -> None:
    page = client.get("/runs/cola-1/data").text
    assert "3 rows" in page
    assert "Rows of eval whose input is in train, too: 1" in page
    assert "Inputs that have several labels: 1" in page
    assert '<th scope="row">train 3</th>' in page
    assert 'value="2" aria-label="1 in train"' in page
    assert SCRIPT not in page
    assert "&lt;script&gt;" in page
    assert "/runs/cola-1/data" in client.get("/runs/cola-1").text


def test_images_are_seen(client: TestClient) -> None:
    page = client.get("/runs/mnist-2/data").text
    assert page.count("data:image/png;base64,") >= 20
    assert "784" in page


def test_of_many_rows_the_first_are_looked_at(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_page, "MOST_ROWS", 2)
    page = client.get("/runs/cola-1/data").text
    assert "the first 2 rows" in page
    assert "millrace data show cola --data" in page


def test_only_a_folder_that_a_run_recorded_is_read(client: TestClient) -> None:
    assert client.get("/runs/gone-3/data").status_code == 404
    assert client.get("/runs/nothing/data?dir=/etc").status_code == 404
    gone = client.get("/runs/cola-4/data?dir=/etc")
    assert gone.status_code == 400
    assert "nowhere: expected a folder with" in gone.text
