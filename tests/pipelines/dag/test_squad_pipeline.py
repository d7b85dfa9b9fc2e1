"""Question answering from SQuAD's JSON to a published model that answers in the text's own words."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from components.formats.squad import V2, read_squad, write_squad
from components.protocols import Given
from pipelines.dag.settings import RunConfig
from pipelines.datasets.made_squad import make_squad
from pipelines.prediction.predict import load, predict, questions
from pipelines.runs import launch
from pipelines.tasks.squad import SQUAD

pytestmark = pytest.mark.slow

SETTINGS = {
    "preprocessing": {"vocabulary_size": 400},
    "windowing": {"max_sequence_length": 48, "stride": 16, "max_question_length": 12, "n_best_size": 3},
    "model": {
        "encoder": {
            "vocabulary_size": 400, "hidden_dim": 16, "num_layers": 1, "num_heads": 2,
            "intermediate_dim": 16, "max_positions": 48,
        }
    },
    "train": {"num_steps": 6, "global_batch_size": 8, "steps_per_loop": 3},
    "blessing": {"threshold": 0.0},
}  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("squad")
    (root / "all").mkdir()
    (root / "data").mkdir()
    make_squad(root / "all", version=V2)
    for name, count in (("train-v2.0.json", 60), ("dev-v2.0.json", 24)):
        some = itertools.islice(read_squad(root / "all" / name), count)
        write_squad(root / "data" / name, some, V2)
    config = RunConfig(
        data_dir=str(root / "data"), pipeline_root=str(root / "root"), models_dir=str(root / "models")
    )
    return launch.launch(SQUAD, config, SETTINGS)


def test_a_model_is_evaluated_by_f1_and_exact_match_and_published(report: Any) -> None:
    result = json.loads(Path(report.evaluation_dir, "metrics.json").read_text())
    assert result["num_examples"] == 24
    assert result["num_has_answer"] + result["num_no_answer"] == 24
    assert (
        0 <= result["metrics"]["exact_match"] <= result["metrics"]["f1"] <= result["metrics"]["best_f1"] <= 1
    )
    assert {"length", "question_word"} == {key for part in result["slices"] for key in part["slice"]}
    assert report.pushed_version == 1


def test_an_answer_is_a_part_of_its_context_however_long_that_is(report: Any) -> None:
    contexts = ["Zoë fell. " * size for size in (1, 30)]
    ask = load(SQUAD, report.pushed_dir)
    for context in contexts:
        asked = questions(SQUAD, Given(["Who fell?"], fields={"context": context}))
        (reply,) = predict(SQUAD, asked, ask)
        for answer in reply.values["n_best"]:
            assert answer["answer"] in context
        assert reply.values["answer"] == context[reply.values["start"] : reply.values["end"]]


def test_nothing_to_answer_from_is_no_answer_and_no_error(report: Any) -> None:
    asked = questions(SQUAD, Given(["Who fell?", ""], fields={"context": ""}))
    for reply in predict(SQUAD, asked, load(SQUAD, report.pushed_dir)):
        assert (reply.values["answer"], reply.values["is_impossible"]) == ("", True)
