"""What pages say, of a history and a registry on disk."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from dashboard_support import ORIGIN, token
from made_history import MadeRun, write_runs
from starlette.testclient import TestClient

from components.formats.idx import write_idx
from components.registry import registry
from pipelines.dashboard import calls as how_to_call
from pipelines.dashboard.app import Places, make_app
from pipelines.tasks import TASKS


class _Rows(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td") and self.rows:
            self.rows[-1].append("")
            self._in_cell = True
        if tag == "div":
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in ("th", "td")

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data


def read(page: str) -> _Rows:
    parser = _Rows()
    parser.feed(page)
    return parser


def rows(page: str) -> list[list[str]]:
    return [[" ".join(cell.split()) for cell in row] for row in read(page).rows]


def run_names(page: str) -> list[str]:
    return [row[1] for row in rows(page)[1:]]


def test_runs_are_listed_newest_first_with_state_metric_and_version(client: TestClient) -> None:
    page = client.get("/").text
    assert run_names(page) == ["mnist-5", "mnist-4", "cola-3", "mnist-2", "mnist-1"]
    second = rows(page)[4]
    assert (second[2], second[5], second[7]) == ("complete", "0.9700", "version 2")


def test_a_run_says_what_changed_since_the_one_before(client: TestClient) -> None:
    changes = rows(client.get("/").text)[4][8]
    assert changes == "train.num_epochs is 40, was 3 data images.gz changed"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?task=cola", ["cola-3"]),
        ("?state=failed", ["mnist-4"]),
        ("?task=mnist&sort=run", ["mnist-1", "mnist-2", "mnist-4", "mnist-5"]),
        # A run without the metric comes last.
        ("?sort=-metric", ["mnist-2", "mnist-5", "mnist-1", "cola-3", "mnist-4"]),
        ("?task=nothing", []),
        ("?sort=x&page=-1", ["mnist-5", "mnist-4", "cola-3", "mnist-2", "mnist-1"]),
    ],
)
def test_runs_are_filtered_and_sorted(client: TestClient, query: str, expected: list[str]) -> None:
    assert run_names(client.get(f"/{query}").text) == expected


def test_a_sorted_column_says_so_to_a_screen_reader(client: TestClient) -> None:
    page = client.get("/?sort=-metric").text
    assert page.count("aria-sort") == 1
    assert 'aria-sort="descending"><a href="?sort=metric">Metric' in page


def test_a_run_shows_nodes_settings_metrics_and_data(client: TestClient) -> None:
    page = client.get("/runs/mnist-2").text
    found = rows(page)
    by_name = {row[0]: row[1:] for row in found}
    assert by_name["Trainer"][0] == "complete"
    assert by_name["accuracy"] == ["0.9700", "0.9600 to 0.9800", "0.9000", "+0.0700"]
    assert by_name["train.num_epochs"] == ["40"]
    assert by_name["images.gz"] == ["11ee"]
    assert "1,000 examples" in page


def test_defaults_are_dimmed_and_what_differs_is_not(client: TestClient) -> None:
    first, second = client.get("/runs/mnist-1").text, client.get("/runs/mnist-2").text
    # The task declares 40 epochs.
    assert '<tr class="own"><th scope="row">train.num_epochs</th><td>3</td>' in first
    assert '<tr class="dim"><th scope="row">train.num_epochs</th><td>40</td>' in second


def test_the_picture_has_all_nodes_also_those_that_were_not_reached(client: TestClient) -> None:
    page = client.get("/runs/mnist-4").text
    drawn = re.findall(r'<g class="node (\w+)">.*?class="name"[^>]*>(\w+)</text>', page)
    assert drawn[4:8] == [
        ("complete", "Transform"),
        ("failed", "Trainer"),
        ("waiting", "LatestBlessedModel"),
        ("waiting", "Evaluator"),
    ]


def test_a_run_is_found_by_its_long_id(client: TestClient) -> None:
    assert "mnist-1" in client.get("/runs/2026-01-01T00:00:01").text


def test_a_run_shows_what_its_record_holds(tmp_path: Path) -> None:
    made_by = {
        "name": "baseline",
        "tags": ("night", "a&b"),
        "command": ("millrace", "run", "mnist", "--set", "train.num_epochs=3"),
        "changed": ("train.num_epochs",),
        "packages": {"keras": "3.12.0"},
        "python": "3.10.13",
        "machine": {"host": "h", "os": "Linux", "cpu": "Xeon", "cpus": 2, "memory_bytes": 2**31},
        "revisions": {"millrace": {"root": "/src", "commit": "0123456789abcdef", "dirty": True}},
    }
    settings = {"train": {"num_epochs": 3, "seed": 0}}
    write_runs(tmp_path, [MadeRun("mnist", "a", settings=settings, record=made_by), MadeRun("mnist", "b")])
    client = TestClient(make_app(Places(str(tmp_path), str(tmp_path)), ["127.0.0.1:8600"]), base_url=ORIGIN)
    page = client.get("/runs/baseline").text
    assert "mnist-1 <span" in page
    assert "<code>millrace run mnist --set train.num_epochs=3</code>" in page
    assert "0123456789ab, with changes in /src" in page
    assert "h, 2 × Xeon, 2.0 GiB, no accelerator, Linux" in page
    assert "keras==3.12.0" in page
    assert '<tr class="own"><th scope="row">train.num_epochs</th><td>3</td>' in page
    assert '<tr class="dim"><th scope="row">train.seed</th><td>0</td>' in page
    assert '<a class="tag" href="/?tag=a%26b">a&amp;b</a>' in page
    assert run_names(client.get("/?tag=a%26b").text) == ["mnist-1 baseline night a&b"]


def test_an_unknown_run_is_not_found(client: TestClient) -> None:
    answer = client.get("/runs/mnist-99")
    assert answer.status_code == 404
    assert "no run &#39;mnist-99&#39;" in answer.text


def test_the_report_is_shown_as_it_was_written(client: TestClient) -> None:
    answer = client.get("/runs/mnist-1/report")
    assert "<p>Blessed</p>" in answer.text
    assert answer.headers["content-security-policy"].endswith("sandbox")
    assert client.get("/runs/mnist-4/report").status_code == 404


def test_the_log_of_a_run_is_the_last_one_that_began_before_it(client: TestClient, root: Path) -> None:
    logs = root / "logs"
    logs.mkdir(exist_ok=True)
    for name, text in (("2020-01-01T00-00-00Z", "old"), ("2021-01-01T00-00-00Z", "new & <b>"), ("2999-01-01T00-00-00Z", "later")):  # fmt: skip # noqa: E501
        (logs / f"{name}.log").write_text(text)
    page = client.get("/runs/mnist-1/log").text
    assert "new &amp; &lt;b&gt;</pre>" in page


def test_runs_are_compared_in_what_differs(client: TestClient) -> None:
    page = client.get("/compare?run=mnist-1&run=mnist-2").text
    found = {row[0]: row[1:] for row in rows(page)}
    assert found["train.num_epochs"] == ["3", "40"]
    assert "train.learning_rate" not in found
    assert found["images.gz"] == ["00ff", "11ee"]
    assert found["accuracy"] == ["0.9500 (95%: 0.9400 to 0.9600)", "0.9700 (95%: 0.9600 to 0.9800)"]
    assert found["label = 7"] == ["0.8500", "0.8700"]


@pytest.mark.parametrize("query", ["", "?run=mnist-1", "?run=mnist-1&run=mnist-1"])
def test_fewer_than_two_runs_are_nothing_to_compare(client: TestClient, query: str) -> None:
    answer = client.get(f"/compare{query}")
    assert answer.status_code == 400
    assert "expected 2 to 4 runs to compare" in answer.text


def test_models_are_listed_the_published_ones_first(client: TestClient) -> None:
    page = client.get("/models").text
    names = re.findall(r'<h2><a href="/models/(\w+)">', page)
    assert names[0] == "mnist"
    assert "cola" in names
    assert "<strong>Version 2</strong> is live, of 2." in page


def test_a_model_shows_versions_and_the_runs_that_made_them(client: TestClient) -> None:
    page = client.get("/models/mnist").text
    live, first = rows(page)[1:3]
    assert (live[0], live[1], live[3], live[4]) == ("2", "live", "0.9700", "mnist-2")
    assert (first[0], first[1], first[3], first[4]) == ("1", "", "0.9500", "mnist-1")
    assert '<a href="/models/mnist/rollback?to=1">' in page
    assert '<a href="/models/mnist/rollback?to=2">' not in page


def test_a_version_is_followed_back_to_its_raw_files_and_from_there_to_other_versions(
    client: TestClient,
) -> None:
    page = client.get("/models/mnist").text
    lineage = re.search(r'<ol class="lineage card">(.*?)</ol>', page, re.DOTALL)
    assert lineage is not None
    assert re.findall(r"<span>(.*?)</span>", lineage[1]) == [
        "Raw files", "Run", "Examples", "Preprocessing", "Model", "Evaluation", "Version 2"
    ]  # fmt: skip
    assert '<a href="/runs/mnist-2">mnist-2</a>' in lineage[1]
    # The run of version 1 has another images.gz.
    assert rows(page)[-1] == ["images.gz", "11ee", "2"]


def test_a_model_without_versions_says_how_to_make_one(client: TestClient) -> None:
    assert "millrace run cola --data DIR" in client.get("/models/cola").text


def test_a_rollback_is_asked_for_and_then_done(client: TestClient, models: Path) -> None:
    asked = client.get("/models/mnist/rollback?to=1")
    assert "Version 2 is live now." in asked.text
    assert [version.version for version in registry.versions(str(models), "mnist")] == [1, 2]
    done = client.post(
        "/models/mnist/rollback?to=1", data={"token": token(asked.text)}, headers={"Origin": ORIGIN}
    )
    assert (done.status_code, done.headers["location"]) == (303, "/models/mnist?done=3")
    live = registry.live(str(models), "mnist")
    assert live is not None
    assert (live.version, live.restored_from) == (3, 1)
    assert "Version 3 is live now." in client.get(done.headers["location"]).text


@pytest.mark.parametrize("version", ["2", "7", "", "x", "-1"])
def test_a_rollback_to_what_is_no_earlier_version_is_not_found(client: TestClient, version: str) -> None:
    assert client.get(f"/models/mnist/rollback?to={version}").status_code == 404


def test_texts_can_be_asked_by_curl_python_and_grpc() -> None:
    calls = {call.title: call.text for call in how_to_call.calls(TASKS["cola"], "/models", None)}
    assert list(calls) == ["Serve it", "REST, by curl", "Python, by REST", "Python, by gRPC"]
    assert calls["REST, by curl"] == (
        'curl -d \'{"signature_name": "text", "inputs": {"text_a": ["The cat that I saw sleeps."]}}\' '
        "http://localhost:8501/v1/models/cola:predict"
    )
    assert calls["Serve it"].endswith("serve cola --models /models")
    for title in ("Python, by REST", "Python, by gRPC"):
        compile(calls[title], title, "exec")


def test_what_takes_files_can_be_asked_about_a_row_of_the_data(tmp_path: Path) -> None:
    for name in ("train", "t10k"):
        write_idx(tmp_path / f"{name}-images-idx3-ubyte.gz", np.zeros((1, 28, 28), np.uint8))
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte", np.zeros(1, np.uint8))
    calls = {call.title: call.text for call in how_to_call.calls(TASKS["mnist"], "/models", str(tmp_path))}
    assert '"inputs": {"png_bytes": [{"b64": "iVBORw0KGgo' in calls["REST, by curl"]
    compile(calls["Python, by gRPC"], "call", "exec")
    # The data may be gone by now.
    assert [call.title for call in how_to_call.calls(TASKS["mnist"], "/models", "/none")] == [
        "Serve it",
        "Ask it by gRPC",
    ]


def test_nothing_has_run_yet(tmp_path: Path) -> None:
    app = make_app(Places(str(tmp_path / "none"), str(tmp_path / "none/models")), ["127.0.0.1:8600"])
    client = TestClient(app, base_url=ORIGIN)
    assert "Nothing has run here yet." in client.get("/").text
    assert "Nothing is published." in client.get("/models").text
    assert not (tmp_path / "none").exists()
