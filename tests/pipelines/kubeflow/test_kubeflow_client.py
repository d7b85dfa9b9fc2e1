"""The client of Kubeflow Pipelines and the verbs that use it, against a server over a real socket."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from json_documents import document
from kfp_server import KubeflowServer, pod, pod_name, recorded, run_answer, serving, task_rows

from pipelines.cli import main as cli
from pipelines.kubeflow import client, following
from pipelines.kubeflow.client import Client, RefusedError, UnreachableError
from pipelines.kubeflow.run_state import NodeState, PlannedTask, RunState, read_run


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


NODES = ("example-gen", "schema-gen", "statistics-gen", "example-validator", "transform", "trainer",
         "latest-blessed-model", "evaluator", "canary", "pusher")  # fmt: skip
PLANNED = [PlannedTask(name) for name in NODES]
LATER = tuple(task_rows(name, "SUCCEEDED") for name in NODES if name not in ("trainer", "transform"))
PUSHED = "2026-01-02 03:04:05 I absl: mnist is pushed: /millrace/models/mnist/1\nI0102 launcher.go: done\n"


def write_files(folder: Path) -> None:
    folder.mkdir()
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (folder / f"{name}-ubyte").touch()


SUBMIT = ("submit", "mnist", "--image", "registry.example/millrace:1")


def test_a_run_is_uploaded_started_and_followed(
    server: KubeflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.states = [
        {"state": "PENDING"},
        run_answer("RUNNING", *LATER, task_rows("trainer", "RUNNING")),
        run_answer("RUNNING", *LATER, task_rows("trainer", "RUNNING")),
        run_answer(
            "SUCCEEDED",
            *LATER,
            task_rows("trainer", "SUCCEEDED"),
            task_rows("transform", "SUCCEEDED", 100, 100),
        ),
    ]
    server.logs[pod("pusher")] = PUSHED
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
    assert printed.out == "run runs-1: succeeded\npublished /millrace/models/mnist/1\n"
    lines = [line for line in printed.err.splitlines() if re.match("[a-z-]+: ", line)]
    assert sorted(lines[:9]) == [f"{name}: complete" for name in sorted((*NODES[:4], *NODES[6:]))] + [
        "trainer: running"
    ]
    assert lines[9:12] == ["transform: cached", "trainer: complete", lines[-1]]
    assert lines[-1].startswith("cached: transform; what reads data or the registry always runs")


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
    server.states = [recorded("failed-run")]
    # The pod that executed example-gen, of which the answer does not say so.
    server.logs["mnist-8cwvr-2783986367"] = (
        "I1126 launcher.go: downloading\n"
        "millrace: error: /millrace/data/none: expected a folder with idx files\n"
        "F1126 main.go: failed to execute component: exit status 1\n"
    )
    assert millrace(*SUBMIT, "--host", server.url, "--wait") == 1
    printed = capsys.readouterr().err.splitlines()
    assert printed[-1] == (
        "millrace: error: run runs-1 failed: example-gen: "
        "/millrace/data/none: expected a folder with idx files"
    )
    states = dict(line.split(": ")[:2] for line in printed[1:-1])
    assert states == {
        "example-gen": "failed", "schema-gen": "cached", **dict.fromkeys(NODES[2:], "not run")
    }  # fmt: skip


def test_a_run_that_fails_before_its_nodes_says_what_its_driver_said(
    server: KubeflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.states = [run_answer("FAILED")]
    server.logs[pod_name("mnist-abcde(0).root-driver(0)")] = (
        "I1126 main.go: begin\nF1126 main.go: no bucket\n"
    )
    assert millrace(*SUBMIT, "--host", server.url, "--wait") == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "millrace: error: run runs-1 failed: F1126 main.go: no bucket"
    )


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (None, 'mnist-8cwvr-2783986367: its log cannot be read: pods "mnist-8cwvr-2783986367" not found'),
        (
            "I1126 launcher.go: downloading\nF1126 main.go: signal: killed\n\n",
            "F1126 main.go: signal: killed",
        ),
        ("", "its log is empty"),
        ('{"error_message": "gone"}', "mnist-8cwvr-2783986367: its log cannot be read: gone (HTTP 200)"),
    ],
)
def test_a_node_that_says_nothing_of_itself_is_told_by_what_there_is(
    server: KubeflowServer, log: str | None, reason: str
) -> None:
    if log is not None:
        server.logs["mnist-8cwvr-2783986367"] = log
    state = read_run(recorded("failed-run"), PLANNED)
    with Client(server.url) as kfp:
        assert following.explained(kfp, state, PLANNED).nodes[0].error.startswith(reason)


def test_a_recorded_run_that_somebody_ended_is_cancelled() -> None:
    found = read_run(recorded("terminated-run"), [PlannedTask("say")])
    assert (found.state, found.nodes) == ("CANCELED", (NodeState("say", "cancelled"),))
    with pytest.raises(following.RunFailed, match=r"^run 5bf1bf99\S+ was cancelled: somebody ended it$"):
        following.Outcome(found).check()


@pytest.mark.parametrize(
    ("timeout_s", "node"),
    [
        (10, NodeState("say", "timed out", "took longer than its timeout_s, 10")),
        # It ran for 16 seconds.
        (17, NodeState("say", "failed", "signal: terminated")),
        (None, NodeState("say", "failed", "signal: terminated")),
    ],
)
def test_a_recorded_run_past_its_deadline_has_timed_out(
    server: KubeflowServer, timeout_s: int | None, node: NodeState
) -> None:
    tasks = [PlannedTask("say", timeout_s)]
    server.logs["deadline-lmxrf-951241873"] = "signal: terminated\n"
    with Client(server.url) as kfp:
        assert following.explained(kfp, read_run(recorded("deadline-run"), tasks), tasks).nodes == (node,)


def test_a_run_that_has_ended_is_asked_for_until_its_tasks_have(
    server: KubeflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    done = [task_rows(name, "SUCCEEDED") for name in NODES[:-1]]
    server.logs[pod("pusher")] = PUSHED
    server.states = [
        run_answer("SUCCEEDED", *done[:-1]),
        run_answer("SUCCEEDED", *done, task_rows("pusher", "RUNNING")),
        run_answer("SUCCEEDED", *done, task_rows("pusher", "SUCCEEDED")),
    ]
    assert millrace(*SUBMIT, "--host", server.url, "--wait") == 0
    assert "not run" not in capsys.readouterr().err


def test_a_server_that_is_away_for_minutes_is_waited_for(
    server: KubeflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.logs[pod("pusher")] = PUSHED
    done = run_answer("SUCCEEDED", *(task_rows(name, "SUCCEEDED") for name in NODES))
    server.states = [{"state": "RUNNING"}, *[503] * 40, 429, done]
    assert millrace(*SUBMIT, "--host", server.url, "--wait") == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("http")]
    assert told == [
        f"{server.url}: upgrading (HTTP 503); the run goes on, and is asked about until the server is back",
        f"{server.url}: answers again",
    ]


def test_a_server_that_stays_away_is_a_failure(
    server: KubeflowServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_SILENT_ROUNDS", 2)
    server.states = [503]
    assert millrace(*SUBMIT, "--host", server.url, "--wait") == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("upgrading (HTTP 503)")


REFUSED = (
    "2026-01-02 W absl: mnist is not pushed: the Evaluator did not bless it: accuracy 0.5000 is below 0.9"
)


def test_a_refused_model_is_a_failure_though_its_run_succeeded(
    server: KubeflowServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.states = [run_answer("SUCCEEDED", *(task_rows(name, "SUCCEEDED") for name in NODES))]
    server.logs[pod("pusher")] = REFUSED
    message = "not published: the Evaluator did not bless it: accuracy 0.5000 is below 0.9"
    assert millrace(*SUBMIT, "--host", server.url, "--wait") == 1
    printed = capsys.readouterr()
    assert printed.out == "run runs-1: succeeded\n"
    assert printed.err.splitlines()[-1] == f"millrace: error: {message}"
    assert millrace(*SUBMIT, "--host", server.url, "--wait", "--json") == 1
    told = document("submit", capsys.readouterr().out)
    assert (told["error"], told["published"]) == ({"exit_code": 1, "message": message}, None)
    write_files(tmp_path / "data")
    arguments = ("--data", str(tmp_path / "data"), "--pipeline-root", str(tmp_path), *SUBMIT[2:])
    assert millrace("retrain", "mnist", *arguments, "--host", server.url, "--wait", "--json") == 1
    assert document("retrain", capsys.readouterr().out)["error"]["message"] == message


def test_a_run_whose_pusher_left_no_word_is_no_success(
    server: KubeflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.states = [run_answer("SUCCEEDED", *(task_rows(name, "SUCCEEDED") for name in NODES))]
    assert millrace(*SUBMIT, "--host", server.url, "--wait") == 1
    assert "whether its model was published is not known" in capsys.readouterr().err
    server.logs[pod("pusher")] = "cola is pushed: /millrace/models/cola/1"
    assert millrace(*SUBMIT, "--host", server.url, "--wait") == 1
    assert "the log of pusher does not say whether" in capsys.readouterr().err


def test_a_run_is_told_as_json(server: KubeflowServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.states = [run_answer("RUNNING", task_rows("example-gen", "RUNNING"))]
    assert millrace(*SUBMIT, "--host", server.url, "--json") == 0
    assert document("submit", capsys.readouterr().out) == {
        "run_id": "runs-1",
        "state": "RUNNING",
        "url": f"{server.url}/#/runs/details/runs-1",
        "error": None,
        "published": None,
        "nodes": [
            {"node": name, "state": "running" if name == "example-gen" else "pending", "error": ""}
            for name in NODES
        ],
    }


def test_a_server_without_pages_is_not_linked_to(
    server: KubeflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.has_pages = False
    assert millrace(*SUBMIT, "--host", server.url, "--json") == 0
    printed = capsys.readouterr()
    assert document("submit", printed.out)["url"] is None
    assert "started runs-1\n" in printed.err


def test_a_run_that_failed_is_told_as_json(
    server: KubeflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.states = [run_answer("FAILED", task_rows("trainer", "FAILED"))]
    server.logs[pod("trainer")] = "millrace: error: no memory"
    assert millrace(*SUBMIT, "--host", server.url, "--wait", "--json") == 1
    message = "run runs-1 failed: trainer: no memory"
    assert document("submit", capsys.readouterr().out)["error"] == {"exit_code": 1, "message": message}


def test_the_runs_of_a_server_are_listed(server: KubeflowServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert millrace("runs", "--host", server.url) == 0
    assert capsys.readouterr().err == f"{server.url}: no runs\n"
    server.pipelines = [{"display_name": "mnist", "pipeline_id": "pipelines-1"}]
    mine = {"pipeline_version_reference": {"pipeline_id": "pipelines-1"}}
    server.runs = [
        {"run_id": "1", "created_at": "2026-01-02T03:04:05Z", "display_name": "cola", "state": "RUNNING"},
        {**recorded("terminated-run"), "run_id": "2", **mine},
        {**recorded("failed-run"), "run_id": "3", **mine},
    ]
    assert millrace("runs", "--host", server.url, "--json") == 0
    told = document("runs", capsys.readouterr().out)
    assert [(run["run_id"], run["state"]) for run in told] == [
        ("3", "FAILED"), ("2", "CANCELED"), ("1", "RUNNING")
    ]  # fmt: skip
    assert told[2]["ended"] is None
    assert millrace("runs", "mnist", "--host", server.url, "--limit", "1") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "again" in line]
    assert line.split()[:3] == ["3", "again", "failed"]
    assert millrace("runs", "cola", "--host", server.url, "--json") == 0
    assert document("runs", capsys.readouterr().out) == []
    assert millrace("runs", "--namespace", "team") == 2
    assert "runs: --namespace goes with --host" in capsys.readouterr().err


def test_a_nodes_log_is_printed(server: KubeflowServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.states = [recorded("succeeded-run")]
    server.logs["mnist-tpqkg-3582946567"] = "nothing is published yet"
    where = ("--host", server.url)
    for name in ("latest-blessed-model", "LatestBlessedModel"):
        assert millrace("logs", "4242", name, *where) == 0
        assert capsys.readouterr().out == "nothing is published yet\n"
    assert millrace("logs", "4242", "LatestBlessedModel", *where, "--json") == 0
    assert document("log", capsys.readouterr().out)["node"] == "latest-blessed-model"
    assert millrace("logs", "4242", "trainer", *where) == 1
    assert "its log cannot be read: pods" in capsys.readouterr().err
    assert millrace("logs", "4242", "trainre", *where) == 2
    assert "unknown node 'trainre'; did you mean 'trainer'?" in capsys.readouterr().err


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
    told = document("schedule", capsys.readouterr().out)
    assert (told["cron"], told["replaced"]) == ("0 0 3 * * *", ["recurringruns-1"])


def test_a_scheduled_run_looks_for_news_unless_all_is_to_be_executed(server: KubeflowServer) -> None:
    arguments = ("schedule", *SUBMIT[1:], "--host", server.url, "--cron", "0 3 * * *")
    for more in ((), ("--no-cache",)):
        assert millrace(*arguments, *more) == 0
    tasks = [set(next(yaml.safe_load_all(text))["root"]["dag"]["tasks"]) for text in server.uploads]
    assert tasks == [{*NODES, "news"}, {*NODES}]


def test_a_second_schedule_of_a_task_takes_the_place_of_the_first(
    server: KubeflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--host", server.url)
    once = ("schedule", "mnist", "--cron", "0 3 * * *", *where)
    assert millrace(*once, "--image", "registry.example/millrace:1") == 0
    assert millrace(*once, "--image", "registry.example/millrace:1", "--experiment", "other") == 0
    assert "replaces" not in capsys.readouterr().err
    assert millrace(*once[:2], "--cron", "0 4 * * *", *where, "--image", "registry.example/millrace:2") == 0
    assert "replaces recurringruns-1: 0 0 3 * * *" in capsys.readouterr().err
    assert millrace("schedules", *where, "--json") == 0
    other, newest = document("schedules", capsys.readouterr().out)
    assert (other["image"], other["experiment_id"]) == ("registry.example/millrace:1", "experiments-2")
    assert (newest["cron"], newest["image"]) == ("0 0 4 * * *", "registry.example/millrace:2")
    assert newest["enabled"]
    versions = [run["pipeline_version_reference"]["pipeline_version_id"] for run in server.recurring]
    assert versions == ["version-1", "version-2"]


def test_a_schedule_is_ended(server: KubeflowServer, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--host", server.url)
    assert millrace("schedules", *where) == 0
    assert capsys.readouterr().err == f"{server.url}: no schedules\n"
    assert millrace("schedule", *SUBMIT[1:], *where, "--cron", "0 3 * * *") == 0
    # Of somebody else, by the pages.
    server.recurring.append({"recurring_run_id": "9", "display_name": "backup", "status": "DISABLED"})
    capsys.readouterr()
    assert millrace("unschedule", "mnist", *where, "--experiment", "other") == 2
    message = "unschedule: no schedule of mnist in other; scheduled: backup, mnist"
    assert message in capsys.readouterr().err
    assert millrace("unschedule", "mnist", *where) == 0
    assert capsys.readouterr().out == "ended recurringruns-1: 0 0 3 * * *\n"
    assert millrace("schedules", *where) == 0
    assert capsys.readouterr().out.split()[-3:] == ["backup", "off", "9"]
    assert millrace("unschedule", "mnist", *where, "--json") == 2
    capsys.readouterr()
    assert millrace("schedule", *SUBMIT[1:], *where, "--cron", "0 3 * * *") == 0
    capsys.readouterr()
    assert millrace("unschedule", "mnist", *where, "--json") == 0
    assert document("unschedule", capsys.readouterr().out) == {"ended": ["recurringruns-2"], "disabled": []}


def test_a_run_that_goes_on_outlives_its_schedule(
    server: KubeflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--host", server.url)
    schedule = ("schedule", *SUBMIT[1:], *where, "--cron", "0 3 * * *")
    assert millrace(*schedule) == 0
    server.runs += [
        {"run_id": "1", "recurring_run_id": "recurringruns-1", "state": "SUCCEEDED"},
        {"run_id": "2", "recurring_run_id": "recurringruns-1", "state": "RUNNING"},
        {"run_id": "3", "state": "RUNNING"},
    ]
    capsys.readouterr()
    assert millrace("unschedule", "mnist", *where, "--json") == 0
    said = capsys.readouterr()
    assert document("unschedule", said.out) == {"ended": [], "disabled": ["recurringruns-1"]}
    assert "recurringruns-1: starts no more runs; run 2 of it goes on" in said.err
    assert (server.without_workflow, server.recurring[0]["status"]) == ([], "DISABLED")
    assert millrace(*schedule) == 0
    assert [recurring["recurring_run_id"] for recurring in server.recurring] == [
        "recurringruns-1",
        "recurringruns-2",
    ]
    server.runs[1]["state"] = "FAILED"
    assert millrace(*schedule) == 0
    assert [recurring["recurring_run_id"] for recurring in server.recurring] == ["recurringruns-3"]


def test_retraining_starts_a_run_on_the_cluster_and_says_why(
    server: KubeflowServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(tmp_path / "data")
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
    server.states = [run_answer("SUCCEEDED")]
    server.failures = [503, 502]
    with Client(server.url) as kfp:
        assert kfp.state("1", ()).state == "SUCCEEDED"
        server.failures = [503] * 5
        with pytest.raises(UnreachableError, match=r"the database is gone \(HTTP 503\)"):
            kfp.state("1", ())


def test_a_clash_of_names_is_told(server: KubeflowServer) -> None:
    answer = server.answer
    # Hidden from the list, as a pipeline of another namespace is.
    server.pipelines.append({"display_name": "mnist", "pipeline_id": "other"})
    server.answer = lambda method, path, *rest: (  # type: ignore[method-assign]
        (200, {}) if (method, path) == ("GET", "apis/v2beta1/pipelines") else answer(method, path, *rest)
    )
    with (
        Client(server.url) as kfp,
        pytest.raises(RefusedError, match=r"The name mnist already exists \(HTTP 409\)"),
    ):
        kfp.upload("mnist", "a: 1")


@pytest.mark.parametrize("kind", ["pipelines", "experiments"])
def test_what_another_submission_made_meanwhile_is_used(server: KubeflowServer, kind: str) -> None:
    answer, lists = server.answer, []

    def late(method: str, path: str, *rest: Any) -> tuple[int, Any]:
        if (method, path) == ("GET", f"apis/v2beta1/{kind}"):
            lists.append(path)
            if len(lists) == 1:
                getattr(server, kind).append({"display_name": "mnist", f"{kind.rstrip('s')}_id": "other"})
                return 200, {}
        return answer(method, path, *rest)

    server.answer = late  # type: ignore[method-assign]
    with Client(server.url) as kfp:
        kfp.start(kfp.upload("mnist", "a: 1"), "mnist", {}, "mnist")
    (run,) = server.runs
    reference = run["pipeline_version_reference"]
    assert "other" in (reference["pipeline_id"], run["experiment_id"])
    assert len(getattr(server, kind)) == 1


def test_an_ended_run_without_success_is_a_failure() -> None:
    following.Outcome(RunState("1", "SUCCEEDED")).check()
    following.Outcome(RunState("1", "RUNNING")).check()
    with pytest.raises(following.RunFailed, match="run 1 failed: no task says why"):
        following.Outcome(RunState("1", "FAILED")).check()


def test_a_token_is_read_anew_for_each_call(server: KubeflowServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    with Client(server.url, str(token)) as kfp:
        server.token = "second"
        token.write_text("second")
        kfp.reach()
