"""TFJobs (github.com/kubeflow/training-operator) and their pods, by the Kubernetes API.

Every call is made with the account's token as it is then: the kubelet writes a new one each hour.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from absl import logging
from kubernetes import client, config
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

_NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_JOBS: Final = {"group": "kubeflow.org", "version": "v1", "plural": "tfjobs"}
# By which the operator marks a job's pods.
_JOB_LABEL: Final = "training.kubeflow.org/job-name"
_CONTAINER: Final = "tensorflow"

# Seconds to connect, and between two parts of an answer.
_TIMEOUT_S: Final = (10, 60)
# One that is silent for longer is read anew.
_LOG_TIMEOUT_S: Final = (10, 3600)
_LONGEST_WAIT_S: Final = 60.0

# What a call raises that gets no answer: ConfigException while the token is being written.
NO_ANSWER: Final = (ApiException, HTTPError, config.ConfigException, OSError)

Json = dict[str, Any]
_Answer = TypeVar("_Answer")


def namespace() -> str:
    """Returns where this pod is; outside of a pod what KFP_NAMESPACE says."""
    if _NAMESPACE_FILE.is_file():
        return _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    return os.environ.get("KFP_NAMESPACE", "kubeflow")


def create_job(manifest: Json) -> None:
    """Creates a TFJob; ApiException."""
    with _client() as api:
        client.CustomObjectsApi(api).create_namespaced_custom_object(
            namespace=namespace(), body=manifest, _request_timeout=_TIMEOUT_S, **_JOBS
        )


def read_job(name: str) -> Json | None:
    """Returns a TFJob, None where there is none; ApiException."""
    with _client() as api, _absent_is_none():
        return dict(
            client.CustomObjectsApi(api).get_namespaced_custom_object(
                name=name, namespace=namespace(), _request_timeout=_TIMEOUT_S, **_JOBS
            )
        )
    return None


def delete_job(name: str) -> None:
    """Has a TFJob deleted, if there is one, and its pods after it; ApiException."""
    with _client() as api, _absent_is_none():
        client.CustomObjectsApi(api).delete_namespaced_custom_object(
            name=name, namespace=namespace(), _request_timeout=_TIMEOUT_S, **_JOBS
        )


def list_pods(job: str) -> list[Any]:
    """Returns a TFJob's pods (V1Pod); ApiException."""
    with _client() as api:
        found = client.CoreV1Api(api).list_namespaced_pod(
            namespace(), label_selector=f"{_JOB_LABEL}={job}", _request_timeout=_TIMEOUT_S
        )
    return list(found.items)


def follow_log(pod: str, num_lines: int) -> Iterator[str]:
    """Yields the last lines that a pod has written, and those that it writes until its container ends."""
    with _client() as api:
        answer = client.CoreV1Api(api).read_namespaced_pod_log(
            pod, namespace(), container=_CONTAINER, follow=True, tail_lines=num_lines,
            _preload_content=False, _request_timeout=_LOG_TIMEOUT_S,
        )  # fmt: skip
        rest = b""
        for part in answer.stream():
            *lines, rest = (rest + part).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
        if rest:
            yield rest.decode(errors="replace")


def outlasting(call: Callable[[], _Answer], what: str, end: float, answers: tuple[int, ...] = ()) -> _Answer:
    """Returns what a call returns, which is made again, less and less often, until there is an answer.

    What it raises after `end` of time.monotonic, or with a status that is an answer, is raised here.
    """
    wait_s = 1.0
    while True:
        try:
            return call()
        except NO_ANSWER as error:
            if getattr(error, "status", None) in answers or time.monotonic() > end:
                raise
            logging.warning("%s: %s; asked again in %.0f s", what, explained(error), wait_s)
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def explained(error: Exception) -> str:
    """Returns what went wrong, in the API server's words if it has any, in one line."""
    if not isinstance(error, ApiException):
        return " ".join(str(error).split())
    try:
        return f"{error.status} {json.loads(error.body)['message']}"
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"


@contextmanager
def _client() -> Iterator[client.ApiClient]:
    configuration = client.Configuration()
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        config.load_incluster_config(configuration)
    else:
        config.load_kube_config(client_configuration=configuration)
    with client.ApiClient(configuration) as api:
        yield api


@contextmanager
def _absent_is_none() -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        if error.status != 404:
            raise
