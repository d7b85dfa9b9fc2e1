"""What `train.partition` takes, before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from components.config import ConfigError
from pipelines.tasks import TASKS


@pytest.mark.parametrize(
    ("model", "partition"),
    [
        ({}, [1, 4, 1, 1, 1]),
        ({}, [2, 1, 2, 4, 1]),
        ({"spatial_dims": 2}, [1, 4, 1, 1]),
    ],
)
def test_a_patch_is_split_along_any_axis(model: dict[str, Any], partition: list[int]) -> None:
    task = TASKS["lits"].override({"model": model, "train": {"partition": partition}})
    assert task.train.partition == tuple(partition)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"partition": [1, 5, 1, 1, 1]}, "expected a divisor of the patch's depth 24, got 5"),
        ({"partition": [1, 1, 3, 1, 1]}, "expected a divisor of the patch's height 64, got 3"),
        ({"partition": [1, 1, 1, 3, 1]}, "expected a divisor of the patch's width 64, got 3"),
        (
            {"partition": [1, 4, 1, 1]},
            r"expected a number each of batch, depth, height, width, channels, got \[1, 4, 1, 1\]",
        ),
        ({"partition": [1, 1, 1, 1, 2]}, "expected 1 part along channels, got 2"),
        ({"partition": [4, 1, 1, 1, 1]}, "expected a divisor of global_batch_size 2, got 4"),
        (
            {"partition": [2, 1, 1, 1, 1], "eval_global_batch_size": 3},
            "expected a divisor of eval_global_batch_size 3, got 2",
        ),
        (
            {"partition": [1, 4, 1, 1, 1], "gradient_accumulation_steps": 2},
            "expected gradient_accumulation_steps to be 1, got 2",
        ),
        (
            {"partition": [1, 4, 1, 1, 1], "dtype": "mixed_float16"},
            "expected dtype to be float32 or mixed_bfloat16, got mixed_float16",
        ),
        (
            {"partition": [1, 4, 1, 1, 1], "strategy": "mirrored"},
            "expected strategy to be auto or tpu, got mirrored",
        ),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"partition: {message}$"):
        TASKS["lits"].override({"train": settings})


def test_a_model_of_no_patches_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.partition: expected a model of patches, got MnistCnn$"):
        TASKS["mnist"].override({"train": {"partition": [1, 4, 1, 1, 1]}})
