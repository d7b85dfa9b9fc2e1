"""The notebooks of examples/ run as they stand, and are kept without outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.ipynb"))


def cells(notebook: Path) -> list[dict[str, Any]]:
    content = json.loads(notebook.read_text(encoding="utf-8"))
    return [cell for cell in content["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", EXAMPLES, ids=lambda path: path.name)
def test_a_notebook_is_kept_without_outputs(notebook: Path) -> None:
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells(notebook))


@pytest.mark.slow
@pytest.mark.parametrize("notebook", EXAMPLES, ids=lambda path: path.name)
def test_a_notebook_runs(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in cells(notebook):
        exec(compile("".join(cell["source"]), notebook.name, "exec"), names)
    assert names["outcome"].version == 1
    (reply,) = names["millrace"].predict("mnist", names["digit"], pipeline_root=names["ROOT"])
    assert reply.values["prediction"] in "0123456789"
    assert len(names["millrace"].models("mnist", pipeline_root=names["ROOT"])) == 1
    (run,) = names["millrace"].runs("mnist", pipeline_root=names["ROOT"])
    assert (run.short_id, run.state) == ("mnist-1", "complete")
