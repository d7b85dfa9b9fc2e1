"""How a model was made, from what its SavedModel says."""

import json
from pathlib import Path

from components.evaluator.provenance import sections
from components.export.origin import ORIGIN_FILE, Origin
from components.export.results import write_results

ORIGIN = Origin(
    data={"train.tsv": "a" * 64, "<b>.tsv": "b" * 64},
    settings={"train": {"num_epochs": 3, "schedule": "<i>"}},
    files={},
    code={"components/trainer/loop.py": "1" * 16, "keras": "3.12.4"},
)
CURVES = {
    "train": {"loss": [[1, 2.0], [2, 1.0]], "learning_rate": [[1, 0.1], [2, 0.1]]},
    "eval": {"loss": [[2, 1.5]], "accuracy": [[2, 0.5]]},
}


def write_model(folder: Path) -> str:
    (folder / ORIGIN_FILE).parent.mkdir(parents=True)
    (folder / ORIGIN_FILE).write_bytes(ORIGIN.to_bytes())
    write_results({"curves": CURVES, "num_steps": 1400, "kept_step": 700}, str(folder))
    return str(folder)


def test_a_report_tells_how_the_model_was_made(tmp_path: Path) -> None:
    told = {
        section.title: section.html for section in sections(write_model(tmp_path), {"train": 8551, "eval": 3})
    }
    assert list(told) == ["Learning curves", "Data", "Settings", "Code"]
    assert told["Learning curves"].count("<svg") == 3
    assert "accuracy" in told["Learning curves"]
    assert "Examples: 8,551 in train, 3 in eval." in told["Data"]
    assert "<td>train.tsv</td><td>aaaaaaaaaaaa</td>" in told["Data"]
    assert "Weights of step 700 of 1,400." in told["Settings"]
    assert "<td>train.num_epochs</td><td>3</td>" in told["Settings"]
    assert "1 source files" in told["Code"]
    assert "<td>keras</td><td>3.12.4</td>" in told["Code"]
    assert not any("<b>" in html or "<i>" in html for html in told.values())


def test_a_model_that_says_nothing_has_no_such_sections(tmp_path: Path) -> None:
    assert list(sections(str(tmp_path), {})) == []
    write_results({"num_steps": 3}, str(tmp_path))
    assert list(sections(str(tmp_path), {})) == []


def test_curves_alone_are_enough_for_curves(tmp_path: Path) -> None:
    write_results(json.loads(json.dumps({"curves": {"train": {"loss": [[1, 2.0]]}}})), str(tmp_path))
    (section,) = sections(str(tmp_path), {})
    assert section.html.count("<svg") == 1
