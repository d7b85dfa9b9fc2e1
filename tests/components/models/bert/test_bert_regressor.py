"""BERT with one number on top."""

from __future__ import annotations

import numpy as np
import pytest

from components.features import EXAMPLE_WEIGHT, LABEL, PADDING_MASK, SEGMENT_IDS, TOKEN_IDS, Feature
from components.models.bert.config import BertConfig
from components.models.bert.regressor import BertRegressor
from components.protocols import Model

TINY = BertConfig(vocabulary_size=20, hidden_dim=8, num_layers=1, num_heads=2, intermediate_dim=16)
MODEL = BertRegressor(encoder=TINY, score_range=(1.0, 5.0))


def test_it_fits_its_protocol_and_has_one_output() -> None:
    assert isinstance(MODEL, Model)
    inputs = {key: np.ones((3, 6), np.int32) for key in (TOKEN_IDS, SEGMENT_IDS, PADDING_MASK)}
    assert MODEL.build()(inputs).shape == (3, 1)


def test_the_ends_of_the_range_are_half_a_unit_from_zero() -> None:
    outputs = np.array([[0.0], [0.25], [-2.0]], np.float32)
    features = {LABEL: np.array([3.0, 5.0, 1.0], np.float32)}
    # 3 is the middle, 5 half a unit above it, 1 half a unit below.
    np.testing.assert_allclose(MODEL.losses(features, outputs)["squared_error"], [0, 0.0625, 2.25], rtol=1e-6)
    answers = MODEL.answers(outputs, {})
    np.testing.assert_allclose(answers["score"], [3.0, 4.0, 1.0], rtol=1e-6)


def test_the_correlation_leaves_out_the_filling_of_a_batch() -> None:
    features = {
        LABEL: np.array([1.0, 2.0, 4.0, 1.0], np.float32),
        EXAMPLE_WEIGHT: np.array([1, 1, 1, 0], np.float32),
    }
    outputs = np.array([[0.1], [0.2], [0.4], [9.0]], np.float32)
    metric = MODEL.metrics()["pearson"]
    assert metric.result(np.asarray(metric.update(features, outputs))) == pytest.approx(1.0, abs=1e-5)


def test_classes_and_a_range_that_is_none_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a source of scores"):
        MODEL.check_features({LABEL: Feature(dtype="int64")})
    with pytest.raises(
        ValueError, match=r"score_range: expected a lower and a higher score, got \[2.0, 2.0\]"
    ):
        BertRegressor(score_range=(2, 2))
