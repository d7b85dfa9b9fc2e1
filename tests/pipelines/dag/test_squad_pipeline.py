"""Question answering from SQuAD's JSON to a published model that answers in the text's own words."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from squad_scripts import script_v2

from components.formats.squad import V2, read_squad, write_squad
from components.protocols import Given
from pipelines.cli.main import main
from pipelines.datasets.made_squad import make_squad
from pipelines.prediction.predict import load, predict, questions
from pipelines.tasks.squad import SQUAD

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(squad_run: Any) -> Any:
    return squad_run


def test_a_model_is_evaluated_by_f1_and_exact_match_and_published(report: Any) -> None:
    result = json.loads(Path(report.evaluation_dir, "metrics.json").read_text())
    assert result["num_examples"] == 24
    assert result["num_has_answer"] + result["num_no_answer"] == 24
    assert (
        0 <= result["metrics"]["exact_match"] <= result["metrics"]["f1"] <= result["metrics"]["best_f1"] <= 1
    )
    assert {"length", "question_word", "title"} == {key for part in result["slices"] for key in part["slice"]}
    assert report.pushed_version == 1


def test_the_threshold_that_is_best_is_that_by_which_the_published_model_answers(report: Any) -> None:
    metrics = json.loads(Path(report.evaluation_dir, "metrics.json").read_text())
    threshold = metrics["metrics"]["best_threshold"]
    known = json.loads(Path(report.pushed_dir, "assets.extra", "millrace.json").read_text())
    assert known["chosen"] == {"best_threshold": threshold}
    assert metrics["metrics"]["f1"] == pytest.approx(metrics["metrics"]["best_f1"])
    assert metrics["notes"][0].startswith("the choice of best_threshold looked at the split that blesses")
    data = Path(report.pushed_dir).parents[2] / "data" / "dev-v2.0.json"
    replies = predict(SQUAD, questions(SQUAD, Given([str(data)])), load(SQUAD, report.pushed_dir))
    assert [reply.values["is_impossible"] for reply in replies] == [
        reply.values["null_odds"] > threshold for reply in replies
    ]


def test_an_answer_is_a_part_of_its_context_however_long_that_is(report: Any) -> None:
    contexts = ["Zoë fell. " * size for size in (1, 30)]
    ask = load(SQUAD, report.pushed_dir)
    for context in contexts:
        asked = questions(SQUAD, Given(["Who fell?"], fields={"context": context}))
        (reply,) = predict(SQUAD, asked, ask)
        for answer in reply.values["n_best"]:
            assert answer["answer"] in context
        assert reply.values["answer"] == context[reply.values["start"] : reply.values["end"]]


@pytest.fixture(scope="module")
def dev(report: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other questions than those that blessed the model."""
    folder = tmp_path_factory.mktemp("other")
    make_squad(folder, version=V2)
    path = folder / "other.json"
    write_squad(path, itertools.islice(read_squad(folder / "dev-v2.0.json"), 100, 140), V2)
    return path


def printed(capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    assert end.value.code == 0, err
    return out


def test_the_scripts_print_of_written_predictions_what_the_model_is_measured_at(
    report: Any, dev: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = ["--model", report.pushed_dir]
    out = printed(capfd, "predict", "squad", dev, *model, "--out", tmp_path / "new" / "answers")
    assert out == f"40 predictions are in {tmp_path / 'new' / 'answers'}\n"
    predictions, null_odds, n_best = (
        json.loads((tmp_path / "new" / "answers" / name).read_text())
        for name in ("predictions.json", "null_odds.json", "nbest_predictions.json")
    )
    measured = json.loads(printed(capfd, "evaluate", "squad", dev, *model, "--json"))
    ours, data = measured["as_printed_by"]["evaluate-v2.0.py"], json.loads(dev.read_text())
    assert ours == pytest.approx(ours | script_v2(data, predictions))
    # Had our best threshold been that of the model.
    best = {key: next((e["text"] for e in entries if e["text"]), "") for key, entries in n_best.items()}
    at_best = {key: best[key] if null_odds[key] <= ours["best_f1_thresh"] else "" for key in best}
    assert script_v2(data, at_best)["f1"] == pytest.approx(ours["best_f1"])
    assert script_v2(data, best, null_odds)["best_f1"] >= ours["best_f1"] - 1e-6
    assert (measured["num_examples"], measured["task"]) == (40, "squad")
    assert measured["metrics"]["f1"] == pytest.approx(ours["f1"] / 100)
    low, high = measured["intervals"]["f1"]
    assert low <= measured["metrics"]["f1"] <= high


def test_measuring_again_what_blessed_a_model_gives_the_same_and_is_not_remembered(
    report: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    data = Path(report.pushed_dir).parents[2] / "data"
    before = sorted(data.parent.rglob("*"))
    measured = json.loads(printed(capfd, "evaluate", "squad", data, "--model", report.pushed_dir, "--json"))
    result = json.loads(Path(report.evaluation_dir, "metrics.json").read_text())
    for key in ("metrics", "slices", "num_examples", "as_printed_by"):
        assert measured[key] == result[key], key
    assert measured["intervals"]["f1"] == result["intervals"]["metric"]
    assert sorted(data.parent.rglob("*")) == before
    out = printed(capfd, "evaluate", "squad", data, "--model", report.pushed_dir)
    assert "question_word = who\t" in out
    assert '"HasAns_total": ' in out


def test_questions_without_a_context_each_are_refused(report: Any) -> None:
    load(SQUAD, report.pushed_dir)
    answer = tf.saved_model.load(report.pushed_dir).signatures["answer"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="question"):
        answer(question=tf.constant(["Who?", "Why?"]), context=tf.constant(["Zoë fell."]))


def test_nothing_to_answer_from_is_no_answer_and_no_error(report: Any) -> None:
    asked = questions(SQUAD, Given(["Who fell?", ""], fields={"context": ""}))
    for reply in predict(SQUAD, asked, load(SQUAD, report.pushed_dir)):
        assert (reply.values["answer"], reply.values["is_impossible"]) == ("", True)
