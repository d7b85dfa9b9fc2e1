import json
import math
from pathlib import Path

import pytest

from components.formats.predictions import Prediction, Scored, n_best, writing_predictions


def write(folder: Path, *predictions: Prediction) -> None:
    with writing_predictions(folder) as add:
        for prediction in predictions:
            add(prediction)


def test_an_n_best_list_has_each_text_once_with_probabilities_worked_by_hand() -> None:
    entries = n_best([Scored("cat", 2, 1), Scored("a cat", 1, 1), Scored("cat", 0, 1), Scored("", 0.5, 0.5)])
    total = math.exp(3) + math.exp(2) + math.exp(1)
    assert entries == [
        {"text": "cat", "probability": pytest.approx(math.exp(3) / total), "start_logit": 2, "end_logit": 1},
        {
            "text": "a cat",
            "probability": pytest.approx(math.exp(2) / total),
            "start_logit": 1,
            "end_logit": 1,
        },
        {"text": "", "probability": pytest.approx(math.exp(1) / total), "start_logit": 0.5, "end_logit": 0.5},
    ]


def test_large_logits_have_probabilities() -> None:
    assert [entry["probability"] for entry in n_best([Scored("a", 900, 900), Scored("", -900, 0)])] == [1, 0]


def test_three_files_hold_predictions_by_id(tmp_path: Path) -> None:
    write(
        tmp_path,
        Prediction('é"1', "Zoë", -1.5, [Scored("Zoë", 1, 2)]),
        Prediction("2", "", 4.0, [Scored("", 0, 0)]),
    )
    written = {path.name: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert written == {
        "predictions.json": {'é"1': "Zoë", "2": ""},
        "null_odds.json": {'é"1': -1.5, "2": 4.0},
        "nbest_predictions.json": {
            'é"1': [{"text": "Zoë", "probability": 1.0, "start_logit": 1, "end_logit": 2}],
            "2": [{"text": "", "probability": 1.0, "start_logit": 0, "end_logit": 0}],
        },
    }


def test_what_is_not_complete_does_not_appear_and_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "predictions.json").write_text("{}")
    good = Prediction("1", "Zoë", -1.5, [Scored("Zoë", 1, 2)])
    with pytest.raises(ValueError, match="Out of range"):
        write(tmp_path, good, good._replace(null_odds=math.nan))
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.json"]
    assert (tmp_path / "predictions.json").read_text() == "{}"
