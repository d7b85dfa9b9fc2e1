import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto.orchestration import pipeline_pb2
from tfx.types import Artifact, channel_utils, standard_artifacts

from components.pusher.component import Pusher
from components.pusher.decision import Decision, read_decision
from components.pusher.executor import Driver, Executor
from components.registry import refusals, registry
from components.registry.registry import PublishFailed


def artifact(kind: type[Artifact], folder: Path, **properties: int) -> Artifact:
    folder.mkdir(parents=True, exist_ok=True)
    made = kind()
    made.uri = str(folder)
    for name, value in properties.items():
        made.set_int_custom_property(name, value)
    return made


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, list[Artifact]]:
    serving = tmp_path / "model/Format-Serving"
    serving.mkdir(parents=True)
    (serving / "saved_model.pb").write_text("graph")
    evaluation = artifact(standard_artifacts.ModelEvaluation, tmp_path / "evaluation")
    (tmp_path / "evaluation/metrics.json").write_text(
        json.dumps({"metrics": {"accuracy": 0.98}, "blessed": True, "reasons": []})
    )
    return {
        "model": [artifact(standard_artifacts.Model, tmp_path / "model")],
        "model_blessing": [artifact(standard_artifacts.ModelBlessing, tmp_path / "blessing", blessed=1)],
        "infra_blessing": [artifact(standard_artifacts.InfraBlessing, tmp_path / "canary", blessed=1)],
        "evaluation": [evaluation],
    }


def properties(tmp_path: Path, **more: Any) -> dict[str, Any]:
    return {"base_dir": str(tmp_path / "base"), "model_name": "mnist", "keep_versions": 2, **more}


def push(tmp_path: Path, inputs: Mapping[str, list[Artifact]], context: Any = None, **more: Any) -> Artifact:
    pushed = artifact(standard_artifacts.PushedModel, tmp_path / "pushed")
    settings = properties(tmp_path, **more)
    Executor(context).Do(inputs, {"pushed_model": [pushed]}, settings)
    return pushed


def test_blessed_model_is_pushed_with_its_metrics_and_origin(
    tmp_path: Path, inputs: dict[str, list[Artifact]]
) -> None:
    context = BaseExecutor.Context(
        pipeline_info=pipeline_pb2.PipelineInfo(id="mnist"), pipeline_run_id="2026-01-02T03:04:05"
    )
    pushed = push(tmp_path, inputs, context)
    version = registry.live(str(tmp_path / "base"), "mnist")
    assert version is not None
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("pushed_version") == "1"
    assert pushed.get_string_custom_property("pushed_destination") == version.path
    assert version.metrics == {"accuracy": 0.98}
    assert version.source == {
        "model_uri": str(tmp_path / "model"),
        "pipeline": "mnist",
        "run_id": "2026-01-02T03:04:05",
    }
    assert version.blessed


def test_a_copy_of_a_model_is_not_what_it_came_from(
    tmp_path: Path, inputs: dict[str, list[Artifact]]
) -> None:
    inputs["model"][0].set_string_custom_property("original_uri", "gs://bucket/model")
    push(tmp_path, inputs)
    version = registry.live(str(tmp_path / "base"), "mnist")
    assert version is not None
    assert version.source == {"model_uri": "gs://bucket/model"}


@pytest.mark.parametrize("blessing", ["model_blessing", "infra_blessing"])
def test_model_that_is_not_blessed_is_not_pushed(
    tmp_path: Path, inputs: dict[str, list[Artifact]], blessing: str
) -> None:
    inputs[blessing][0].set_int_custom_property("blessed", 0)
    pushed = push(tmp_path, inputs)
    assert pushed.get_int_custom_property("pushed") == 0
    assert not pushed.has_custom_property("pushed_version")
    assert not (tmp_path / "base").exists()


def test_the_log_tells_what_was_decided(
    tmp_path: Path, inputs: dict[str, list[Artifact]], caplog: pytest.LogCaptureFixture
) -> None:
    # Its own level, which other libraries set.
    caplog.set_level("INFO", logger="absl")
    pushed = push(tmp_path, inputs)
    assert read_decision(caplog.text, "cola") is None
    assert read_decision(caplog.text, "mnist") == Decision(
        pushed.get_string_custom_property("pushed_destination"), None
    )
    inputs["model_blessing"][0].set_int_custom_property("blessed", 0)
    push(tmp_path, inputs)
    assert read_decision(caplog.text, "mnist") == Decision(None, "the Evaluator did not bless it:")


