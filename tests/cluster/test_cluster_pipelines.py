"""Runs of a real Kubeflow Pipelines, which MILLRACE_KFP_HOST names: from `submit` to a published model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from clusters import Cluster
from kfp_backend import HOST, Ended, Kubeflow, pipelines_of
from kubectl import until
from machine import Unavailable

pytestmark = [
    pytest.mark.skipif(not HOST, reason="expected MILLRACE_KFP_HOST, the URL of a Kubeflow Pipelines API"),
    pytest.mark.takes(12),
]

RUN_S = 1200
BLESSED = "blessing.threshold=0"
MNIST = ("model.filters=[4,4]", "model.hidden_dim=16", "train.num_epochs=1", BLESSED)
ENCODER = (
    "preprocessing.vocabulary_size=200", "model.encoder.vocabulary_size=200", "model.encoder.hidden_dim=16",
    "model.encoder.num_layers=1", "model.encoder.num_heads=2", "model.encoder.intermediate_dim=16",
)  # fmt: skip
SQUAD = (
    *ENCODER, "model.encoder.max_positions=48", "windowing.max_sequence_length=48", "windowing.stride=16",
    "windowing.max_question_length=12", "train.num_steps=6", "train.steps_per_loop=3",
    "train.global_batch_size=8", BLESSED,
)  # fmt: skip
# Many short steps: the Trainer is to be caught in the middle.
COLA = (
    *ENCODER, "train.num_epochs=50", "train.steps_per_loop=20", "train.global_batch_size=16",
    "cluster.trainer.retries=2", "blessing.threshold=-1",
)  # fmt: skip
MAKE_DATA = """
import itertools
from pathlib import Path
from components.formats.squad import V2, read_squad, write_squad
from pipelines.datasets import demo, made_cola, made_squad
for task in ("mnist", "cola", "squad", "all"):
    Path("PLACE/data", task).mkdir(parents=True)
demo.make_data(Path("PLACE/data/mnist"))
made_cola.make_cola(Path("PLACE/data/all"))
for name, count in (("train", 640), ("dev", 160), ("test", 160)):
    lines = Path(f"PLACE/data/all/{name}.tsv").read_text().splitlines(keepends=True)
    Path(f"PLACE/data/cola/{name}.tsv").write_text("".join(lines[:count]))
made_squad.make_squad(Path("PLACE/data/all"), version=V2)
for name, count in (("train-v2.0.json", 60), ("dev-v2.0.json", 24)):
    some = itertools.islice(read_squad(Path("PLACE/data/all") / name), count)
    write_squad(Path("PLACE/data/squad") / name, some, V2)
