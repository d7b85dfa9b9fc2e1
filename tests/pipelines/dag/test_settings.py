"""Overrides: validated, and errors that help."""

from pathlib import Path

import pytest

from components.config import ConfigError
from components.task import Task
from pipelines.dag.settings import RunConfig, apply_overrides, read_overrides
from pipelines.tasks import TASKS, get_task

RUN = RunConfig(data_dir="data", pipeline_root="root", models_dir="root/models")


def resolve(*assignments: str) -> tuple[Task, RunConfig]:
    return apply_overrides(TASKS["mnist"], RUN, read_overrides(None, assignments))


def test_assignments_reach_the_task_and_the_run() -> None:
    task, run = resolve("train.num_epochs=3", "train.learning_rate=1e-3", "push.keep_versions=2")
    assert (task.train.num_epochs, task.train.learning_rate) == (3, 0.001)
    assert run.push.keep_versions == 2


def test_nothing_else_changes() -> None:
    assert resolve() == (TASKS["mnist"], RUN)


def test_assignments_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("train: {num_epochs: 2, seed: 7}\n")
    overrides = read_overrides(file, ["train.num_epochs=5"])
    assert overrides == {"train": {"num_epochs": 5, "seed": 7}}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.num_epohs=1", r"train.num_epohs: unknown key 'num_epohs'; did you mean 'num_epochs'\?"),
        ("trian.num_epochs=1", r"unknown section 'trian'; did you mean 'train'\?"),
        ("train.num_epochs=zero", r"train.num_epochs: .*integer.*got 'zero'"),
        ("train.num_epochs=0", r"train.num_epochs: .*greater than or equal to 1, got 0"),
        ("train.strategy=mirored", r"train.strategy: .*'mirrored'.*got 'mirored'"),
        ("push.keep_versions=0", r"push.keep_versions: "),
        ("train.num_epochs", r"expected SECTION.KEY=VALUE"),
        ("num_epochs=1", r"expected SECTION.KEY=VALUE"),
        ("train.gradient_accumulation_steps=3", r"global_batch_size 100 is not a multiple"),
        ("blessing.metric=f1", r"unknown blessing metric 'f1'"),
    ],
)
def test_mistakes_are_named_in_one_line(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        resolve(assignment)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"train: [", "not YAML"),
        (b"- 1", "expected sections with keys"),
        (b"train: 3", "expected sections with keys"),
        (b"\xff\xfe\xfa", "cannot be read"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "my.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_overrides(file, [])
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.yaml: cannot be read"):
        read_overrides(tmp_path / "none.yaml", [])


def test_an_unknown_task_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown task 'mnits'; did you mean 'mnist'\? known: cola, mnist"):
        get_task("mnits")


def test_beam_options_become_arguments() -> None:
    run = RUN.model_copy(update={"beam": {"runner": "FlinkRunner", "flink_master": "host:8081"}})
    assert run.beam_pipeline_args == ["--runner=FlinkRunner", "--flink_master=host:8081"]


def test_the_direct_runner_stays_in_process() -> None:
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    run = RUN.model_copy(update={"beam": {"direct_num_workers": "2"}})
    assert "--direct_num_workers=2" in run.beam_pipeline_args
    options = PipelineOptions(run.beam_pipeline_args)
    assert options.view_as(StandardOptions).runner == "DirectRunner"
    # The pipeline option because of which the switch leaves Prism out.
    assert options.view_as(StandardOptions).get_all_options()["allow_unsafe_triggers"]
