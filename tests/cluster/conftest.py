"""What the tests of a real cluster have in common, and a table of what ran in the end.

`make cluster` alone collects them. KUBECONFIG names another cluster, which is left as it was found, and
MILLRACE_CLUSTER_IMAGE the image that it can pull. MILLRACE_CLUSTER_LIMIT_S is how long all may take: what
would take longer is not begun.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
from clusters import Cluster, built_programs, pipeline_image, running_cluster
from machine import LIMIT_S, Unavailable, left_s
from pods import Pods
from programs import Programs, version_of
from registry import local_overlay, publish

_PROGRAMS: Final = ("kubernetes", "etcd", "coredns", "training-operator", "prism")

collect_ignore_glob = [] if "MILLRACE_CLUSTER" in os.environ else ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def two_logical_cpus() -> None:
    """No TensorFlow here: it runs in pods."""


@pytest.fixture(scope="session")
def programs() -> Programs:
    """The programs of a cluster of one's own; beside KUBECONFIG none are built."""
    if os.environ.get("KUBECONFIG"):
        pytest.skip("expected programs that are built here, not a cluster of KUBECONFIG")
    try:
        return built_programs()
    except Unavailable as reason:
        pytest.skip(f"no programs: {reason}")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    try:
        with running_cluster() as cluster:
            yield cluster
    except Unavailable as reason:
        pytest.skip(f"no cluster: {reason}")


@pytest.fixture(scope="session")
def image(cluster: Cluster) -> str:
    """The pipeline image, which the cluster has."""
    try:
        return pipeline_image(cluster)
    except Unavailable as reason:
        pytest.skip(f"no image: {reason}")


@pytest.fixture(scope="session")
def published(cluster: Cluster, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    """The overlay `local`, whose registry has version 1 of mnist."""
    try:
        with local_overlay(cluster, image, tmp_path_factory.mktemp("local")) as pods:
            publish(pods)
            yield pods
    except Unavailable as reason:
        pytest.skip(str(reason))


class _Result(NamedTuple):
    """How a test ended, after how long, and why it failed or did not run."""

    outcome: str = "passed"
    seconds: float = 0.0
    why: str = ""


_RESULTS: Final = pytest.StashKey[dict[str, _Result]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"takes(minutes): is not begun when less of {LIMIT_S} is left")
    config.stash[_RESULTS] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    marker = item.get_closest_marker("takes")
    if marker is not None and left_s() < 60 * marker.args[0]:
        pytest.skip(f"expected {marker.args[0]} minutes, {left_s() / 60:.0f} are left")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    results = item.config.stash[_RESULTS]
    before = results.get(item.nodeid, _Result())
    result = before._replace(seconds=before.seconds + report.duration)
    if report.failed:
        result = result._replace(outcome="failed", why=_why(report))
    elif report.skipped:
        result = result._replace(outcome="not run", why=_why(report).removeprefix("Skipped: "))
    results[item.nodeid] = result
    return report


def _why(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr).partition("\n")[0]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    results = config.stash[_RESULTS]
    if not results:
        return
    versions = ", ".join(f"{program} {version_of(program)}" for program in _PROGRAMS)
    terminalreporter.section("the cluster of KUBECONFIG" if os.environ.get("KUBECONFIG") else versions)
    for name, result in results.items():
        test = name.partition("::")[2].removeprefix("test_").replace("_", " ")
        terminalreporter.line(f"{result.outcome:8}{result.seconds:6.0f} s  {test}")
        if result.why:
            terminalreporter.line(f"{'':18}{result.why}")
    outcomes = [result.outcome for result in results.values()]
    counts = [f"{outcomes.count(kind)} {kind}" for kind in ("passed", "failed", "not run")]
    terminalreporter.line(", ".join(counts))
