"""What the API's rows say of a run, by answers of a real one (2.17.0) and in the shape of an older one."""

from kfp_server import pod_name, recorded, run_answer

from pipelines.kubeflow.run_state import NodeState, PlannedTask, pod_of, read_run

NODES = ("example-gen", "schema-gen", "statistics-gen", "example-validator", "transform", "trainer",
         "latest-blessed-model", "evaluator", "canary", "pusher")  # fmt: skip
PLANNED = [PlannedTask(name) for name in NODES]


def test_the_tasks_of_a_recorded_run_are_the_pipelines_own() -> None:
    found = read_run(recorded("succeeded-run"), PLANNED)
    assert len(found.rows) == 74
    assert found.nodes == tuple(NodeState(name, "complete") for name in NODES)
    assert found.is_settled
    # The first two began and ended alike.
    assert pod_of(found.rows, "example-gen") == "mnist-tpqkg-3048598256"
    assert pod_of(found.rows, "schema-gen") == "mnist-tpqkg-1261428047"
    assert pod_of(found.rows, "pusher") == "mnist-tpqkg-631755530"


def test_the_newest_of_a_recorded_tasks_attempts_counts() -> None:
    answer = recorded("retried-root-running")
    rows = answer["run_details"]["task_details"]
    assert sum(row["display_name"] == "say" for row in rows) == 3
    newest = next(
        row for row in rows if row["display_name"] == "say" and row["start_time"].endswith("02:08Z")
    )
    newest["state"] = "RUNNING"
    assert read_run(answer, [PlannedTask("say")]).nodes == (NodeState("say", "running"),)


def test_a_server_without_retries_of_its_own_has_other_names() -> None:
    # Before 2.17 there are no attempts where none were asked for.
    rows = [
        {"display_name": "trainer", "child_tasks": [{"pod_name": pod_name("mnist-1.root.trainer.executor")}]},
        {"display_name": "executor"},
    ]
    assert pod_of(rows, "trainer") == pod_name("mnist-1.root.trainer.executor")
    assert pod_of(rows, "pusher") is None


def test_a_node_whose_driver_fails_has_failed() -> None:
    driver = pod_name("mnist-abcde(0).root(0).trainer-driver(0)")
    answer = {**run_answer("FAILED"), "run_id": "1"}
    answer["run_details"]["task_details"] += [
        {"display_name": "trainer-driver", "state": "FAILED", "child_tasks": [{"pod_name": driver}]},
        {"display_name": "trainer"},
    ]
    found = read_run(answer, [PlannedTask("trainer"), PlannedTask("pusher")])
    assert found.nodes == (NodeState("trainer", "failed"), NodeState("pusher", "not run"))
    assert pod_of(found.rows, "trainer") == driver
