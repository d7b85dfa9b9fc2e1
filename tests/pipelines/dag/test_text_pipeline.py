"""The whole DAG on a few sentences, from TSV files to a published model that takes strings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.features import LABEL, LENGTH, PADDING_MASK, SEGMENT_IDS, TEXT_A, TEXT_B, TOKEN_IDS
from components.models.bert.classifier import BertClassifier
from components.protocols import Given
from pipelines.dag import nodes
from pipelines.prediction.predict import load, predict, questions
from pipelines.tasks import TASKS

pytestmark = pytest.mark.slow

PAIRS = [
    ("A cat sat.", "It sat <b>down</b>."),
    ("Ein großer Hund", "ein Hund"),
    ("我 爱你", "naïve \U0001f600"),
]


@pytest.fixture(scope="module")
def report(mnli_run: Any) -> Any:
    return mnli_run


def test_every_node_runs_and_a_model_is_published(report: Any) -> None:
    assert [node.state for node in report.nodes] == ["complete"] * len(nodes.NODES)
    assert (report.blessed, report.canary_reason, report.pushed_version) == (True, None, 1)
    assert set(report.seeds["values"]) == {"0", "1"}


def test_matched_and_mismatched_are_slices_of_the_evaluation(report: Any) -> None:
    import json

    result = json.loads(Path(report.evaluation_dir, "metrics.json").read_text(encoding="utf-8"))
    slices = [part["slice"] for part in result["slices"]]
    assert {"domain": "matched"} in slices
    assert {"domain": "mismatched"} in slices
    assert {LENGTH: "1-32"} in slices
    assert result["class_names"] == ["contradiction", "entailment", "neutral"]
    page = Path(report.evaluation_dir, "report.html").read_text(encoding="utf-8")
    assert "It sat <b>" not in page


def test_strings_tokens_and_examples_are_answered_alike(report: Any) -> None:
    import tensorflow as tf

    signatures = tf.saved_model.load(report.pushed_dir).signatures
    texts = dict(zip((TEXT_A, TEXT_B), map(list, zip(*PAIRS, strict=True)), strict=True))
    answers = signatures["text"](**{key: tf.constant(value) for key, value in texts.items()})
    assert set(answers) == {"classes", "labels", "probabilities"}
    names = np.array(TASKS["mnli"].source.labels, object)
    assert [name.decode() for name in answers["labels"].numpy()] == list(names[answers["classes"].numpy()])
    # A request carries neither a label nor what is for slices alone.
    examples = [_example(*pair).SerializeToString() for pair in PAIRS]
    again = signatures["serving_default"](examples=tf.constant(examples))
    np.testing.assert_array_equal(again["probabilities"], answers["probabilities"])
    warm_up = {log.model_spec.signature_name: log for log in _warm_up(report.pushed_dir)}
    tokens, strings = (
        {key: tf.constant(tf.make_ndarray(value)) for key, value in warm_up[name].inputs.items()}
        for name in ("tokens", "text")
    )
    assert set(tokens) == {TOKEN_IDS, SEGMENT_IDS, PADDING_MASK}
    np.testing.assert_allclose(
        signatures["tokens"](**tokens)["probabilities"],
        signatures["text"](**strings)["probabilities"],
        atol=1e-5,
    )


def test_no_text_of_the_data_is_published(report: Any) -> None:
    import tensorflow as tf

    warm_up = {log.model_spec.signature_name: log for log in _warm_up(report.pushed_dir)}
    asked = {key: set(tf.make_ndarray(value)) for key, value in warm_up["text"].inputs.items()}
    assert set(asked) == {TEXT_A, TEXT_B}
    assert not asked[TEXT_A] & {pair[0].encode() for pair in PAIRS}
    assert not asked[TEXT_B] & {pair[1].encode() for pair in PAIRS}


def test_rows_of_a_file_are_asked_about(report: Any, tmp_path: Path) -> None:
    rows = tmp_path / "pairs.tsv"
    rows.write_text("\n".join("\t".join(pair) for pair in PAIRS) + "\n", encoding="utf-8")
    task = TASKS["mnli"]
    replies = predict(task, questions(task, Given((), rows)), load(task, report.pushed_dir))
    assert [reply.name for reply in replies] == [" | ".join(pair) for pair in PAIRS]
    assert {reply.values["prediction"] for reply in replies} <= set(task.source.labels)


@pytest.mark.parametrize("kind", ["google", "huggingface"])
def test_the_trained_encoder_can_be_taken_elsewhere(report: Any, kind: str) -> None:
    folder = Path(report.pushed_dir, "assets.extra", kind)
    task = TASKS["mnli"].override({"model": {"init_checkpoint": str(folder)}})
    model, vocabulary = task.model, task.preprocessing.vocabulary
    assert isinstance(model, BertClassifier)
    assert model.encoder_config.hidden_dim == 16
    assert vocabulary is not None
    saved = Path(report.pushed_dir, "assets", "vocabulary.txt").read_text(encoding="utf-8")
    assert Path(vocabulary).read_text(encoding="utf-8") == saved
    # Its weights fit, or this would raise.
    model.initialize(model.build())


def _example(text_a: str, text_b: str) -> Any:
    import tensorflow as tf

    features = {
        key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))
        for key, text in ((TEXT_A, text_a), (TEXT_B, text_b))
    }
    assert LABEL not in features
    return tf.train.Example(features=tf.train.Features(feature=features))


def _warm_up(model_dir: str) -> list[Any]:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    records = tf.data.TFRecordDataset(f"{model_dir}/assets.extra/tf_serving_warmup_requests")
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records.as_numpy_iterator()]
    return [log.predict_log.request for log in logs]
