from __future__ import annotations

from pathlib import Path

import pytest
from dashboard_support import ORIGIN, SCRIPT
from made_history import MadeRun, write_runs
from starlette.testclient import TestClient

from components.registry import registry
from pipelines.dag import nodes
from pipelines.dashboard.app import Places, make_app


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five runs: published, with other settings, of another task and refused, failed, of a wild name."""
    root = tmp_path_factory.mktemp("root")
    short, long = ({"train": {"num_epochs": epochs, "learning_rate": 1e-4}} for epochs in (3, 40))
    write_runs(
        root,
        [
            MadeRun("mnist", "2026-01-01T00:00:01", 0.95, settings=short, published=1),
            MadeRun(
                "mnist",
                "2026-01-01T00:00:02",
                0.97,
                settings=long,
                digests={"images.gz": "11ee"},
                published=2,
            ),
            MadeRun("cola", "2026-01-01T00:00:03", 0.5, blessed=False),
            MadeRun("mnist", "2026-01-01T00:00:04", until=nodes.TRAINER, ends="FAILED", settings=short),
            MadeRun("mnist", SCRIPT, 0.96, settings={"train": {"note": SCRIPT}}, digests={SCRIPT: "22dd"}),
        ],
    )
    return root


@pytest.fixture
def models(tmp_path: Path, root: Path) -> Path:
    """Two versions of a model of mnist, made by the first two runs."""
    for number, accuracy in ((1, 0.95), (2, 0.97)):
        source = tmp_path / f"model-{number}"
        source.mkdir()
        (source / "saved_model.pb").write_bytes(bytes([number]))
        run_id = f"2026-01-01T00:00:0{number}"
        registry.publish(
            str(source), str(tmp_path / "models"), "mnist",
            metrics={"accuracy": accuracy}, source={"run_id": run_id}, keep_versions=5,
        )  # fmt: skip
    return tmp_path / "models"


@pytest.fixture
def client(root: Path, models: Path) -> TestClient:
    app = make_app(Places(str(root), str(models)), ["127.0.0.1:8600"])
    return TestClient(app, base_url=ORIGIN, follow_redirects=False)
