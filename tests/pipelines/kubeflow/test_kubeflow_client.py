"""The client of Kubeflow Pipelines and the verbs that use it, against a server over a real socket."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from json_documents import document
from kfp_server import KubeflowServer, serving

from pipelines.cli import main as cli
from pipelines.kubeflow import client
from pipelines.kubeflow.client import Client, RefusedError, RunFailed, UnreachableError


@pytest.fixture
def server() -> Iterator[KubeflowServer]:
    state = KubeflowServer()
    with serving(state) as state.url:
        yield state


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.time, "sleep", lambda seconds: None)


def millrace(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    return int(ended.value.code or 0)


def task(name: str, state: str, **more: Any) -> dict[str, Any]:
    return {"display_name": name, "state": state, **more}


def run_state(state: str, *tasks: dict[str, Any]) -> dict[str, Any]:
    # What KFP lists beside the nodes.
    others = [task("root", state), task("root-driver", "SUCCEEDED"), task("executor", "RUNNING")]
    return {"state": state, "run_details": {"task_details": [*others, *tasks]}}


SUBMIT = ("submit", "mnist", "--image", "registry.example/millrace:1")


def test_a_run_is_uploaded_started_and_followed(
    server: KubeflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.states = [
        {"state": "PENDING"},
        run_state("RUNNING", task("trainer", "RUNNING")),
        run_state("RUNNING", task("trainer", "RUNNING")),
        run_state("SUCCEEDED", task("trainer", "SUCCEEDED"), task("transform", "SKIPPED")),
    ]
    options = ("--wait", "--set", "train.num_epochs=2", "--artifact-root", "gs://bucket/root")
    assert millrace(*SUBMIT, "--host", server.url, *options) == 0
    (run,) = server.runs
    assert run["pipeline_version_reference"] == {
        "pipeline_id": "pipelines-1",
        "pipeline_version_id": "version-1",
    }
    assert run["runtime_config"] == {
        "parameters": {"train_num_epochs": 2},
        "pipeline_root": "gs://bucket/root",
    }
    assert run["experiment_id"] == "experiments-1"
    specification, platforms = yaml.safe_load_all(server.uploads[0])
    assert specification["pipelineInfo"]["name"] == "mnist"
    assert "platforms" in platforms
    printed = capsys.readouterr()
    assert printed.out == "run runs-1: succeeded\n"
    lines = [line for line in printed.err.splitlines() if ": " in line]
    assert lines == ["trainer: running", "trainer: complete", "transform: cached"]


def test_a_pipeline_is_uploaded_once(server: KubeflowServer) -> None:
    for text in ("a: 1", "a: 1", "a: 2"):
        with Client(server.url) as kfp:
            kfp.start(kfp.upload("mnist", text), "mnist", {}, "millrace")
    assert [version["pipeline_id"] for version in server.versions] == ["pipelines-1"] * 2
    assert server.uploads == ["a: 1", "a: 2"]
    assert len(server.experiments) == 1
    versions = [run["pipeline_version_reference"]["pipeline_version_id"] for run in server.runs]
    assert versions == ["version-1", "version-1", "version-2"]


def test_a_failed_run_names_the_node_and_why(
    server: KubeflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    error = {"code": 2, "message": "exit status 2: No module named pipelines"}
    server.states = [run_state("FAILED", task("example-gen", "FAILED", error=error))]
    assert millrace(*SUBMIT, "--host", server.url, "--wait") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == (
        "millrace: error: run runs-1 ended as failed: example-gen: exit status 2: No module named pipelines"
    )


def test_a_run_is_told_as_json(server: KubeflowServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.states = [run_state("RUNNING", task("trainer", "RUNNING"))]
    assert millrace(*SUBMIT, "--host", server.url, "--json") == 0
    assert document("submit", capsys.readouterr().out) == {
        "run_id": "runs-1",
        "state": "RUNNING",
        "url": f"{server.url}/#/runs/details/runs-1",
        "error": None,
        "nodes": [{"node": "trainer", "state": "running", "error": ""}],
    }


def test_a_run_that_failed_is_told_as_json(
    server: KubeflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.states = [run_state("FAILED", task("trainer", "FAILED", error={"message": "no memory"}))]
    assert millrace(*SUBMIT, "--host", server.url, "--wait", "--json") == 1
    message = "run runs-1 ended as failed: trainer: no memory"
    assert document("submit", capsys.readouterr().out)["error"] == {"exit_code": 1, "message": message}


def test_a_compiled_pipeline_is_told_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mnist.yaml"
    assert millrace("compile", *SUBMIT[1:], "--out", str(out), "--json") == 0
    assert document("compile", capsys.readouterr().out) == {"file": str(out), "pipeline": "mnist"}


def test_a_schedule_becomes_a_recurring_run(
    server: KubeflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("schedule", *SUBMIT[1:], "--host", server.url, "--cron", "0 3 * * *")
    assert millrace(*arguments) == 0
    (recurring,) = server.recurring
    assert recurring["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert recurring["max_concurrency"] == "1"
    assert capsys.readouterr().out == "recurring run recurringruns-1: 0 0 3 * * *\n"
    assert millrace(*arguments, "--json") == 0
    assert document("schedule", capsys.readouterr().out)["cron"] == "0 0 3 * * *"


def test_retraining_starts_a_run_on_the_cluster_and_says_why(
    server: KubeflowServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / "data" / f"{name}-ubyte").touch()
    where = ("--data", str(tmp_path / "data"), "--pipeline-root", str(tmp_path))
    arguments = ("retrain", "mnist", "--if-changed", *where, "--image", "registry.example/millrace:1")
    assert millrace(*arguments, "--host", server.url, "--json") == 0
    told = document("retrain", capsys.readouterr().out)
    assert told["reasons"] == ["nothing is published yet"]
    assert told["run_id"] == "runs-1"
    data = yaml.safe_load(server.uploads[0].split("---")[0])["root"]["inputDefinitions"]["parameters"]["data"]
    assert data["defaultValue"] == str(tmp_path / "data")
    assert millrace(*arguments) == 2
    assert "--host and --image go together" in capsys.readouterr().err


@pytest.mark.parametrize("cron", ["", "0 3 * *", "* * * * * * *", "0 3 * * $(reboot)"])
def test_a_schedule_that_is_none_is_refused(cron: str) -> None:
    with pytest.raises(RefusedError, match="expected five fields"):
        client.cron_fields(cron)


def test_a_token_is_shown_and_a_wrong_one_is_refused(server: KubeflowServer, tmp_path: Path) -> None:
    server.token = "secret"
    token = tmp_path / "token"
    token.write_text("secret\n")
    with Client(server.url, str(token)) as kfp:
        assert kfp.upload("mnist", "a: 1").version_id == "version-1"
    token.write_text("stale")
    with Client(server.url, str(token)) as kfp, pytest.raises(RefusedError) as caught:
        kfp.upload("mnist", "a: 1")
    assert str(caught.value) == f"{server.url}: the token is refused (401); give one with --token-file"
    assert "stale" not in str(caught.value)


def test_a_token_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="nothing: cannot be read as a token"):
        Client("http://localhost:1", str(tmp_path / "nothing"))


def test_a_host_that_does_not_answer_is_a_failure() -> None:
    with (
        Client("http://127.0.0.1:9") as kfp,
        pytest.raises(UnreachableError, match=r"^http://127.0.0.1:9: no answer"),
    ):
        kfp.upload("mnist", "a: 1")


@pytest.mark.parametrize("host", ["localhost:8080", "http://", "http://localhost:x", "http://[::1", ""])
def test_a_host_that_is_no_url_is_the_users_mistake(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert millrace(*SUBMIT, "--host", host) == 2
    assert f"--host {host}: expected a URL such as http://localhost:8080" in capsys.readouterr().err


def test_another_server_is_told_from_kubeflow(server: KubeflowServer) -> None:
    with (
        Client(f"{server.url}/elsewhere") as kfp,
        pytest.raises(UnreachableError, match="expected the API of Kubeflow"),
    ):
        kfp.upload("mnist", "a: 1")


def test_a_server_that_restarts_is_asked_again_for_what_only_reads(server: KubeflowServer) -> None:
    server.states = [run_state("SUCCEEDED")]
    server.failures = [503, 502]
    with Client(server.url) as kfp:
        assert kfp.state("1").state == "SUCCEEDED"
        server.failures = [503] * 5
        with pytest.raises(UnreachableError, match=r"the database is gone \(HTTP 503\)"):
            kfp.state("1")


def test_a_clash_of_names_is_told(server: KubeflowServer) -> None:
    answer = server.answer
    # Hidden from the list, as a pipeline of another namespace is.
    server.pipelines.append({"display_name": "mnist", "pipeline_id": "other"})
    server.answer = lambda method, path, *rest: (  # type: ignore[method-assign]
        (200, {}) if (method, path) == ("GET", "pipelines") else answer(method, path, *rest)
    )
    with (
        Client(server.url) as kfp,
        pytest.raises(RefusedError, match=r"The name mnist already exists \(HTTP 409\)"),
    ):
        kfp.upload("mnist", "a: 1")


def test_an_ended_run_without_success_is_a_failure() -> None:
    client.check(client.RunState("1", "SUCCEEDED", "", ()))
    client.check(client.RunState("1", "RUNNING", "", ()))
    with pytest.raises(RunFailed, match="run 1 ended as canceled: no reason given"):
        client.check(client.RunState("1", "CANCELED", "", ()))