"""


@pytest.fixture(scope="module")
def kubeflow(cluster: Cluster, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubeflow]:
    try:
        with pipelines_of(cluster, image, tmp_path_factory.mktemp("pipelines")) as kubeflow:
            kubeflow.python(MAKE_DATA.replace("PLACE", kubeflow.place))
            yield kubeflow
    except Unavailable as reason:
        pytest.skip(str(reason))


class Both(NamedTuple):
    """Two runs that went on at once."""

    mnist: Ended
    squad: Ended


@pytest.fixture(scope="module")
def both(kubeflow: Kubeflow) -> Both:
    mnist, squad = kubeflow.start("submit", "mnist", *MNIST), kubeflow.start("submit", "squad", *SQUAD)
    return Both(mnist.end(RUN_S), squad.end(RUN_S))


def nodes(ended: Ended) -> dict[str, Any]:
    return {node["node"]: node["state"] for node in ended.answer["nodes"]}


def test_a_run_that_is_followed_ends_with_a_published_model(kubeflow: Kubeflow, both: Both) -> None:
    assert both.mnist.code == 0, both.mnist.said
    assert both.mnist.answer["published"] == f"{kubeflow.place}/models/mnist/1"
    assert set(nodes(both.mnist).values()) == {"complete"}


def test_its_weights_are_those_of_a_local_run_in_the_same_image(kubeflow: Kubeflow, both: Both) -> None:
    root = f"{kubeflow.place}/local"
    given = [f"--set={setting}" for setting in MNIST]
    kubeflow.shell("millrace", "run", "mnist", f"--data={kubeflow.data('mnist')}",
                   f"--pipeline-root={root}", *given, timeout_s=RUN_S)  # fmt: skip
    published = both.mnist.answer["published"]
    assert kubeflow.weights(published) == kubeflow.weights(f"{root}/models/mnist/1")


def test_a_task_with_windows_that_runs_beside_another_one_is_published(
    kubeflow: Kubeflow, both: Both
) -> None:
    assert both.squad.code == 0, both.squad.said
    assert both.squad.answer["published"] == f"{kubeflow.place}/models/squad/1"
    assert set(nodes(both.squad).values()) == {"complete"}


def test_a_run_whose_trainers_pod_is_deleted_still_publishes(kubeflow: Kubeflow) -> None:
    started = kubeflow.start("submit", "cola", *COLA)
    run_id = started.run_id()
    checkpoints = ("find", kubeflow.place, "-path", "*unfinished*", "-name", "*.index")
    until(lambda: kubeflow.shell(*checkpoints), "a checkpoint", RUN_S)
    trainer = kubeflow.node_pod(run_id, "trainer")
    kubeflow.pods.remove(trainer, "--grace-period=0", "--force")
    ended = started.end(RUN_S)
    assert ended.code == 0, ended.said
    assert ended.answer["published"] == f"{kubeflow.place}/models/cola/1"
    log = kubeflow.ask("logs", run_id, "Trainer")
    assert "resumed at step" in log.out


def test_bad_data_fail_with_the_reason_that_the_node_had(kubeflow: Kubeflow) -> None:
    missing = f"{kubeflow.place}/data/none"
    ended = kubeflow.start("submit", "mnist", *MNIST, data=missing).end(RUN_S)
    assert ended.code == 1
    run_id = ended.answer["run_id"]
    assert f"run {run_id} failed: example-gen: {missing}: expected" in ended.last_line
    assert nodes(ended)["example-gen"] == "failed"
    assert nodes(ended)["trainer"] == "not run"


def test_runs_are_listed_and_their_nodes_logs_are_shown(kubeflow: Kubeflow, both: Both) -> None:
    run_id = both.mnist.answer["run_id"]
    listed = {run["run_id"]: run for run in kubeflow.ask("runs", "mnist", "--json").answer}
    assert (listed[run_id]["name"], listed[run_id]["state"]) == ("mnist", "SUCCEEDED")
    assert both.squad.answer["run_id"] not in listed
    log = kubeflow.ask("logs", run_id, "Pusher")
    assert f"mnist is pushed: {kubeflow.place}/models/mnist/1" in log.out


def test_a_scheduled_run_does_nothing_where_nothing_changed_until_it_is_unscheduled(
    kubeflow: Kubeflow, both: Both
) -> None:
    first = kubeflow.start("schedule", "mnist", *MNIST, cron="0 3 * * *").end(120)
    second = kubeflow.start("schedule", "mnist", *MNIST, cron="* * * * *").end(120)
    recurring = second.answer["recurring_run_id"]
    assert second.answer["replaced"] == [first.answer["recurring_run_id"]]
    found = {
        schedule["recurring_run_id"]: schedule for schedule in kubeflow.ask("schedules", "--json").answer
    }
    assert first.answer["recurring_run_id"] not in found
    assert (found[recurring]["task"], found[recurring]["image"]) == ("mnist", kubeflow.pods.image)
    run = until(lambda: ended_since(kubeflow, both.mnist.answer["run_id"]), "a scheduled run", RUN_S)
    ended = kubeflow.ask("unschedule", "mnist", f"--experiment={kubeflow.experiment}", "--json")
    # The next run may have begun.
    assert recurring in (*ended.answer["ended"], *ended.answer["disabled"])
    assert run["state"] == "SUCCEEDED"
    assert "nothing changed since version 1" in kubeflow.ask("logs", run["run_id"], "news").out
    assert kubeflow.shell("ls", f"{kubeflow.place}/models/mnist").split().count("2") == 0


def ended_since(kubeflow: Kubeflow, before: str) -> Any:
    """Returns a run of mnist that began after another one, and has ended."""
    runs = {run["run_id"]: run for run in kubeflow.ask("runs", "mnist", "--json").answer}
    later = (run for run in runs.values() if run["started"] > runs[before]["started"] and run["ended"])
    return next((run for run in later if run["state"] != "FAILED"), None)
