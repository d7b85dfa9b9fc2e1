"""What two runs answer differently, on the page and on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from dashboard_support import ORIGIN, SCRIPT
from json_documents import document
from made_history import MadeRun, write_runs
from starlette.testclient import TestClient

from pipelines.cli import main as cli
from pipelines.dashboard.app import Places, make_app


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two runs that answer three of five examples differently, and one that was asked others."""
    first = {"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.9, "e": 0.8}
    second = {"a": 0.0, "b": 0.7, "c": 0.6, "d": 0.0, "e": 0.5}
    looks = {key: f"<p>{key} is wrong</p>{SCRIPT}" for key in "abcde"}
    write_runs(
        tmp_path,
        [
            MadeRun("mnist", "2026-01-01T00:00:01", badness=first, mistakes=looks),
            MadeRun("mnist", "2026-01-01T00:00:02", badness=second, mistakes=looks),
            MadeRun("mnist", "2026-01-01T00:00:03", badness={"z": 0.0}),
        ],
    )
    return tmp_path


@pytest.fixture
def client(root: Path) -> TestClient:
    app = make_app(Places(str(root), str(root / "models")), ["127.0.0.1:8600"])
    return TestClient(app, base_url=ORIGIN)


def test_the_page_shows_what_one_run_answers_rightly_and_the_other_not(client: TestClient) -> None:
    page = client.get("/compare?run=mnist-1&run=mnist-2").text
    assert "Of 5 examples that both were asked" in page
    for name, count in (
        ("Both are right", 1),
        ("mnist-1 alone is right", 2),
        ("mnist-2 alone is right", 1),
        ("Neither is right", 1),
    ):
        assert f'<th scope="row">{name}</th><td class="number">{count}</td>' in page
    # Two of three, or one, on one side: both ends of all.
    assert "p = 1 by" in page
    assert page.index("<p>b is wrong</p>") < page.index("<p>c is wrong</p>") < page.index("<p>d is wrong</p>")
    assert "a is wrong" not in page
    assert "e is wrong" not in page
    assert SCRIPT not in page


def test_runs_that_were_asked_other_examples_have_no_answers_to_compare(client: TestClient) -> None:
    page = client.get("/compare?run=mnist-1&run=mnist-3")
    assert page.status_code == 200
    assert "Answers of" not in page.text


def test_the_verb_tells_it_in_a_line_and_as_json(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["runs", "compare", "mnist-1", "mnist-2", "mnist-3", "--pipeline-root", str(root)]
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert not stop.value.code
    expected = "of 5 examples, both are right on 1, mnist-1 alone on 2, mnist-2 alone on 1: p = 1"
    assert expected in capfd.readouterr().out
    with pytest.raises(SystemExit):
        cli.main([*arguments, "--json"])
    told, unknown = document("compared", capfd.readouterr().out)["answers"]
    assert (told["both"], told["first_only"], told["second_only"], told["neither"]) == (1, 2, 1, 1)
    assert unknown is None
