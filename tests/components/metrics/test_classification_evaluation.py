import math

import numpy as np
import pydantic
import pytest

from components.features import IMAGE, LABEL, TEXT_A, TEXT_B, Feature
from components.metrics.classification import Classification, ImageClassification, TextClassification
from components.models.mnist_cnn import MnistCnn
from components.protocols import Compares, Evaluation

LABELS = Feature(dtype="int64", minimum=0, maximum=2, served=False, names=("round <3", "square", "star"))
METRICS = ("accuracy", "cross_entropy", "precision_by_class", "recall_by_class", "confusion_matrix")
EVALUATION = Classification(metrics=METRICS).fitted_to({LABEL: LABELS}, MnistCnn(num_classes=3))


def answer(*probabilities: float) -> dict:
    return {"probabilities": np.array(probabilities, np.float32)}


# Labels 0 0 1 2, answers 0 1 1 2.
SURE = [answer(0.8, 0.1, 0.1), answer(0.1, 0.8, 0.1), answer(0.1, 0.8, 0.1), answer(0.1, 0.1, 0.8)]
SUMS = sum(EVALUATION.sums({LABEL: label}, row) for label, row in zip([0, 0, 1, 2], SURE, strict=True))


def test_it_is_an_evaluation_and_may_bless_by_numbers_of_which_more_is_better():
    assert isinstance(EVALUATION, Evaluation)
    assert EVALUATION.numbers == ("accuracy",)


def test_results_worked_by_hand():
    assert EVALUATION.results(SUMS) == {
        "accuracy": 0.75,
        "cross_entropy": pytest.approx(-(3 * math.log(0.8) + math.log(0.1)) / 4),
        "precision_by_class": [1.0, 0.5, 1.0],
        "recall_by_class": [0.5, 1.0, 1.0],
    }


def test_details_hold_names_and_counts_by_class():
    assert EVALUATION.details(SUMS) == {
        "class_names": ["round <3", "square", "star"],
        "confusion_matrix": [[1, 1, 0], [0, 1, 0], [0, 0, 1]],
        "examples_by_class": [2, 1, 1],
        "calibration": {
            "expected_error": pytest.approx(0.8 - 0.75),
            "bins": [
                {"from": 0.8, "to": 0.9, "examples": 4, "right": 3, "mean_probability": pytest.approx(0.8)}
            ],
        },
    }


def test_probabilities_that_do_not_hold_are_seen():
    # Of answers at 0.55 half are right, of answers at 1.0 none.
    rows = [
        (0, answer(0.55, 0.45, 0)),
        (1, answer(0.55, 0.45, 0)),
        (1, answer(1, 0, 0)),
        (2, answer(0, 1, 0)),
    ]
    sums = sum(EVALUATION.sums({LABEL: label}, row) for label, row in rows)
    calibration = EVALUATION.details(sums)["calibration"]
    assert [(part["from"], part["examples"], part["right"]) for part in calibration["bins"]] == [
        (0.5, 2, 1), (0.9, 2, 0)
    ]  # fmt: skip
    assert calibration["expected_error"] == pytest.approx((2 * 0.05 + 2 * 1.0) / 4)
    # An answer of no class was not sure of anything.
    assert (
        EVALUATION.details(EVALUATION.sums({LABEL: 1}, answer(0, math.nan, 0)))["calibration"]["bins"] == []
    )


def test_classes_tell_the_difference_to_another_model():
    # The other one answers 1 always.
    other = sum(EVALUATION.sums({LABEL: label}, SURE[1]) for label in (0, 0, 1, 2))
    classes, *_ = EVALUATION.compared_sections(SUMS, other)
    assert isinstance(EVALUATION, Compares)
    assert (
        "<td>square</td><td>1</td><td>0.5000</td><td>+0.2500</td>"
        "<td>1.0000</td><td>+0.0000</td><td>0.6667</td><td>+0.2667</td>"
    ) in classes.html
    # Precision of a class that is never answered does not exist.
    assert "<td>star</td><td>1</td><td>1.0000</td><td>–</td><td>1.0000</td><td>+1.0000</td>" in classes.html


def test_an_answer_that_is_not_finite_is_of_no_class():
    sums = EVALUATION.sums({LABEL: 1}, answer(0.0, math.inf, 0.0))
    results = EVALUATION.results(sums + EVALUATION.sums({LABEL: 1}, SURE[2]))
    assert (results["accuracy"], results["recall_by_class"][1]) == (0.5, 0.5)
    assert math.isnan(results["cross_entropy"])


def test_a_model_may_know_fewer_or_more_classes_than_there_are_labels():
    fewer = EVALUATION.results(EVALUATION.sums({LABEL: 2}, answer(0.3, 0.7)))
    assert fewer["accuracy"] == 0.0
    assert fewer["cross_entropy"] == pytest.approx(-math.log(1e-7))
    assert EVALUATION.results(EVALUATION.sums({LABEL: 2}, answer(0, 0, 0.1, 0.9)))["accuracy"] == 0.0


def test_nothing_exists_without_examples():
    results = EVALUATION.results(np.zeros_like(SUMS))
    assert all(np.isnan(value).all() for value in results.values())


def test_badness_is_how_sure_a_wrong_answer_was():
    assert EVALUATION.badness({LABEL: 0}, SURE[0]) == 0.0
    assert EVALUATION.badness({LABEL: 0}, SURE[1]) == pytest.approx(0.8)


def test_what_is_shown_is_escaped():
    assert EVALUATION.show({LABEL: 0}, SURE[1]) == "is round &lt;3, said square (80.0%)"
    classes, matrix, calibration = EVALUATION.sections(SUMS)
    assert "<td>square</td><td>1</td><td>0.5000</td><td>1.0000</td><td>0.6667</td>" in classes.html
    assert "<td>80% to 90%</td><td>4</td><td>80.0%</td><td>75.0%</td>" in calibration.html
    assert '<th scope="col">round &lt;3</th><th scope="col">square</th>' in matrix.html


def test_an_image_is_shown_as_a_picture_of_the_models_shape():
    fitted = ImageClassification().fitted_to({LABEL: LABELS}, MnistCnn(image_shape=(2, 2), num_classes=3))
    picture = fitted.picture({IMAGE: bytes(4)})
    assert picture.startswith('<img alt="" src="data:image/png;base64,')
    assert fitted.show({IMAGE: bytes(4), LABEL: 0}, SURE[1]).startswith(picture)


def test_texts_are_shown_in_paragraphs_also_where_they_are_no_utf8():
    features = {TEXT_A: Feature(dtype="bytes"), TEXT_B: Feature(dtype="bytes"), LABEL: LABELS}
    fitted = TextClassification().fitted_to(features, MnistCnn(num_classes=3))
    assert (
        fitted.picture({TEXT_A: b"1 < 2", TEXT_B: b"\xff", LABEL: 0})
        == "<p>1 &lt; 2</p><p>\N{REPLACEMENT CHARACTER}</p>"
    )


def test_an_unknown_metric_names_the_nearest():
    with pytest.raises(pydantic.ValidationError, match="unknown metric 'acuracy'; did you mean 'accuracy'"):
        Classification(metrics=("acuracy",))
