"""Training on several hosts: a TFJob whose pods train together, followed to its end.

One task of Kubeflow Pipelines is one pod. That pod puts the inputs where all pods see them, creates a TFJob
(github.com/kubeflow/training-operator), whose operator starts the workers with TF_CONFIG, and hands on what
they leave. Job and folder have the names of run and node, so that whoever is tried again finds what a killed
one left, and ends that first.
"""

from __future__ import annotations

import copy
import json
import os
import posixpath
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from absl import logging

from components import files
from components.errors import Failure
from components.trainer import unfinished
from pipelines.kubeflow import cluster_api
from pipelines.kubeflow.artifacts import local_path
from pipelines.kubeflow.node import NodeSpec, run_id, task_name
from pipelines.kubeflow.workers import Workers

# For which the operator may be behind with ending a job at its deadline.
_GRACE_S: Final = 600.0
# In which a job is made, or is gone with its pods, on a cluster that works.
_CHANGE_S: Final = 1800.0
_CLEANING_S: Final = 120.0
_CLEANING_POLL_S: Final = 0.5
_WARNING_EVERY_S: Final = 600.0

# Statuses of HTTP that are an answer: wrong, not allowed, not known, there already.
_REFUSALS: Final = (400, 403, 404, 409, 422)
_CONFLICT: Final = 409

Json = dict[str, Any]
_Answer = TypeVar("_Answer")


class JobFailed(Failure):
    """The pods that train together did not get to the end."""


def run(node: NodeSpec, executor_input: Json, poll_s: float = 10.0) -> None:
    """Has a TFJob run the node, and writes KFP's `outputFile`; raises JobFailed.

    Whatever ends this process also ends the job, unless it is killed outright: then another attempt does, or
    the job's deadline.
    """
    run_name, task = run_id(node.id, executor_input["outputs"]["outputFile"]), task_name(node.id)
    stage = posixpath.join(node.stage_dir, run_name)
    unfinished.sweep(node.stage_dir, run_name)
    staged = _staged(executor_input, stage, task)
    job = _Job(_manifest(node, staged, f"{task}-{run_name}"), node.start_timeout_s, poll_s)
    # Before anything of another attempt's is touched.
    job.remove()
    try:
        files.remove_tree(stage)
        _copy_inputs(executor_input, staged)
        job.create()
        job.follow()
        _copy_outputs(executor_input, staged)
    finally:
        _clean(job, stage)


def _staged(executor_input: Json, stage: str, task: str) -> Json:
    """Returns KFP's words with every place beneath `stage`, which is named by the run."""
    staged = copy.deepcopy(executor_input)
    for side in ("inputs", "outputs"):
        for key, found in staged.get(side, {}).get("artifacts", {}).items():
            for index, artifact in enumerate(found["artifacts"]):
                artifact.pop("customPath", None)
                artifact["uri"] = posixpath.join(stage, task, side, key, str(index))
    staged["outputs"]["outputFile"] = posixpath.join(stage, task, "executor_output.json")
    return staged


def _copy_inputs(executor_input: Json, staged: Json) -> None:
    for given, target in _pairs(executor_input, staged, "inputs"):
        _copy(given.get("customPath") or local_path(given["uri"]), target["uri"])


def _copy_outputs(executor_input: Json, staged: Json) -> None:
    """Brings what the job wrote to where KFP expects it, and its report with KFP's own URIs in it."""
    report = files.read_text(staged["outputs"]["outputFile"])
    for given, source in _pairs(executor_input, staged, "outputs"):
        _copy(source["uri"], given.get("customPath") or local_path(given["uri"]))
        report = report.replace(source["uri"], given["uri"])
    files.write_text(executor_input["outputs"]["outputFile"], report)


def _pairs(executor_input: Json, staged: Json, side: str) -> list[tuple[Json, Json]]:
    given, other = (document.get(side, {}).get("artifacts", {}) for document in (executor_input, staged))
    return [
        pair for key in given for pair in zip(given[key]["artifacts"], other[key]["artifacts"], strict=True)
    ]


def _copy(source: str, target: str) -> None:
    """Copies a folder, where there is one."""
    if files.exists(source):
        files.copy_tree(source, target)


def _clean(job: _Job, stage: str) -> None:
    """Ends the job and removes the stage, again for as long as workers that are ending write there."""
    end = time.monotonic() + _CLEANING_S
    is_gone = False
    while not is_gone and time.monotonic() < end:
        with suppress(*cluster_api.NO_ANSWER):
            is_gone = job.is_gone()
        with suppress(OSError):
            files.remove_tree(stage)
        if not is_gone:
            time.sleep(_CLEANING_POLL_S)


def _manifest(node: NodeSpec, staged: Json, name: str) -> Json:
    manifest: Json = copy.deepcopy(node.job or {})
    manifest["metadata"] |= {"name": name, "ownerReferences": _owners()}
    worker = node.model_copy(
        update={"job": None, "remote": True, "data_input": None, "stage_dir": "", "start_timeout_s": 0}
    )
    (container,) = manifest["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"]
    container["args"] = ["--executor_input", json.dumps(staged), "--node", worker.to_json()]
    return manifest


