"""Fine-tuning of real weights on real sentences."""

import logging
import re
from pathlib import Path

import pytest

from pipelines.dag.settings import RunConfig, apply_overrides
from pipelines.tasks import TASKS

pytestmark = pytest.mark.slow


def test_the_loss_falls_within_a_tenth_of_an_epoch(
    real_data: Path, minilm: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from pipelines.runs.local import run

    # 27 steps of 32 are a tenth of the 8,551 sentences.
    settings = {
        "model": {"init_checkpoint": str(minilm)},
        "train": {"num_steps": 27, "steps_per_loop": 9, "learning_rate": 1e-4, "schedule": "constant"},
    }
    config = RunConfig(
        data_dir=str(real_data / "cola"), pipeline_root=str(tmp_path), models_dir=str(tmp_path / "models")
    )
    task, config = apply_overrides(TASKS["cola"], config, settings)
    with caplog.at_level(logging.INFO, "components"):
        run(task, config, until_node="Trainer")
    losses = [float(loss) for loss in re.findall(r"step \d+/27, .*: loss ([\d.]+)", caplog.text)]
    assert len(losses) == 3
    assert losses[2] < losses[0] - 0.02
