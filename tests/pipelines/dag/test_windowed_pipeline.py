"""A task whose examples are longer than its model's input, from raw files to a published model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from signals_task import LENGTH, SIGNAL, SIGNALS, STRIDE, WIDTH, Overlapping, WindowModel, write_signals

from components.progress import Board
from components.protocols import Asking, Evaluation, Given, Model, Windowing
from components.windows.fold import fold
from pipelines.dag.settings import RunConfig
from pipelines.prediction.predict import load, predict, questions
from pipelines.runs import launch
from pipelines.tasks import get_task

pytestmark = pytest.mark.slow


def numpy_fold(values: list[float], network: Any) -> float:
    """The mean of what the network says of each window, one by one."""
    starts = [0]
    while starts[-1] + WIDTH < len(values):
        starts.append(starts[-1] + STRIDE)
    padded = np.pad(np.array(values, np.float32), (0, WIDTH))
    return float(np.mean([network(padded[start : start + WIDTH]) for start in starts]))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("signals")


@pytest.fixture(scope="module")
def report(root: Path) -> Any:
    (root / "data").mkdir()
    write_signals(root / "data")
    config = RunConfig(
        data_dir=str(root / "data"), pipeline_root=str(root / "root"), models_dir=str(root / "models")
    )
    # Transform and the Trainer find it where it is, as pods do.
    return launch.launch(get_task("signals_task:SIGNALS"), config, {})


def test_the_parts_fit_their_protocols() -> None:
    assert isinstance(SIGNALS.windowing, Windowing)
    assert isinstance(SIGNALS.model, Model)
    assert isinstance(SIGNALS.evaluation, Evaluation)
    assert isinstance(SIGNALS.asking, Asking)


@pytest.mark.parametrize("per_call", [1, 3, 100])
def test_a_fold_in_a_graph_is_the_one_in_numpy(per_call: int) -> None:
    import tensorflow as tf

    model = WindowModel().build()
    signals = [list(range(1, size + 1)) for size in (1, 8, 9, 12, 13, 40)]
    features = {
        SIGNAL: tf.ragged.constant(signals, tf.float32).to_tensor(),
        LENGTH: tf.constant([len(signal) for signal in signals], tf.int64),
    }
    answer = tf.function(lambda: fold(Overlapping(per_call=per_call), features, lambda w: model(w["window"])))
    kernel, bias = (weight.numpy() for weight in model.weights)
    expected = [numpy_fold(signal, lambda w: (w @ kernel + bias)[0]) for signal in signals]
    np.testing.assert_allclose(answer()["score"], expected, rtol=1e-5, atol=1e-5)


def test_the_model_is_trained_on_windows_blessed_canaried_and_published(report: Any) -> None:
    assert report.blessed
    assert report.canary_reason is None
    assert report.pushed_version == 1
    result = json.loads(Path(report.evaluation_dir, "metrics.json").read_text())
    assert result["metrics"]["right"] >= 0.85
    assert result["num_examples"] == 60
    assert result["num_right"] == round(60 * result["metrics"]["right"])
    page = Path(report.evaluation_dir, "report.html").read_text()
    assert f"<h2>Signs</h2>\n<p>{result['num_right']} right</p>" in page


def test_served_answers_are_those_of_a_fold_in_numpy(report: Any) -> None:
    signals = [np.sin(np.arange(size)).round(3).tolist() for size in (1, 8, 9, 40)]
    texts = [" ".join(map(str, signal)) for signal in signals]
    replies = predict(SIGNALS, questions(SIGNALS, Given(texts)), load(SIGNALS, report.pushed_dir))
    kernel, bias = _weights(report.pushed_dir)
    expected = [numpy_fold(signal, lambda w: (w @ kernel + bias)[0]) for signal in signals]
    assert [reply.values["score"] for reply in replies] == pytest.approx(expected, abs=1e-5)


def test_a_model_tells_of_its_windows_beside_signatures_that_answer_alike(report: Any) -> None:
    import tensorflow as tf

    model = tf.saved_model.load(report.pushed_dir)
    text = tf.constant([" ".join(["0.5"] * 40)])
    served = model.signatures["spaced"](text=text)
    assert model.windows.numpy().tolist() == [0, 0]
    watched = model.watched["spaced"]({"text": text})
    np.testing.assert_array_equal(watched["score"], served["score"])
    # Nine windows, three a call: six are done before the last one.
    assert model.windows.numpy().tolist() == [6, 9]


def test_windows_are_on_the_board_while_a_question_is_answered(
    report: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Told(Board):
        def __setattr__(self, name: str, value: Any) -> None:
            if name == "windows" and value is None and getattr(self, "windows", None):
                told.append(self.windows())
            super().__setattr__(name, value)

    told: list[tuple[int, int]] = []
    monkeypatch.setattr("pipelines.prediction.predict.BOARD", Told())
    asked = questions(SIGNALS, Given([" ".join(["0.5"] * 40)]))
    predict(SIGNALS, asked, load(SIGNALS, report.pushed_dir))
    # As they were when the answer was there.
    assert told == [(6, 9)]


def _weights(model_dir: str) -> list[np.ndarray]:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(f"{model_dir}/variables/variables")
    shapes = reader.get_variable_to_shape_map()
    named = {tuple(shape): name for name, shape in shapes.items() if name.startswith("weights")}
    return [reader.get_tensor(named[(WIDTH, 1)]), reader.get_tensor(named[(1,)])]
