from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.asking.images import ImageAsking
from components.errors import UserError
from components.protocols import Given, Question, Reply, Request
from components.transform.images import ImageScaling
from pipelines.prediction.predict import (
    PredictError,
    PredictFailed,
    load,
    predict,
    published_model,
    questions,
    recording,
)
from pipelines.tasks.mnist import MNIST


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that answers with the number of the white row: by 99.5%, or 90% where the row is grey."""
    import tensorflow as tf

    scaling = ImageScaling()

    def answer(raw: dict[str, Any]) -> dict[str, Any]:
        brightness = tf.reduce_mean(scaling.preprocessing_fn(raw)["image"], axis=2)[:, :10]
        classes = tf.argmax(brightness, axis=1)
        sure = tf.where(tf.reduce_max(brightness, axis=1) > 0.9, 0.995, 0.9)
        others = (1 - sure) / 9
        return {
            "classes": classes,
            "probabilities": others[:, None] + tf.one_hot(classes, 10) * (sure - others)[:, None],
        }

    def signature(request: Request) -> Any:
        ((key, spec),) = request.inputs.items()
        return tf.function(lambda value: answer(request.to_raw({key: value})), input_signature=[spec])

    signatures = {name: signature(request) for name, request in scaling.requests().items()}
    folder = tmp_path_factory.mktemp("model")
    tf.saved_model.save(tf.Module(), str(folder), signatures=signatures)
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "millrace.json").write_text(json.dumps({"task": "mnist"}))
    return str(folder)


def _digit(row: int, value: int = 255) -> np.ndarray:
    image = np.zeros((28, 28), np.uint8)
    image[row] = value
    return image


def ask(task: Any, paths: list[Path], model_dir: str) -> list[Reply]:
    asked = questions(task, Given([str(path) for path in paths]))
    return predict(task, asked, load(task, model_dir))


def _sure(label: str) -> dict[str, Any]:
    # The other nine share what is left.
    shares = {
        digit: pytest.approx(0.995 if digit == label else 0.005 / 9, rel=1e-4) for digit in "0123456789"
    }
    return {"prediction": label, "probability": pytest.approx(0.995), "probabilities": shares}


def test_a_png_is_answered(tmp_path: Path, model_dir: str) -> None:
    path = tmp_path / "five.png"
    Image.fromarray(_digit(5)).save(path)
    (answer,) = ask(MNIST, [path], model_dir)
    assert answer.name == str(path)
    assert answer.values == _sure("5")


def test_every_image_of_an_array_is_answered_in_order_over_many_calls(tmp_path: Path, model_dir: str) -> None:
    path = tmp_path / "digits.npy"
    np.save(path, np.stack([_digit(i % 10, 255 if i % 2 else 100) for i in range(300)]))
    answers = ask(MNIST, [path], model_dir)
    assert [int(answer.values["prediction"]) for answer in answers] == [i % 10 for i in range(300)]
    assert answers[299].name == f"{path}[299]"
    assert answers[299].values == _sure("9")
    assert answers[298].values["probability"] == pytest.approx(0.9)


def test_floats_and_several_files_are_answered(tmp_path: Path, model_dir: str) -> None:
    np.save(tmp_path / "a.npy", _digit(3) / 255)
    Image.fromarray(_digit(4)).convert("RGBA").save(tmp_path / "b.png")
    answers = ask(MNIST, [tmp_path / "a.npy", tmp_path / "b.png"], model_dir)
    assert [answer.values["prediction"] for answer in answers] == ["3", "4"]


def test_all_files_are_checked_before_a_model_is_looked_for(tmp_path: Path) -> None:
    Image.fromarray(_digit(5)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"b\.png: no such file"):
        ask(MNIST, [tmp_path / "a.png", tmp_path / "b.png"], str(tmp_path / "nowhere"))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.npy"
    np.save(path, _digit(1))
    return path


def test_a_folder_without_a_model_is_named(tmp_path: Path, image: Path) -> None:
    with pytest.raises(
        PredictError, match=r"nowhere: expected a SavedModel, but there is no saved_model\.pb"
    ):
        ask(MNIST, [image], str(tmp_path / "nowhere"))


def test_a_model_of_another_task_is_refused(tmp_path: Path, image: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"")
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "millrace.json").write_text('{"task": "cola"}')
    with pytest.raises(PredictError, match="expected a model of task 'mnist', got one of 'cola'"):
        ask(MNIST, [image], str(tmp_path))


def test_a_model_that_does_not_load_is_a_failure(tmp_path: Path, image: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\xff not a protobuf")
    with pytest.raises(PredictFailed, match="cannot be loaded: "):
        ask(MNIST, [image], str(tmp_path))


def test_a_model_without_the_signature_lists_its_signatures(tmp_path: Path, image: Path) -> None:
    import tensorflow as tf

    folder = str(tmp_path / "model")
    identity = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(tf.Module(), folder, signatures={"other": identity})
    with pytest.raises(PredictError, match="no signature 'classify'; known: other"):
        ask(MNIST, [image], folder)


def test_a_file_of_rows_is_never_ignored(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--pairs .*rows.tsv: expected a .png, .jpg or .npy file"):
        questions(MNIST, Given((), tmp_path / "rows.tsv"))


def test_without_a_published_model_the_command_that_makes_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        PredictError, match=r"no published model of 'mnist' in .*`millrace run mnist --data DIR`"
    ):
        published_model(str(tmp_path), "mnist")


def test_the_live_version_is_asked(tmp_path: Path, model_dir: str) -> None:
    from components.registry import registry

    registry.publish(model_dir, str(tmp_path), "mnist", metrics={}, source={}, keep_versions=5)
    assert published_model(str(tmp_path), "mnist") == str(tmp_path / "mnist" / "1")


def test_replies_go_to_files_and_a_picture_as_they_come(tmp_path: Path) -> None:
    added: list[tuple[str, Reply]] = []

    class Drawing(ImageAsking):
        def fitted_to(self, source: Any, preprocessing: Any) -> Drawing:
            return self

        def is_file(self, out: Path) -> bool:
            return True

        @contextlib.contextmanager
        def writing(self, out: Path, names: Sequence[str]) -> Iterator[Any]:
            assert names == ["a", "b", "c"]
            yield lambda reply: added.append((out.name, reply))

        @contextlib.contextmanager
        def drawing(self, path: Path) -> Iterator[Any]:
            yield lambda reply: added.append((path.name, reply))

    task = MNIST.model_copy(update={"asking": Drawing()})
    asked = [Question("classify", {}, ["a", "b"]), Question("classify", {}, ["c"])]
    reply = Reply("a", {}, "", {})
    with recording(task, asked, tmp_path / "new" / "out.x", tmp_path / "picture.png") as record:
        record(reply)
    assert added == [("out.x", reply), ("picture.png", reply)]
    # The folder of a file is made, and no folder of its name.
    assert [path.name for path in tmp_path.rglob("*")] == ["new"]


@pytest.mark.parametrize(
    ("out", "picture", "message"),
    [
        ("out", None, "--out out: expected a task whose answers other tools read, got mnist"),
        (None, "a.png", "--picture a.png: expected a task whose answers are drawn, got mnist"),
    ],
)
def test_answers_that_nobody_writes_or_draws_are_refused(
    out: str | None, picture: str | None, message: str
) -> None:
    paths = [Path(name) if name else None for name in (out, picture)]
    with pytest.raises(PredictError, match=message), recording(MNIST, [], *paths):
        pass
