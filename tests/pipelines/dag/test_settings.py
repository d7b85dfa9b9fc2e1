"""Overrides: validated, and errors that help."""

from pathlib import Path

import pytest

from components.config import ConfigError
from components.formats.vocabulary import VocabularyError
from components.models.errors import ModelError
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
    overrides = read_overrides([file], ["train.num_epochs=5"])
    assert overrides == {"train": {"num_epochs": 5, "seed": 7}}


def test_of_several_files_the_last_one_wins_key_by_key(tmp_path: Path) -> None:
    base, mine = tmp_path / "base.yaml", tmp_path / "mine.yaml"
    base.write_text("train: {num_epochs: 2, seed: 7}\ncluster: {trainer: {accelerator: gpu, memory: 8Gi}}\n")
    mine.write_text("train: {num_epochs: 3}\ncluster: {trainer: {memory: 16Gi}}\n")
    assert read_overrides([base, mine], ["train.seed=8"]) == {
        "train": {"num_epochs": 3, "seed": 8},
        "cluster": {"trainer": {"accelerator": "gpu", "memory": "16Gi"}},
    }
    assert read_overrides([mine, base], [])["train"] == {"num_epochs": 2, "seed": 7}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.num_epohs=1", r"train.num_epohs: unknown key 'num_epohs'; did you mean 'num_epochs'\?"),
        ("TRAIN.num_epochs=1", r"unknown section 'TRAIN'; did you mean 'train'\?"),
        ("trian.num_epochs=1", r"unknown section 'trian'; did you mean 'train'\?"),
        ("train.num_epochs=zero", r"train.num_epochs: .*integer.*got 'zero'"),
        ("train.num_epochs=0", r"train.num_epochs: .*greater than or equal to 1, got 0"),
        ("train.strategy=mirored", r"train.strategy: .*'mirrored'.*got 'mirored'"),
        ("push.keep_versions=0", r"push.keep_versions: "),
        ("train.num_epochs", r"expected SECTION.KEY=VALUE"),
        ("num_epochs=1", r"expected SECTION.KEY=VALUE"),
        ("train.gradient_accumulation_steps=3", r"global_batch_size 100 is not a multiple"),
        ("blessing.metric=f1", r"unknown blessing metric 'f1'"),
        ("train.seed=-1", r"train.seed: .*greater than or equal to 0, got -1"),
        ("model.filters=[4, 0]", r"model.filters.1: .*greater than 0, got 0"),
        ("source.image_shape=[3, 28]", r"model.image_shape: expected at least 4 each way, got \[3, 28\]"),
        ("train.num_steps=12:30", r"train.num_steps: .*integer.*got '12:30'"),
        ("train.num_steps=true", r"train.num_steps: .*integer.*got 'true'"),
        ("train.num_steps=0x10", r"train.num_steps: .*integer.*got '0x10'"),
        ("train.num_steps=1e3", r"train.num_steps: .*integer.*got '1e3'"),
        ("train.num_epochs=none", r"train.num_epochs: .*integer.*got None"),
        ("train.learning_rate=1:30", r"train.learning_rate: .*number.*got '1:30'"),
        ("train.learning_rate=true", r"train.learning_rate: .*number.*got 'true'"),
        ("train.learning_rate=nan", r"train.learning_rate: .*finite number, got 'nan'"),
        ("train.learning_rate=inf", r"train.learning_rate: .*finite number, got 'inf'"),
        ("train.learning_rate=1e999", r"train.learning_rate: .*finite number, got '1e999'"),
        ("drift.by_feature={label: nan}", r"drift.by_feature.label: .*finite number"),
        ("drift.by_feature={label: 0.1, label: 0.2}", r"--set drift.*: label: given twice"),
        ("drift.by_feature={}}", r"drift.by_feature: .*dictionary, got '{}}'"),
        ("model.filters=[4, 4] # few", r"model.filters: .*got '\[4, 4\] # few'"),
        ("train..num_epochs=1", r"expected SECTION.KEY=VALUE"),
        ("train.num_steps=", r"--set train.num_steps=: expected a value, or 'none' for no value, got ''"),
        ("train.num_steps=~", r"expected a value, or 'none' for no value, got '~'"),
        ("train.num_steps=Null", r"expected a value, or 'none' for no value, got 'Null'"),
        ("train.num_steps= ", r"expected a value, or 'none' for no value, got ' '"),
        ("train.num_steps=1_000", r"train.num_steps: expected digits alone, .* got '1_000'"),
        ("train.num_steps= 5", r"train.num_steps: expected digits alone, .* got ' 5'"),
        ("train.learning_rate=1e-1_0", r"train.learning_rate: expected digits alone, .* got '1e-1_0'"),
        ("drift.by_feature={label: 0_1}", r"drift.by_feature.label: expected digits alone, .* got '0_1'"),
        ("model.filters=[4, 1_6]", r"model.filters.1: expected digits alone, .* got '1_6'"),
        ("train.num_steps=9223372036854775808", r"train.num_steps: .* at most 2\*\*63 - 1, got '9223"),
        ("train.num_steps=five", r"train.num_steps: expected an integer, got 'five'"),
        ("model.filters=4", r"model.filters: expected a list, such as \[a, b\], got 4"),
        (
            "model.filters=[*.md]",
            r"such as \[a, b\], with quotes around .*: \[\"\*\.txt\"\], got '\[\*\.md\]'",
        ),
        ("model.filters=[!!int 4]", r"\[!!int 4\]: expected no tag"),
        ("model.filters=[&a [*a]]", r"\[&a \[\*a\]\]: expected no list within a list without an end"),
        ("model.filters=" + 5000 * "[" + 5000 * "]", r"expected no list within a list without an end"),
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
        (b"\xff\xfe\xfa", "expected UTF-8, got byte 0xff"),
        (b"train:\n\tseed: 1", r"line 2: not YAML: found character '\\t' that cannot start any token"),
        (b"[train]: {seed: 1}", "line 1: expected a name as key"),
        (
            b"train: {num_steps: 20}\nblessing:\n  threshold: 0.5\ntrain: {seed: 1}",
            "line 4: train: given twice",
        ),
        (b"train:\n  seed: 1\n  num_steps: 2\n  seed: 1", "line 4: train.seed: given twice"),
        (
            b"train:\n  seed: 1\n  num_steps:\n",
            r"line 3: train.num_steps: expected a value, or 'none'.*got ''",
        ),
        (b"train: {num_steps: ~}", "line 1: train.num_steps: expected a value, or 'none'.*got '~'"),
        (b"train: {num_steps: null}", "line 1: train.num_steps: expected a value, or 'none'.*got 'null'"),
        (b"train:", "line 1: train: expected a value"),
        (b"train: {num_steps: !!python/name:os.system }", "line 1: train.num_steps: expected no tag"),
        (b"train: {[seed]: 1}", "line 1: train: expected a name as key"),
        (b"train: &x {seed: *x}", "not YAML"),
        (b"train: {seed: 1}\n---\ntrain: {seed: 2}", "not YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "my.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_overrides([file], [])
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", ["1.1", "2.0"])
def test_a_version_that_looks_like_a_number_may_be_typed(version: str) -> None:
    task, _ = apply_overrides(TASKS["squad"], RUN, read_overrides(None, [f"source.version={version}"]))
    assert getattr(task.source, "version") == version  # noqa: B009


def test_a_label_is_declared_once() -> None:
    with pytest.raises(ConfigError, match="source: labels: expected each once, got 0, 1, 1"):
        TASKS["cola"].override({"source": {"labels": [0, 1, 1]}})


def test_a_path_may_begin_with_the_home_folder_or_with_file_and_is_not_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for typed in ("~/none", f"file://{tmp_path}/none"):
        with pytest.raises(ModelError, match=f"^{tmp_path}/none: expected bert_model.ckpt"):
            TASKS["cola"].override({"model": {"init_checkpoint": typed}})
        with pytest.raises(VocabularyError, match=f"^{tmp_path}/none: expected a vocabulary"):
            TASKS["cola"].override({"preprocessing": {"vocabulary": typed}})
    with pytest.raises(ConfigError, match=r"model.init_checkpoint: expected a path, or none for no value"):
        TASKS["cola"].override({"model": {"init_checkpoint": ""}})


def test_a_value_means_what_was_typed() -> None:
    text = [
        "train.num_steps=0100",
        "train.learning_rate=1e-3",
        "train.jit_compile=true",
        "model.filters=[4, 8]",
    ]
    train, model = (getattr(resolve(*text)[0], name) for name in ("train", "model"))
    assert (train.num_steps, train.learning_rate, train.jit_compile) == (100, 0.001, True)
    assert model.filters == (4, 8)
    assert resolve("train.num_steps=none")[0].train.num_steps is None


@pytest.mark.parametrize(
    ("typed", "got"),
    [
        ("/data/bert #1", "/data/bert #1"),
        ("2020-01-01", "2020-01-01"),
        ("no", "no"),
        ("'quoted'", "'quoted'"),
        ("[a", "[a"),
        ("0.50", "0.50"),
        ("-3", -3),
        ("[no, yes, none, 1, 01, 'a, b']", ["no", "yes", "none", 1, "01", "a, b"]),
        ("{a: {b: none}}", {"a": {"b": None}}),
        ("[]", []),
    ],
)
def test_text_is_taken_as_it_is(typed: str, got: object) -> None:
    assert read_overrides(None, [f"a.b={typed}"]) == {"a": {"b": got}}


def test_a_file_is_read_like_assignments_and_may_have_comments(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("a:\n  b: 2020-01-01  # a day\n  c: no\n  d: 010\n  e: none\n  f: 'none'\n  g: ''\n")
    values = {"b": "2020-01-01", "c": "no", "d": "010", "e": None, "f": "none", "g": ""}
    assert read_overrides([file], []) == {"a": values}
    file.write_text("# nothing yet\n")
    assert read_overrides([file], []) == {}


def test_a_number_where_text_is_wanted_is_the_text() -> None:
    settings = ["source.labels=[0, 1]", "source.train.name=1.50", "source.synonyms={no: 0, yes: 1}"]
    source = TASKS["cola"].override(read_overrides(None, settings)).source
    assert source.labels == ("0", "1")
    assert source.train.name == "1.50"
    assert source.synonyms == {"no": "0", "yes": "1"}


def test_the_shape_of_images_is_given_once() -> None:
    for section in ("source", "preprocessing", "model"):
        task, _ = resolve(f"{section}.image_shape=[32, 20]")
        shapes = [getattr(task, name).image_shape for name in ("source", "preprocessing", "model")]
        assert shapes == [(32, 20)] * 3


def test_shapes_that_differ_are_refused() -> None:
    message = r"image_shape: expected the same in source, preprocessing, model, got \[32, 32\] in source, "
    with pytest.raises(ConfigError, match=message + r"\[32, 32\] in preprocessing, \[16, 16\] in model"):
        resolve("source.image_shape=[32, 32]", "model.image_shape=[16, 16]")


@pytest.mark.parametrize("section", ["source", "windowing", "model"])
def test_volumes_become_slices_with_one_setting(section: str) -> None:
    task = TASKS["lits"].override(read_overrides(None, [f"{section}.spatial_dims=2"]))
    parts = (task.source, task.windowing, task.model)
    assert [part.patch_size for part in parts] == [TASKS["lits"].model.patch_size[1:]] * 3
    assert task.source.patch == (1, *task.model.patch_size)


def test_the_names_of_an_organ_of_one_s_own_reach_what_answers() -> None:
    task = TASKS["lits"].override(read_overrides(None, ["source.label_names=[background, spleen]"]))
    assert task.windowing.label_names == ("background", "spleen")
    assert (task.windowing.num_classes, task.model.num_classes) == (2, 2)


@pytest.mark.parametrize("key", ["text_b", "label", "length"])
def test_a_text_that_the_source_has_not_is_refused(key: str) -> None:
    given = read_overrides(None, [f"preprocessing.text_features=[text_a, {key}]"])
    with pytest.raises(
        ConfigError, match=f"preprocessing.text_features: unknown text '{key}'; .*known: text_a"
    ):
        TASKS["cola"].override(given)


@pytest.mark.parametrize(
    "assignments",
    [
        ["train.seed=1", "train.seed=1"],
        ["cluster.node.cpu=1", "cluster.node={memory: 1Gi}"],
        ["cluster.node={memory: 1Gi}", "cluster.node.cpu=1"],
    ],
)
def test_an_assignment_given_twice_is_refused(assignments: list[str]) -> None:
    with pytest.raises(
        ConfigError, match=r"--set cluster.node.*=.* is given twice|train.seed is given twice"
    ):
        read_overrides(None, assignments)


def test_no_checkpoint_is_meant_only_where_one_says_so() -> None:
    cola = TASKS["cola"]
    for typed in ("", "~", "null", "NULL"):
        with pytest.raises(ConfigError, match=r"model.init_checkpoint=.*: expected a value, or 'none'"):
            read_overrides(None, [f"model.init_checkpoint={typed}"])
    given = read_overrides(None, ["model.init_checkpoint=none"])
    assert cola.override(given).model.init_checkpoint is None


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.yaml: cannot be read"):
        read_overrides([tmp_path / "none.yaml"], [])


def test_an_unknown_task_lists_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown task 'mnits'; did you mean 'mnist'\? known: cola, lits, mnist"
    ):
        get_task("mnits")


def test_beam_options_become_arguments() -> None:
    run = RUN.model_copy(update={"beam": {"runner": "FlinkRunner", "flink_master": "host:8081"}})
    without_package = "--sdk_container_image=none"
    assert run.beam_pipeline_args == ["--runner=FlinkRunner", without_package, "--flink_master=host:8081"]


@pytest.mark.parametrize(
    "beam",
    [
        {"runner": "FlinkRunner", "sdk_container_image": "company/image"},
        {"runner": "FlinkRunner", "setup_file": "./setup.py"},
        {"sdk_container_image": "company/image"},
        # To this runner alone it would be the name of an image.
        {"runner": "DataflowRunner", "project": "company"},
    ],
)
def test_what_workers_have_is_left_to_who_says_it(beam: dict[str, str]) -> None:
    given = RUN.model_copy(update={"beam": beam}).beam_pipeline_args
    assert "--sdk_container_image=none" not in given


@pytest.mark.parametrize("runner", ["DirectRunner", "FlinkRunner", "SparkRunner", "PrismRunner"])
def test_tfx_makes_no_package_of_itself(runner: str) -> None:
    from tfx.utils.dependency_utils import make_beam_dependency_flags

    given = RUN.model_copy(update={"beam": {"runner": runner}}).beam_pipeline_args
    assert make_beam_dependency_flags(given) == given


def test_the_direct_runner_stays_in_process() -> None:
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    run = RUN.model_copy(update={"beam": {"direct_num_workers": "2"}})
    assert "--direct_num_workers=2" in run.beam_pipeline_args
    options = PipelineOptions(run.beam_pipeline_args)
    assert options.view_as(StandardOptions).runner == "DirectRunner"
    # The pipeline option because of which the switch leaves Prism out.
    assert options.view_as(StandardOptions).get_all_options()["allow_unsafe_triggers"]
