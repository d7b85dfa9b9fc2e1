"""Questions to real SavedModels, through a form and a process of its own."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import tensorflow as tf
from dashboard_support import ORIGIN, token
from PIL import Image
from starlette.testclient import TestClient

from components.registry import registry
from pipelines.dashboard.app import Places, make_app

pytestmark = pytest.mark.slow


class _Brightness(tf.Module):
    """Says 1 of a picture that is mostly bright, and 0 of one that is mostly dark, or the other way round."""

    def __init__(self, bright: int) -> None:
        super().__init__()
        self._bright = bright

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def png(self, png_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        mean = tf.map_fn(
            lambda png: tf.reduce_mean(tf.cast(tf.io.decode_png(png, 1), tf.float32)) / 255,
            png_bytes,
            fn_output_signature=tf.float32,
        )
        return self._answer(mean)

    @tf.function(input_signature=[tf.TensorSpec([None, 28, 28], tf.float32, name="image")])
    def classify(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._answer(tf.reduce_mean(image, axis=[1, 2]))

    def _answer(self, mean: tf.Tensor) -> dict[str, tf.Tensor]:
        shares = tf.stack([1 - mean, mean], axis=-1)
        shares = shares if self._bright else shares[:, ::-1]
        return {"classes": tf.argmax(shares, -1), "probabilities": shares}


class _FirstWord(tf.Module):
    """Answers every question with the first word of the context, as the task squad does."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)] * 2)
    def answer(self, question: tf.Tensor, context: tf.Tensor) -> dict[str, tf.Tensor]:
        word = tf.strings.regex_replace(context, " .*", "")
        end = tf.cast(tf.strings.length(word, unit="UTF8_CHAR"), tf.int64)
        zero, share = tf.zeros_like(end), tf.fill(tf.shape(end), 0.75)
        one = {"answer": word, "best_answer": word, "score": share, "start": zero, "end": end,
               "null_odds": share, "is_impossible": tf.fill(tf.shape(end), False), "null_start_logit": share,
               "null_end_logit": share}  # fmt: skip
        best = {"answers": word, "scores": share, "starts": zero, "ends": end, "start_logits": share,
                "end_logits": share}  # fmt: skip
        return {**one, **{f"n_best_{name}": value[:, tf.newaxis] for name, value in best.items()}}


def publish(module: tf.Module, task: str, signatures: Sequence[str], folder: Path) -> None:
    saved = folder / f"{task}-{len(list(folder.iterdir()))}"
    tf.saved_model.save(module, str(saved), {name: getattr(module, name) for name in signatures})
    registry.publish(str(saved), str(folder / "models"), task, metrics={}, source={}, keep_versions=5)


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    publish(_Brightness(1), "mnist", ["png", "classify"], folder)
    publish(_Brightness(0), "mnist", ["png", "classify"], folder)
    publish(_FirstWord(), "squad", ["answer"], folder)
    return folder / "models"


@pytest.fixture(scope="module")
def client(models_dir: Path) -> Iterator[TestClient]:
    app = make_app(Places(str(models_dir.parent), str(models_dir)), ["127.0.0.1:8600"])
    # Entered, so that the process that asks ends with it.
    with TestClient(app, base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
        yield client


def picture(grey: int, size: tuple[int, int] = (28, 28)) -> bytes:
    content = io.BytesIO()
    Image.new("L", size, grey).save(content, "PNG")
    return content.getvalue()


def answers(page: str) -> list[str]:
    return re.findall(r'<p class="sentence">(.*?)</p>', page)


def ask(client: TestClient, path: str, fields: dict[str, str], png: bytes | None = None) -> str:
    fields = {"token": token(client.get(path).text), **fields}
    files = {"file": ("digit.png", png)} if png is not None else {"file": ("", b"")}
    return client.post(path, data=fields, files=files).text


def test_a_drawing_is_answered_by_the_live_version(client: TestClient) -> None:
    drawn = "data:image/png;base64," + base64.b64encode(picture(51)).decode()
    page = ask(client, "/ask/mnist", {"drawing": drawn})
    # 51 of 255 is 0.2; version 2 has it the other way round.
    assert answers(page) == ["Prediction is &#34;1&#34; (80.0%)."]
    assert '<meter min="0" max="1" value="0.8000" aria-label="1">' in page


def test_what_the_answer_hangs_on_is_drawn(client: TestClient) -> None:
    page = ask(client, "/ask/mnist?version=1", {"why": "on"}, picture(255))
    # All squares of a white picture count alike.
    assert page.count('<rect class="h4"') == 49
    assert "<title>+2.0%</title>" in page
    assert "<rect class=" not in ask(client, "/ask/mnist?version=1", {}, picture(255))


def test_two_versions_answer_a_file_beside_one_another(client: TestClient) -> None:
    page = ask(client, "/ask/mnist?version=1&against=2", {}, picture(51))
    assert re.findall(r"<h2>(Version \d)</h2>", page) == ["Version 1", "Version 2"]
    assert answers(page) == ["Prediction is &#34;0&#34; (80.0%).", "Prediction is &#34;1&#34; (80.0%)."]


def test_the_answer_is_marked_in_the_text(client: TestClient) -> None:
    fields = {"input-0": "Who fell?", "context": "Röm<b> fell in 476."}
    page = ask(client, "/ask/squad", fields)
    assert answers(page)[0].startswith("Answer is &#34;Röm&lt;b&gt;&#34; (75.0%)")
    assert "<blockquote><mark>Röm&lt;b&gt;</mark> fell in 476.</blockquote>" in page
    # What was asked stays in the form.
    assert "Who fell?</textarea>" in page


def test_the_form_begins_with_something_to_ask(client: TestClient) -> None:
    assert "Who crossed the river?</textarea>" in client.get("/ask/squad").text


def test_what_a_model_cannot_take_is_told_in_one_line(client: TestClient) -> None:
    page = ask(client, "/ask/mnist", {}, b"no picture")
    assert "digit.png: expected a PNG image, got: a file that begins with b&#39;no pictu&#39;" in page


def test_what_was_made_of_a_picture_is_told(client: TestClient) -> None:
    page = ask(client, "/ask/mnist", {}, picture(10, (56, 56)))
    assert "digit.png: resized from 56×56 to 28×28" in page


def test_nothing_asked_is_refused(client: TestClient) -> None:
    assert "expected a drawing or a file, got none" in ask(client, "/ask/mnist", {})
    assert "expected question, got nothing but white space" in ask(client, "/ask/squad", {"input-0": " "})
    assert "no published model of cola" in client.get("/ask/cola").text


def test_a_file_is_written_nowhere_but_in_a_folder_of_its_own(client: TestClient, tmp_path: Path) -> None:
    fields = {"token": token(client.get("/ask/mnist").text)}
    name = f"../../../../../../..{tmp_path}/out.png"
    client.post("/ask/mnist", data=fields, files={"file": (name, picture(1))})
    assert list(tmp_path.iterdir()) == []


def test_the_process_that_asks_can_die_and_comes_back(client: TestClient) -> None:
    import multiprocessing

    for process in multiprocessing.active_children():
        process.kill()
    page = ask(client, "/ask/mnist", {}, picture(51))
    if "the process that asks the model ended" in page:
        page = ask(client, "/ask/mnist", {}, picture(51))
    assert answers(page) == ["Prediction is &#34;1&#34; (80.0%)."]