def test_blessing_that_says_nothing_is_none(tmp_path: Path, inputs: dict[str, list[Artifact]]) -> None:
    inputs["infra_blessing"] = [artifact(standard_artifacts.InfraBlessing, tmp_path / "empty")]
    assert push(tmp_path, inputs).get_int_custom_property("pushed") == 0


def test_inputs_beside_the_model_are_optional(tmp_path: Path, inputs: dict[str, list[Artifact]]) -> None:
    assert push(tmp_path, {"model": inputs["model"]}).get_int_custom_property("pushed") == 1
    version = registry.live(str(tmp_path / "base"), "mnist")
    assert version is not None
    assert version.metrics == {}
    assert not version.blessed


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"metrics": 1}'])
def test_unreadable_metrics_fail_before_the_push(
    tmp_path: Path, inputs: dict[str, list[Artifact]], text: str
) -> None:
    (tmp_path / "evaluation/metrics.json").write_text(text)
    with pytest.raises(PublishFailed, match=r"evaluation/metrics\.json: expected JSON with 'metrics'"):
        push(tmp_path, inputs)
    assert not (tmp_path / "base").exists()


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """What the training of the model left, beside what another one did."""
    results = tmp_path / "model/Format-Serving/assets.extra/millrace.json"
    results.parent.mkdir()
    results.write_text(json.dumps({"unfinished": "0123456789abcdef"}))
    for name in ("0123456789abcdef", "other"):
        (tmp_path / "unfinished" / name / "checkpoints").mkdir(parents=True)
    return tmp_path / "unfinished"


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_the_checkpoints_of_a_published_model_are_removed(
    tmp_path: Path, inputs: dict[str, list[Artifact]], checkpoints: Path, scheme: str
) -> None:
    push(tmp_path, inputs, unfinished_dir=f"{scheme}{checkpoints}")
    assert [folder.name for folder in checkpoints.iterdir()] == ["other"]


def test_the_checkpoints_of_a_model_that_is_not_pushed_stay(
    tmp_path: Path, inputs: dict[str, list[Artifact]], checkpoints: Path
) -> None:
    inputs["model_blessing"][0].set_int_custom_property("blessed", 0)
    push(tmp_path, inputs, unfinished_dir=str(checkpoints))
    assert len(list(checkpoints.iterdir())) == 2


@pytest.mark.parametrize("name", ["../base", "/etc", "", ".", ".."])
def test_no_other_folder_is_removed(
    tmp_path: Path, inputs: dict[str, list[Artifact]], checkpoints: Path, name: str
) -> None:
    results = tmp_path / "model/Format-Serving/assets.extra/millrace.json"
    results.write_text(json.dumps({"unfinished": name}))
    pushed = push(tmp_path, inputs, unfinished_dir=str(checkpoints))
    assert pushed.get_int_custom_property("pushed") == 1
    assert len(list(checkpoints.iterdir())) == 2
    assert (tmp_path / "base/mnist/1").is_dir()


def test_a_model_that_does_not_tell_its_checkpoints_is_pushed(
    tmp_path: Path, inputs: dict[str, list[Artifact]]
) -> None:
    pushed = push(tmp_path, inputs, unfinished_dir=str(tmp_path / "unfinished"))
    assert pushed.get_int_custom_property("pushed") == 1


def made_of(tmp_path: Path, what: str) -> None:
    """Makes the model another one, that says what it is made of."""
    serving = tmp_path / "model/Format-Serving"
    (serving / "assets.extra").mkdir(exist_ok=True)
    (serving / "assets.extra/origin.json").write_text(what)
    (serving / "saved_model.pb").write_text(f"graph of {what}")


def published_by(tmp_path: Path, inputs: Mapping[str, list[Artifact]], run_id: str, **more: Any) -> str:
    """Returns what the driver makes part of the cache's key."""
    execution = ExecutionInfo(
        input_dict=dict(inputs), exec_properties=properties(tmp_path, **more), pipeline_run_id=run_id
    )
    return str(Driver(None).run(execution).exec_properties["published_by"].string_value)


