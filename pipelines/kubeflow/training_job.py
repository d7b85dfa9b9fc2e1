"""Training on several hosts: a TFJob whose pods train together, followed to its end.

One task of Kubeflow Pipelines is one pod. That pod puts the inputs where all pods see them, creates a TFJob
(github.com/kubeflow/training-operator), whose operator starts the workers with TF_CONFIG, and hands on what
they leave.
"""

from __future__ import annotations

import copy
import json
import os
import posixpath
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from absl import logging

from components import files
from components.errors import Failure
from pipelines.kubeflow.artifacts import local_path
from pipelines.kubeflow.node import NodeSpec

GROUP: Final = "kubeflow.org"
VERSION: Final = "v1"
PLURAL: Final = "tfjobs"
_NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

Json = dict[str, Any]


class JobFailed(Failure):
    """The pods that train together did not get to the end."""


def run(node: NodeSpec, executor_input: Json, run_id: str, poll_s: float = 10.0) -> None:
    """Has a TFJob run the node, and writes KFP's `outputFile`; raises JobFailed.

    Whatever ends this process also ends the job, unless it is killed outright: then the job goes with its
    owner, this pod.
    """
    stage = posixpath.join(node.stage_dir, run_id or "run", node.id)
    files.remove_tree(stage)
    staged = _staged(executor_input, stage)
    _copy_inputs(executor_input, staged)
    try:
        _run_job(_manifest(node, staged, run_id), poll_s)
        _copy_outputs(executor_input, staged)
    finally:
        with suppress(OSError):
            files.remove_tree(stage)


def _staged(executor_input: Json, stage: str) -> Json:
    """Returns KFP's words with every place beneath `stage`."""
    staged = copy.deepcopy(executor_input)
    for side in ("inputs", "outputs"):
        for key, found in staged.get(side, {}).get("artifacts", {}).items():
            for index, artifact in enumerate(found["artifacts"]):
                artifact.pop("customPath", None)
                artifact["uri"] = posixpath.join(stage, side, key, str(index))
    staged["outputs"]["outputFile"] = posixpath.join(stage, "executor_output.json")
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


def _manifest(node: NodeSpec, staged: Json, run_id: str) -> Json:
    manifest: Json = copy.deepcopy(node.job or {})
    # A name of our own: who is ended while the API server answers knows what to delete.
    name = f"millrace-{node.id.lower()}-{uuid.uuid4().hex[:8]}"
    manifest["metadata"] |= {"name": name, "ownerReferences": _owners()}
    worker = node.model_copy(update={"job": None, "remote": True, "data_input": None})
    (container,) = manifest["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"]
    container["args"] = ["--executor_input", json.dumps(staged), "--run_id", run_id,
                         "--node", worker.to_json()]  # fmt: skip
    return manifest


def _owners() -> list[Json]:
    """Returns this pod, by the variables that KFP sets, as what the job must not outlive."""
    name, uid = os.environ.get("KFP_POD_NAME"), os.environ.get("KFP_POD_UID")
    return [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}] if name and uid else []


def _run_job(manifest: Json, poll_s: float) -> None:
    from kubernetes import client, config

    if "KUBERNETES_SERVICE_HOST" in os.environ:
        config.load_incluster_config()
    else:
        config.load_kube_config()
    namespace = _namespace()
    api = client.CustomObjectsApi()
    where = {"group": GROUP, "version": VERSION, "namespace": namespace, "plural": PLURAL}
    name = manifest["metadata"]["name"]
    what = f"TFJob {namespace}/{name}"
    try:
        _create(lambda: api.create_namespaced_custom_object(body=manifest, **where), namespace)
        logging.info("%s is created", what)
        _follow(lambda: api.get_namespaced_custom_object(name=name, **where), what, poll_s)
    finally:
        with suppress(client.ApiException):
            api.delete_namespaced_custom_object(name=name, **where)


def _create(create: Callable[[], Json], namespace: str) -> None:
    from kubernetes import client

    try:
        create()
    except client.ApiException as error:
        raise JobFailed(
            f"TFJob in {namespace}: cannot be created: {error.status} {_message(error)}"
        ) from error


def _follow(get: Callable[[], Json], what: str, poll_s: float) -> None:
    """Returns when the job has succeeded; raises JobFailed if it does not."""
    seen = ""
    while True:
        status = get().get("status", {})
        conditions = [c for c in status.get("conditions", []) if c.get("status") == "True"]
        last = conditions[-1] if conditions else {"type": "Created", "message": ""}
        line = f"{last['type']}, workers {json.dumps(status.get('replicaStatuses', {}).get('Worker', {}))}"
        if line != seen:
            logging.info("%s: %s", what, line)
            seen = line
        kinds = {condition["type"] for condition in conditions}
        if "Succeeded" in kinds:
            return
        if "Failed" in kinds:
            raise JobFailed(f"{what}: {last.get('message') or 'failed'}; its pods' logs say more")
        time.sleep(poll_s)


def _namespace() -> str:
    if _NAMESPACE_FILE.is_file():
        return _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    return os.environ.get("KFP_NAMESPACE", "kubeflow")


def _message(error: Any) -> str:
    """Returns what the API server says, in one line."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
