import pytest

from components.config import ConfigError
from components.export.calibration import calibrate
from pipelines.tasks.mnist import MNIST
from pipelines.tasks.squad import SQUAD


@pytest.mark.parametrize("task", [MNIST, SQUAD.override({"windowing": {"null_threshold": -1.5}})])
def test_where_nothing_is_to_be_chosen_the_task_stays_as_it_is(task) -> None:
    assert calibrate(task, [], None, []) == (task, {})


def test_what_chooses_has_to_be_measured() -> None:
    with pytest.raises(
        ConfigError, match="expected best_threshold among them, which windowing takes, got f1"
    ):
        SQUAD.override({"evaluation": {"metrics": ["f1"]}})
    set_already = {"windowing": {"null_threshold": 0.0}, "evaluation": {"metrics": ["f1"]}}
    assert SQUAD.override(set_already).metrics == ("f1",)
