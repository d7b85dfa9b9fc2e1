"""What is read of a SavedModel without TensorFlow, held against one that TensorFlow wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.export.saved_model import WARMUP_FILE, prediction_log
from pipelines.dashboard import saved_models
from pipelines.dashboard.saved_models import Signature, Spec


class Model(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 28, 28], tf.float32, name="image")])
    def classify(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"classes": tf.argmax(image[:, 0], -1), "pixels": tf.reduce_sum(image, [1, 2])}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.string, name="examples")])
    def default(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"examples": tf.identity(examples)}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    model = Model()
    tf.saved_model.save(model, str(folder), {"serving_default": model.default, "classify": model.classify})
    (folder / "assets.extra").mkdir()
    texts = np.array(["Rôme".encode(), b"\xff"], object)
    images = np.arange(2 * 28 * 28, dtype=np.float32).reshape(2, 28, 28)
    with tf.io.TFRecordWriter(str(folder / WARMUP_FILE)) as writer:
        for signature, inputs in (
            ("classify", {"image": images}),
            ("serving_default", {"examples": texts}),
            ("classify", {"image": images[:1] + 1}),
        ):
            writer.write(prediction_log("mnist", signature, inputs, {}).SerializeToString())
    return folder


def test_signatures_have_names_types_and_shapes_that_of_examples_last(model_dir: Path) -> None:
    assert saved_models.signatures(model_dir) == [
        Signature(
            "classify",
            [Spec("image", "float32", "[?, 28, 28]")],
            [Spec("classes", "int64", "[?]"), Spec("pixels", "float32", "[?]")],
        ),
        Signature(
            "serving_default", [Spec("examples", "string", "[…]")], [Spec("examples", "string", "[…]")]
        ),
    ]


def test_of_each_signature_the_first_recorded_request_is_read(model_dir: Path) -> None:
    found = saved_models.warmup_requests(model_dir)
    assert found.keys() == {"classify", "serving_default"}
    image = found["classify"]["image"]
    assert (image.dtype, image.shape, image[1, 0, 1]) == (np.float32, (2, 28, 28), 785.0)
    assert found["serving_default"]["examples"].tolist() == ["Rôme".encode(), b"\xff"]


@pytest.mark.parametrize("content", [b"", b"\x01", b"\x12\x05ab", b"\xff" * 12, b"\x12\x02\x2a\x7f"])
def test_what_is_no_saved_model_has_no_signatures(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "saved_model.pb").write_bytes(content)
    assert saved_models.signatures(tmp_path) == []
    assert saved_models.warmup_requests(tmp_path) == {}
    assert saved_models.signatures(tmp_path / "none") == []


def test_the_process_of_the_pages_loads_no_tensorflow(model_dir: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from pipelines.dashboard import app, saved_models\n"
        f"folder = Path({str(model_dir)!r})\n"
        "assert saved_models.signatures(folder) and saved_models.warmup_requests(folder)\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
