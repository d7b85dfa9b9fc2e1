"""The job that retrains."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from manifests import Pod, Rendered, render


@pytest.fixture(params=["overlays/gpu", "overlays/object-store"])
def rendered(request: pytest.FixtureRequest) -> Rendered:
    return render(request.param)


@pytest.fixture
def pod(rendered: Rendered) -> Pod:
    return rendered.pod("CronJob/retraining")


@pytest.mark.parametrize(("code", "of_the_job"), [(0, 0), (10, 0), (1, 1), (2, 2)])
def test_a_job_that_finds_nothing_changed_succeeds(
    pod: Pod, tmp_path: Path, code: int, of_the_job: int
) -> None:
    assert run_job(pod, tmp_path, code).returncode == of_the_job


def test_the_profile_is_named_only_if_there_is_one(pod: Pod, tmp_path: Path) -> None:
    asked = "retrain mnist --if-changed --data /d --image i:1 --host http://k"
    token = "--token-file /var/run/secrets/kubeflow/pipelines/token\n"
    assert run_job(pod, tmp_path, 0).stdout == f"{asked} {token}"
    assert run_job(pod, tmp_path, 0, KFP_NAMESPACE="me").stdout == f"{asked} --namespace me {token}"


def run_job(pod: Pod, folder: Path, code: int, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs the container's command with a `millrace` that says what it was asked."""
    (folder / "millrace").write_text(f'#!/bin/sh\necho "$@"\nexit {code}\n')
    (folder / "millrace").chmod(0o755)
    settings = {"TASK": "mnist", "DATA": "/d", "IMAGE": "i:1", "KFP_HOST": "http://k", **more}
    command = [*pod.containers[0]["command"], *pod.containers[0]["args"]]
    environment = {"PATH": f"{folder}:/usr/bin:/bin", **settings}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)


def test_two_jobs_never_run_at_once_and_mistakes_are_not_repeated(rendered: Rendered) -> None:
    spec = rendered.named("CronJob", "retraining")["spec"]
    (rule,) = spec["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [2])


def test_every_variable_of_the_command_is_set(rendered: Rendered, pod: Pod) -> None:
    (container,) = pod.containers
    used = set(re.findall(r'"\$([A-Z_]+)"', container["args"][0]))
    given = set(rendered.settings("retraining")) | {variable["name"] for variable in container["env"]}
    assert used == {"TASK", "DATA", "IMAGE", "KFP_HOST", "KFP_NAMESPACE"}
    assert used <= given


def test_a_run_has_the_image_of_the_job(pod: Pod) -> None:
    (container,) = pod.containers
    assert {"name": "IMAGE", "value": container["image"]} in container["env"]


def test_the_token_is_where_the_job_reads_it(pod: Pod) -> None:
    (container,) = pod.containers
    (path,) = re.findall(r"--token-file ([^\s;]+)", container["args"][0])
    (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "pipelines-token")
    (volume,) = (volume for volume in pod.spec["volumes"] if volume["name"] == "pipelines-token")
    token = volume["projected"]["sources"][0]["serviceAccountToken"]
    assert path == f"{mount['mountPath']}/{token['path']}"


def test_the_job_may_reach_the_pipelines_that_it_asks(rendered: Rendered) -> None:
    host = urlsplit(rendered.settings("retraining")["KFP_HOST"])
    rules = rendered.named("NetworkPolicy", "retraining")["spec"]["egress"]
    (rule,) = (rule for rule in rules if "to" in rule)
    namespace = rule["to"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    assert f"ml-pipeline.{namespace}" == host.hostname
    assert rule["ports"] == [{"port": host.port}]