def _owners() -> list[Json]:
    """Returns this pod, by the variables that KFP sets, as what the job must not outlive."""
    name, uid = os.environ.get("KFP_POD_NAME"), os.environ.get("KFP_POD_UID")
    return [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}] if name and uid else []


class _Job:
    """One TFJob, from its creation to its end."""

    def __init__(self, manifest: Json, start_timeout_s: float, poll_s: float) -> None:
        self._manifest, self._poll_s = manifest, poll_s
        self._start_timeout_s = start_timeout_s
        self._name = manifest["metadata"]["name"]
        self._what = f"TFJob {cluster_api.namespace()}/{self._name}"
        replicas = manifest["spec"]["tfReplicaSpecs"]["Worker"]["replicas"]
        self._workers = Workers(self._name, replicas, cluster_api.follow_log)
        self._longest_s = manifest["spec"]["runPolicy"]["activeDeadlineSeconds"] + _GRACE_S
        self._told, self._told_waiting_s = "", 0.0

    def create(self) -> None:
        """Creates the job, in place of one of the name; raises JobFailed where that is refused."""
        try:
            self._ask(lambda: cluster_api.create_job(self._manifest), _CHANGE_S, _REFUSALS)
        except cluster_api.NO_ANSWER as error:
            if getattr(error, "status", None) != _CONFLICT:
                raise JobFailed(f"{self._what}: cannot be created: {cluster_api.explained(error)}") from error
            self.remove()
            self.create()
            return
        logging.info("%s is created", self._what)

    def remove(self) -> None:
        """Returns when there is no job of the name, and no pod of it; raises JobFailed."""
        end = time.monotonic() + _CHANGE_S
        try:
            while not self._ask(self.is_gone, _CHANGE_S, _REFUSALS):
                if time.monotonic() > end:
                    raise JobFailed(f"{self._what}: is not gone {_CHANGE_S / 60:.0f} min after its deletion")
                time.sleep(self._poll_s)
        except cluster_api.NO_ANSWER as error:
            raise JobFailed(f"{self._what}: {cluster_api.explained(error)}") from error

    def is_gone(self) -> bool:
        """Has the job deleted, if it is there, and returns whether it and its pods are gone."""
        if cluster_api.read_job(self._name) is not None:
            cluster_api.delete_job(self._name)
            return False
        return not cluster_api.list_pods(self._name)

    def follow(self) -> None:
        """Returns when the job has succeeded; raises JobFailed if it does not."""
        end = time.monotonic() + self._longest_s
        while time.monotonic() < end:
            found = self._read(end)
            if found is None:
                raise self._failure("was deleted")
            self._look_at_workers()
            conditions = self._conditions(found)
            if "Succeeded" in conditions:
                return
            if "Failed" in conditions:
                raise self._failure(conditions["Failed"] or "failed")
            self._check_start()
            time.sleep(self._poll_s)
        raise self._failure("has not ended at its deadline")

    def _conditions(self, job: Json) -> dict[str, str]:
        """Returns the messages of what holds of the job, by kind, and logs what is new."""
        status = job.get("status", {})
        conditions = [c for c in status.get("conditions", []) if c.get("status") == "True"]
        kinds = {condition["type"]: condition.get("message", "") for condition in conditions}
        counts = json.dumps(status.get("replicaStatuses", {}).get("Worker", {}))
        line = f"{next(reversed(kinds), 'Created')}, workers {counts}"
        if line != self._told:
            logging.info("%s: %s", self._what, line)
            self._told = line
        return kinds

    def _look_at_workers(self) -> None:
        try:
            self._workers.see(cluster_api.list_pods(self._name))
        except cluster_api.NO_ANSWER as error:
            logging.warning("%s: its pods cannot be listed: %s", self._what, cluster_api.explained(error))

    def _check_start(self) -> None:
        """Says now and then that workers wait for a place; raises JobFailed when they did for too long."""
        waiting_s = self._workers.waiting_s
        if waiting_s > self._start_timeout_s:
            raise JobFailed(f"{self._what}: {self._workers.waiting}")
        self._told_waiting_s = min(self._told_waiting_s, waiting_s)
        if waiting_s - self._told_waiting_s > _WARNING_EVERY_S:
            logging.warning("%s: %s", self._what, self._workers.waiting)
            self._told_waiting_s = waiting_s

    def _failure(self, message: str) -> JobFailed:
        return JobFailed(f"{self._what}: {message}; {self._workers.last_words()}")

    def _read(self, end: float) -> Json | None:
        """Returns the job, None where there is none: neither silence nor a refusal says that it has ended."""
        try:
            return cluster_api.outlasting(lambda: cluster_api.read_job(self._name), self._what, end)
        except cluster_api.NO_ANSWER as error:
            raise self._failure(f"no answer to the end: {cluster_api.explained(error)}") from error

    def _ask(self, call: Callable[[], _Answer], longest_s: float, answers: tuple[int, ...]) -> _Answer:
        return cluster_api.outlasting(call, self._what, time.monotonic() + longest_s, answers)
