"""What is asked of a folder can be asked of a server: the same answers, and one line where there are none."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from components.protocols import Question
from pipelines.prediction import remote
from pipelines.prediction.predict import predict
from pipelines.prediction.remote import RefusedRequest, ServerError, connect
from pipelines.tasks.cola import COLA

pytestmark = pytest.mark.slow

TEXTS = Question("text", {"text_a": np.array([b"caf\xc3\xa9", b"\xff\x00"], object)}, ["a", "b"])
NUMBERS = Question("numbers", {"x": np.array([[0.25], [0.75]], np.float32)}, ["low", "high"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yields the addresses, by protocol, of a server that has the model "lengths"."""
    import tensorflow as tf

    def answer(scores: tf.Tensor) -> dict[str, tf.Tensor]:
        classes = tf.cast(scores > 0.5, tf.int64)
        return {
            "classes": classes,
            "labels": tf.gather(tf.constant(["short", "long"]), classes),
            "probabilities": tf.stack([1 - scores, scores], axis=1),
        }

    module = tf.Module()
    module.text = tf.function(
        lambda text_a: answer(tf.cast(tf.strings.length(text_a), tf.float32) / 8),
        [tf.TensorSpec([None], tf.string, "text_a")],
    )
    module.numbers = tf.function(lambda x: answer(x[:, 0]), [tf.TensorSpec([None, 1], tf.float32, "x")])
    base = tmp_path_factory.mktemp("lengths")
    tf.saved_model.save(module, str(base / "1"), {"text": module.text, "numbers": module.numbers})
    flags = ["--model_name=lengths", f"--model_base_path={base}", "--port=0", "--rest_api_port=-1"]
    command = [sys.executable, "-m", "components.serving", *flags]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=Path(__file__).parents[3]
    ) as process:
        assert process.stdout
        announced = (re.match(r"listening on (\S+) \((\w+)\)", line) for line in process.stdout)
        found = {line[2]: line[1] for _, line in zip(range(2), filter(None, announced), strict=False)}
        yield {"gRPC": found["gRPC"], "REST": f"http://{found['REST']}"}
        process.terminate()


@pytest.mark.parametrize("protocol", ["gRPC", "REST"])
def test_a_server_is_asked_about_numbers_and_any_bytes(server: dict[str, str], protocol: str) -> None:
    with connect(server[protocol], "lengths") as ask:
        replies = predict(COLA, [TEXTS, NUMBERS], ask)
    assert [reply.values["prediction"] for reply in replies] == ["long", "short", "short", "long"]
    probabilities = [reply.values["probability"] for reply in replies]
    assert probabilities == pytest.approx([5 / 8, 6 / 8, 0.75, 0.75])


@pytest.mark.parametrize("protocol", ["gRPC", "REST"])
def test_a_proxy_is_not_asked_for_this_machine(
    server: dict[str, str], protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with connect(server[protocol], "lengths") as ask:
        assert len(ask("text", TEXTS.inputs)["classes"]) == 2


@pytest.mark.parametrize("protocol", ["gRPC", "REST"])
def test_a_model_that_the_server_lacks_is_the_users_mistake(server: dict[str, str], protocol: str) -> None:
    with (
        pytest.raises(RefusedRequest, match=r"Servable not found for request: Latest\(other\)$"),
        connect(server[protocol], "other") as ask,
    ):
        ask("text", TEXTS.inputs)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "http://127.0.0.1:1"])
def test_a_server_that_is_not_there_is_a_failure(address: str) -> None:
    with pytest.raises(ServerError, match=r"127\.0\.0\.1:1"), connect(address, "lengths") as ask:
        ask("text", TEXTS.inputs)


@pytest.mark.parametrize(
    "address",
    ["localhost", "localhost:x", ":8500", ":", "[::1:8500", "http://", "http://[::1", "http://localhost:x"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(RefusedRequest, match="expected HOST:PORT"), connect(address, "lengths"):
        pass


def test_what_no_message_can_hold_is_refused_before_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_MAX_MESSAGE_BYTES", 10)
    # Nobody listens on port 1. Of the first, there are 7 bytes, of the second 16.
    with connect("127.0.0.1:1", "lengths") as ask:
        with pytest.raises(ServerError):
            ask("text", TEXTS.inputs)
        message = r"127\.0\.0\.1:1: expected a request of at most 10 bytes, got 16; .*--model DIR"
        with pytest.raises(RefusedRequest, match=message):
            ask("numbers", {"x": np.zeros((2, 2), np.float32)})
