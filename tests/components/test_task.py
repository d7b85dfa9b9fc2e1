"""Tasks: every one in TASKS holds together."""

from collections.abc import Mapping

import pydantic
import pytest

from components.config import ConfigError
from components.features import LABEL, Feature
from components.protocols import Model, Preprocessing, Source
from components.sources.idx import IdxSource
from components.task import AtLeast, Task
from components.train_config import TrainConfig
from components.windows.spans import Spans
from pipelines.tasks import TASKS


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_every_task_can_be_found_under_its_name_and_fits_the_protocols(task: Task) -> None:
    assert TASKS[task.name] is task
    assert isinstance(task.source, Source)
    assert isinstance(task.preprocessing, Preprocessing)
    assert isinstance(task.model, Model)
    assert set(task.model.loss_terms)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_every_section_survives_json(task: Task) -> None:
    for _, section in task.sections():
        assert type(section)(**section.model_dump(mode="json")) == section


def test_a_blessing_by_a_metric_that_is_not_measured_is_refused() -> None:
    mnist = TASKS["mnist"]
    fields = {name: getattr(mnist, name) for name in type(mnist).model_fields}
    with pytest.raises(pydantic.ValidationError, match="unknown blessing metric 'f1'"):
        Task(**{**fields, "blessing": AtLeast(metric="f1", threshold=0.5)})


def test_a_blessing_by_a_metric_of_the_sources_own_classes_is_taken() -> None:
    lits = TASKS["lits"].override({"source": {"label_names": ["background", "kidney"]}})
    fields = {name: getattr(lits, name) for name in type(lits).model_fields}
    blessing = AtLeast(metric="dice_kidney", threshold=0.5)
    assert Task(**{**fields, "blessing": blessing}).blessing == blessing
    with pytest.raises(pydantic.ValidationError, match="unknown blessing metric 'dice_liver'"):
        Task(**{**fields, "blessing": AtLeast(metric="dice_liver", threshold=0.5)})


def test_a_slice_by_a_feature_that_does_not_exist_is_refused() -> None:
    mnist = TASKS["mnist"]
    fields = {name: getattr(mnist, name) for name in type(mnist).model_fields}
    with pytest.raises(pydantic.ValidationError, match=r"unknown raw feature 'lable'.*did you mean 'label'"):
        Task(**{**fields, "slices": ("lable",)})


def test_answers_and_ids_are_not_compared_since_their_most_frequent_values_are_training_data() -> None:
    slices = {"title", "length", "question_word"}
    assert set(TASKS["squad"].comparable) == slices | {"answer_starts", "is_impossible"}
    assert set(TASKS["mnli"].comparable) == {"domain", "label", "length"}


def test_what_is_opaque_is_not_compared() -> None:
    class Opaque(IdxSource):
        @property
        def features(self) -> Mapping[str, Feature]:
            label = Feature(dtype="int64", opaque=True)
            return {**super().features, LABEL: label}

    assert TASKS["mnist"].comparable == (LABEL,)
    assert TASKS["mnist"].model_copy(update={"source": Opaque()}).comparable == ()


def test_settings_from_scratch_hold_until_something_is_pretrained_and_are_not_taken_twice() -> None:
    mnist = TASKS["mnist"].model_copy(update={"train_from_scratch": TrainConfig(num_epochs=7)})
    once = mnist.override({"train": {"seed": 3}})
    assert (once.train.num_epochs, once.train.seed) == (7, 3)
    twice = once.override({"train": {"num_steps": 5}})
    assert (twice.train.num_epochs, twice.train.seed, twice.train.num_steps) == (7, 3, 5)


def test_windows_from_scratch_hold_where_the_weights_are_random_and_what_is_overridden_stays() -> None:
    scratch = Spans(max_sequence_length=100, stride=30)
    squad = TASKS["squad"].model_copy(update={"windowing_from_scratch": scratch})
    once = squad.override({"windowing": {"stride": 20}})
    assert once.windowing == Spans(max_sequence_length=100, stride=20)
    assert once.override({"train": {"num_steps": 5}}).windowing == once.windowing


def test_tasks_are_declared_without_tensorflow_or_beam() -> None:
    import subprocess
    import sys

    heavy = "{'tensorflow', 'apache_beam', 'keras', 'tfx', 'PIL', 'sklearn'}"
    code = f"import sys, pipelines.tasks, pipelines.dag.settings; print({heavy} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_a_window_of_intensities_beyond_the_one_that_trains_is_refused() -> None:
    lits = TASKS["lits"]
    assert lits.override({"preprocessing": {"window_hu": [-1024, 3071]}}).preprocessing != lits.preprocessing
    for window in ([-1025, 300], [-200, 3072]):
        message = rf"window_hu: expected a part of source.window_hu \[-1024, 3071\], got \[{window[0]}"
        with pytest.raises(ConfigError, match=message):
            lits.override({"preprocessing": {"window_hu": window}})
    lits.override({"preprocessing": {"window_hu": [-2000, 300]}, "source": {"window_hu": [-2000, 500]}})


def test_a_setting_that_parts_share_is_given_once_and_follows_the_source() -> None:
    mnist = TASKS["mnist"].override({"source": {"num_classes": 26}})
    assert (mnist.source.num_classes, mnist.model.num_classes) == (26, 26)  # type: ignore[attr-defined]
    lits = TASKS["lits"].override({"source": {"label_names": ["background", "kidney"]}})
    assert (lits.windowing.num_classes, lits.model.num_classes) == (2, 2)  # type: ignore[union-attr, attr-defined]
    assert "dice_kidney" in lits.metrics
    assert mnist.override({"model": {"num_classes": 30}}).source.num_classes == 30  # type: ignore[attr-defined]