def push_and_withdraw(tmp_path: Path, inputs: Mapping[str, list[Artifact]]) -> None:
    """Publishes "old" and "bad", and rolls back to the first."""
    for what in ("old", "bad"):
        made_of(tmp_path, what)
        push(tmp_path, inputs, BaseExecutor.Context(pipeline_run_id=f"run of {what}"))
    registry.rollback(str(tmp_path / "base"), "mnist")


def test_what_was_rolled_back_is_published_again_by_force_alone(
    tmp_path: Path, inputs: dict[str, list[Artifact]]
) -> None:
    push_and_withdraw(tmp_path, inputs)
    pushed = push(tmp_path, inputs)
    assert pushed.get_int_custom_property("pushed") == 0
    assert re.fullmatch(
        r"version 2, made of the same, was rolled back on 20\S+; --force publishes it again",
        pushed.get_string_custom_property("reason"),
    )
    forced = push(tmp_path, inputs, force=1)
    assert forced.get_string_custom_property("pushed_version") == "4"
    assert not forced.has_custom_property("reason")
    # Now it is live, and what is live may be pushed.
    assert push(tmp_path, inputs).get_string_custom_property("pushed_version") == "4"


def test_the_cache_is_asked_for_the_run_that_published_what_is_still_there(
    tmp_path: Path, inputs: dict[str, list[Artifact]]
) -> None:
    made_of(tmp_path, "data")
    assert published_by(tmp_path, inputs, "first") == "first"
    push(tmp_path, inputs, BaseExecutor.Context(pipeline_run_id="first"))
    assert published_by(tmp_path, inputs, "second") == "first"
    shutil.rmtree(tmp_path / "base")
    assert published_by(tmp_path, inputs, "third") == "third"


def test_the_cache_is_not_asked_for_a_push_from_before_a_rollback(
    tmp_path: Path, inputs: dict[str, list[Artifact]]
) -> None:
    push_and_withdraw(tmp_path, inputs)
    assert published_by(tmp_path, inputs, "third").startswith("withdrawn 20")
    assert published_by(tmp_path, inputs, "fourth", force=1) == "fourth"
    made_of(tmp_path, "old")
    assert published_by(tmp_path, inputs, "fifth") == "run of old"


def test_a_refused_model_is_the_same_to_the_cache_in_every_run(
    tmp_path: Path, inputs: dict[str, list[Artifact]]
) -> None:
    made_of(tmp_path, "data")
    inputs["model_blessing"][0].set_int_custom_property("blessed", 0)
    assert published_by(tmp_path, inputs, "first") == published_by(tmp_path, inputs, "second") == ""


@pytest.mark.parametrize(
    ("blessing", "reason"),
    [
        ("model_blessing", "the Evaluator did not bless it: accuracy 0.5 is below 0.9; too slow"),
        ("infra_blessing", "the Canary did not bless it: answers differ"),
    ],
)
def test_a_refusal_is_remembered_with_its_reason(
    tmp_path: Path, inputs: dict[str, list[Artifact]], blessing: str, reason: str
) -> None:
    made_of(tmp_path, "data")
    evaluation = {"metrics": {}, "reasons": ["accuracy 0.5 is below 0.9", "too slow"]}
    (tmp_path / "evaluation/metrics.json").write_text(json.dumps(evaluation))
    (tmp_path / "canary/canary.json").write_text(json.dumps({"reason": "answers differ"}))
    inputs[blessing][0].set_int_custom_property("blessed", 0)
    push(tmp_path, inputs, judge="judge")
    origin = registry.origin_of(str(tmp_path / "model/Format-Serving"))
    found = refusals.find(str(tmp_path / "base"), "mnist", origin, "judge")
    assert found is not None
    assert found.reason == reason


def test_component_declares_one_pushed_model(inputs: dict[str, list[Artifact]]) -> None:
    channels = {name: channel_utils.as_channel(artifacts) for name, artifacts in inputs.items()}
    pusher = Pusher(base_dir="/models", model_name="mnist", keep_versions=3, **channels)
    assert pusher.outputs["pushed_model"].type is standard_artifacts.PushedModel
    given = {"base_dir": "/models", "model_name": "mnist", "keep_versions": 3}
    assert pusher.exec_properties == {**given, "force": 0, "judge": ""}
    assert set(Pusher(channels["model"], "/models", "mnist").inputs) == {"model"}
