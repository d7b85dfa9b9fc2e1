"""GitHub's workflows: safe settings, and commands that the command line has."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import pytest
import typer
import yaml
from manifests import ROOT, render

from pipelines.cli.main import app

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
# What every project has that `millrace init` writes.
PROJECT = ROOT / "pipelines/projects/templates/common"
OF_A_PROJECT = PROJECT / ".github/workflows/ci.yml.template"


@pytest.fixture(params=[*WORKFLOWS, OF_A_PROJECT], ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param != OF_A_PROJECT:
        return Path(request.param)
    written = tmp_path / "ci.yml"
    written.write_text(Template(OF_A_PROJECT.read_text()).substitute())
    return written


def jobs(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text())["jobs"])


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(path).values() for step in job["steps"]]


def test_a_workflow_may_do_nothing_and_a_job_what_it_says(path: Path) -> None:
    assert yaml.safe_load(path.read_text())["permissions"] == {}
    for job in jobs(path).values():
        assert job["permissions"]["contents"] == "read"
        assert job["timeout-minutes"] <= 360


def test_actions_are_pinned_by_commit(path: Path) -> None:
    used = [line.split("uses: ")[1] for line in path.read_text().splitlines() if "uses: " in line]
    assert used
    assert [line for line in used if not re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v[\d.]+", line)] == []


def test_a_checkout_leaves_no_credentials_behind(path: Path) -> None:
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_scripts_take_values_from_variables_alone(path: Path) -> None:
    # An expression would be pasted into the script, whatever it holds.
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


def test_a_project_is_tested_in_a_stage_that_its_image_has() -> None:
    workflow = yaml.safe_load(Template(OF_A_PROJECT.read_text()).substitute())
    # The image is no secret, and nobody's in particular.
    assert workflow["jobs"]["test"]["env"] == {"IMAGE": "${{ vars.MILLRACE_IMAGE }}"}
    build, run = (step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step)
    assert build == 'docker build --build-arg "IMAGE=$IMAGE" --target tests --tag tests .'
    assert run == "docker run --rm --network none tests"
    dockerfile = (PROJECT / "Dockerfile.template").read_text()
    assert "\nARG IMAGE=" in dockerfile
    assert "\nFROM $${IMAGE} AS tests\n" in dockerfile


def test_the_gate_runs_on_both_stacks() -> None:
    gate = jobs(ROOT / ".github/workflows/ci.yml")["gate"]
    pythons = gate["strategy"]["matrix"]["python"]
    assert pythons[0] == (ROOT / ".python-version").read_text().strip()
    assert pythons[1:] == ["3.13"]
    assert [step["run"] for step in gate["steps"] if "run" in step] == [".ci/run"]


def test_every_image_has_its_dockerfile() -> None:
    included = jobs(ROOT / ".github/workflows/images.yml")["image"]["strategy"]["matrix"]["include"]
    assert {image["file"] for image in included} == {
        str(path.relative_to(ROOT)) for path in (ROOT / "docker").rglob("Dockerfile")
    }


def test_what_the_serving_image_copies_is_in_its_build_context() -> None:
    ignored = (ROOT / "docker/serving/Dockerfile.dockerignore").read_text().split()
    assert ignored == ["*", "!k8s/base/*.config"]


@pytest.mark.parametrize(
    ("code", "of_the_step", "says"),
    [
        (0, 0, "Retraining of mnist: trained"),
        (10, 0, "Retraining of mnist: nothing changed, no run"),
        (2, 2, "Retraining of mnist: failed with exit code 2"),
    ],
)
def test_the_retraining_reports_and_passes_on_how_it_went(
    tmp_path: Path, code: int, of_the_step: int, says: str
) -> None:
    (script,) = (
        step["run"] for step in steps(ROOT / ".github/workflows/retrain.yml") if "report" in str(step)
    )
    docker, summary = tmp_path / "bin/docker", tmp_path / "summary.md"
    docker.parent.mkdir(parents=True)
    # The code that is compared is the image's.
    docker.write_text(
        f'#!/bin/sh\n[ "$1" = pull ] && exit 0\n'
        'case "$*" in *"/token:/run/token:ro i:1 retrain mnist --if-changed "*) ;; *) exit 3;; esac\n'
        f'cat "{tmp_path}/token"; echo " was the token"\nexit {code}\n'
    )
    docker.chmod(0o755)
    given = {"TASK": "mnist", "DATA": "/d", "IMAGE": "i:1", "KFP_HOST": "http://k", "KFP_TOKEN": "abc"}
    path = f"{docker.parent}:{os.environ['PATH']}"
    runner = {"RUNNER_TEMP": str(tmp_path), "GITHUB_STEP_SUMMARY": str(summary), "PATH": path}
    # As GitHub runs a step.
    step = subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env={**given, **runner}, timeout=20)
    assert step.returncode == of_the_step
    assert summary.read_text() == f"## {says}\n```text\nabc was the token\n```\n"
    assert not (tmp_path / "token").exists()


def called(text: str) -> Iterator[list[str]]:
    """Yields the arguments of each call of `millrace` in a script or a document."""
    for arguments in re.findall(r"(?:^|[/`]|\$ )millrace ([^`\n]+)", text.replace("\\\n", " "), re.MULTILINE):
        yield shlex.split(re.split(r"[;|&]|\d?>", arguments)[0])


def test_calls_are_found_in_scripts_and_documents() -> None:
    script = '.venv/bin/millrace run "$TASK" \\\n  --json >report 2>&1 || code=$?\n'
    assert list(called(script)) == [["run", "$TASK", "--json"]]
    assert list(called("$ millrace runs\nthe millrace is\n`millrace tasks` lists\n")) == [["runs"], ["tasks"]]


def every_call() -> list[list[str]]:
    scripts = [step.get("run", "") for path in WORKFLOWS for step in steps(path)]
    job = render("overlays/gpu").pod("CronJob/retraining").containers[0]["args"][0]
    return [call for text in (*scripts, job, (ROOT / "docs/cluster.md").read_text()) for call in called(text)]


def test_every_call_has_a_verb_and_options_that_exist() -> None:
    verbs: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    calls = every_call()
    named = {"logs", "predict", "retrain", "rollback", "runs", "schedules", "unschedule"}
    assert named == {verb for verb, *_ in calls}
    unknown = set()
    for verb, *arguments in calls:
        # Of a group of verbs, those of any.
        takers = (verbs[verb], *getattr(verbs[verb], "commands", {}).values())
        known = {name for taker in takers for parameter in taker.params for name in parameter.opts}
        unknown |= {argument for argument in arguments if argument.startswith("--")} - known
    assert not unknown


def test_the_overlays_of_the_document_exist() -> None:
    document = (ROOT / "docs/cluster.md").read_text()
    named = set(re.findall(r"kubectl apply -k (\S+)", document))
    assert named
    assert all((ROOT / folder / "kustomization.yaml").exists() for folder in named)
    rows = set(re.findall(r"^\| `([a-z-]+)` \|", document, re.MULTILINE))
    assert rows == {path.name for path in (ROOT / "k8s/overlays").iterdir()}
