import math

import numpy as np
import pydantic
import pytest

from components.features import IMAGE, LABEL, TEXT_A, TEXT_B, Feature
from components.metrics.classification import Classification, ImageClassification, TextClassification
from components.models.mnist_cnn import MnistCnn
from components.protocols import Evaluation

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
    }


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
    classes, matrix = EVALUATION.sections(SUMS)
    assert "<td>square</td><td>1</td><td>0.5000</td><td>1.0000</td>" in classes.html
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
