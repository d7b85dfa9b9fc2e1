"""The overlay `local` with this project's model server: it answers, also while its pods are replaced."""

from __future__ import annotations

import json

import pytest
from kubectl import until
from pods import Pods, line_with
from registry import DIGIT

pytestmark = pytest.mark.takes(6)

SERVER = "app.kubernetes.io/name=model-server"
DEPLOYMENT = "deployment/model-server"
# As many requests as a rolling update lasts, each by a connection of its own, for SECONDS at the most.
LOAD = """
import base64, collections, json, pathlib, signal, sys, time, urllib.request
SECONDS, DIGIT = int(sys.argv[1]), pathlib.Path(sys.argv[2]).read_bytes()
body = {"signature_name": "png", "inputs": {"png_bytes": [{"b64": base64.b64encode(DIGIT).decode()}]}}
url, counts, goes_on = "http://model-server:8501/v1/models/mnist:predict", collections.Counter(), [True]
signal.signal(signal.SIGTERM, lambda *_: goes_on.clear())
end = time.monotonic() + SECONDS
while goes_on and time.monotonic() < end:
    try:
        with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=20) as answer:
            counts[str(answer.status)] += 1
    except OSError as error:
        counts[str(error)] += 1
    time.sleep(0.1)
print("counts", json.dumps(counts), flush=True)
"""


def test_a_pod_asks_the_server_and_hears_what_the_model_says(published: Pods) -> None:
    published("rollout", "status", DEPLOYMENT, "--timeout=300s", timeout_s=320)
    here = ask(published, "ask-model", "--pipeline-root=/millrace")
    assert ask(published, "ask-grpc", "--server=model-server:8500") == here
    assert ask(published, "ask-rest", "--server=http://model-server:8501") == here


def ask(pods: Pods, name: str, where: str) -> str:
    """Returns what `millrace predict` says of a digit in a pod of that name."""
    said = pods.run(name, ["millrace", "predict", "mnist", DIGIT, where], 300)
    return line_with("Prediction is", said)


@pytest.mark.takes(8)
def test_no_request_fails_while_the_deployment_is_rolled_over(published: Pods) -> None:
    published("rollout", "status", DEPLOYMENT, "--timeout=300s", timeout_s=320)
    (before,) = published.names(SERVER)
    published.start("load", ["python", "-c", LOAD, "600", DIGIT])
    until(lambda: published.phase("load") == "Running", "the load", 120)
    published("rollout", "restart", DEPLOYMENT)
    published("rollout", "status", DEPLOYMENT, "--timeout=400s", timeout_s=420)
    until(lambda: before not in remaining(published), f"the end of {before}", 180)
    published("exec", "load", "--", "sh", "-c", "kill -TERM 1")
    assert published.end_of("load", 60) == "Succeeded"
    counts = json.loads(line_with("counts", published.log("load")).partition(" ")[2])
    assert counts.keys() == {"200"}
    assert counts["200"] > 100


def remaining(pods: Pods) -> list[str]:
    """Returns the names of the server's pods, also of those that are leaving."""
    return [pod["metadata"]["name"] for pod in pods.get("pods", f"--selector={SERVER}")["items"]]


@pytest.mark.takes(5)
def test_an_evicted_pod_is_followed_by_one_that_answers(published: Pods) -> None:
    published("rollout", "status", DEPLOYMENT, "--timeout=300s", timeout_s=320)
    (before,) = published.names(SERVER)
    published.evict(before)
    until(lambda: published.names(SERVER) not in ([], [before]), "a pod in its place", 60)
    (after,) = published.names(SERVER)
    published("wait", "--for=condition=Ready", f"pod/{after}", "--timeout=300s", timeout_s=320)
    assert ask(published, "ask-again", "--server=model-server:8500")
