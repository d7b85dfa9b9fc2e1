"""The CNN: shapes, and answers that can be worked out by hand."""

from typing import Any

import numpy as np
import pytest

from components.features import EXAMPLE_WEIGHT, IMAGE, LABEL, Feature
from components.models.mnist_cnn import MnistCnn


@pytest.fixture(scope="module")
def keras_model() -> Any:
    return MnistCnn().build()


def test_the_layers_are_those_of_the_network(keras_model: Any) -> None:
    # 5·5·1·32+32, 5·5·32·64+64, (7·7·64)·1024+1024, 1024·10+10
    assert [layer.count_params() for layer in keras_model.layers if layer.weights] == [
        832, 51_264, 3_212_288, 10_250
    ]  # fmt: skip


@pytest.mark.parametrize("batch", [1, 3])
def test_logits_have_a_row_for_every_image(keras_model: Any, batch: int) -> None:
    assert keras_model({IMAGE: np.zeros((batch, 28, 28), np.float32)}).shape == (batch, 10)


def test_logits_are_float32_under_mixed_precision() -> None:
    from components.models.precision import dtype_policy

    with dtype_policy("mixed_bfloat16"):
        model = MnistCnn(filters=(2, 2), hidden_dim=4).build()
    assert str(model({IMAGE: np.zeros((1, 28, 28), np.float32)}).dtype).endswith("float32'>")


def test_the_loss_is_the_cross_entropy_of_the_label() -> None:
    logits = np.log(np.array([[0.25, 0.75], [0.9, 0.1]], np.float32))
    features = {LABEL: np.array([1, 1]), EXAMPLE_WEIGHT: np.ones(2, np.float32)}
    losses = MnistCnn(num_classes=2).losses(features, logits)["cross_entropy"]
    np.testing.assert_allclose(losses, [-np.log(0.75), -np.log(0.1)], rtol=1e-5)


def test_accuracy_leaves_out_the_filling_of_a_batch() -> None:
    metric = MnistCnn(num_classes=2).metrics()["accuracy"]
    logits = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)
    features = {LABEL: np.array([0, 1, 1]), EXAMPLE_WEIGHT: np.array([1, 1, 0], np.float32)}
    assert metric.result(np.asarray(metric.update(features, logits))) == 0.5


def test_predictions_name_the_most_probable_class() -> None:
    logits = np.log(np.array([[0.2, 0.7, 0.1]], np.float32))
    answer = MnistCnn(num_classes=3).answers(logits, {LABEL: Feature(dtype="int64")})
    assert np.asarray(answer["classes"]).tolist() == [1]
    np.testing.assert_allclose(np.asarray(answer["probabilities"]), [[0.2, 0.7, 0.1]], rtol=1e-5)
    assert set(answer) == {"classes", "probabilities"}


def test_classes_that_have_names_are_answered_with_them() -> None:
    label = Feature(dtype="int64", names=("a", "b", "ä"))
    answer = MnistCnn(num_classes=3).answers(np.eye(3, dtype=np.float32)[[2, 0]], {LABEL: label})
    assert [name.decode() for name in np.asarray(answer["labels"])] == ["ä", "a"]


def test_more_labels_than_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model.num_classes: expected at least 4, the labels, got 3"):
        MnistCnn(num_classes=3).check_features({LABEL: Feature(dtype="int64", maximum=3)})


def test_coloured_images_have_filters_for_each_colour() -> None:
    model = MnistCnn(image_shape=(8, 8, 3), num_classes=2, filters=(2, 3), hidden_dim=4).build()
    # 5·5·3·2+2, 5·5·2·3+3, (2·2·3)·4+4, 4·2+2
    assert [layer.count_params() for layer in model.layers if layer.weights] == [152, 153, 52, 10]
    assert model({IMAGE: np.zeros((1, 8, 8, 3), np.float32)}).shape == (1, 2)
