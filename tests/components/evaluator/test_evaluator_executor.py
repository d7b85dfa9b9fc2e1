"""Models whose answers are written down here, run through the real executor."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from components.evaluator.files import load_metrics
from components.evaluator.settings import EvaluationSettings
from components.features import IMAGE, LABEL, Feature
from components.metrics.classification import ImageClassification
from components.reference import Reference
from components.task import AtLeast

Answers = Sequence[Sequence[float]]
METRICS = ("accuracy", "precision_by_class", "recall_by_class", "confusion_matrix")
MULTI_PROCESSING = [
    "--runner=DirectRunner",
    "--direct_running_mode=multi_processing",
    "--direct_num_workers=2",
]


class Evaluated(NamedTuple):
    folder: Path
    result: dict[str, Any]
    blessing: Any


def settings(metrics: tuple[str, ...] = METRICS, num_classes: int = 3, **changes: Any) -> EvaluationSettings:
    values = {
        "task": "digits",
        "example_split": "eval",
        "features": {
            IMAGE: Feature(dtype="bytes"),
            LABEL: Feature(dtype="int64", minimum=0, maximum=num_classes - 1, served=False),
        },
        "evaluation": Reference.to(
            ImageClassification(metrics=metrics, num_classes=num_classes, image_shape=(2, 2))
        ),
        "slices": (LABEL,),
        "blessing": AtLeast(metric="accuracy", threshold=0.5),
    }
    return EvaluationSettings(**{**values, **changes})


def write_examples(uri: Path, labels: Sequence[int]) -> None:
    """Example i is a 2×2 image whose four pixels are i."""
    import tensorflow as tf

    path = uri / "Split-eval" / "data_tfrecord-00000-of-00001.gz"
    path.parent.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(path), options="GZIP") as writer:
        for index, label in enumerate(labels):
            image = tf.train.Feature(bytes_list=tf.train.BytesList(value=[bytes([index] * 4)]))
            number = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
            features = tf.train.Features(feature={IMAGE: image, LABEL: number})
            writer.write(tf.train.Example(features=features).SerializeToString())


def export_model(uri: Path, answers: Answers) -> None:
    """A SavedModel that gives the probabilities `answers[i]` to example i."""
    import tensorflow as tf

    class Lookup(tf.Module):
        def __init__(self):
            super().__init__()
            self.answers = tf.constant(answers, tf.float32)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def serve(self, examples):
            raw = tf.io.parse_example(examples, {IMAGE: tf.io.FixedLenFeature([], tf.string)})
            index = tf.cast(tf.io.decode_raw(raw[IMAGE], tf.uint8)[:, 0], tf.int32)
            probabilities = tf.gather(self.answers, index)
            return {"classes": tf.argmax(probabilities, -1), "probabilities": probabilities}

        @tf.function(input_signature=[tf.TensorSpec([None, 2, 2], tf.float32, name=IMAGE)])
        def classify(self, image):
            return {"classes": tf.zeros(tf.shape(image)[0], tf.int64)}

    model = Lookup()
    signatures = {"serving_default": model.serve, "classify": model.classify}
    tf.saved_model.save(model, str(uri / "Format-Serving"), signatures)


def sure(predicted: Sequence[int], num_classes: int = 3, probability: float = 0.8) -> Answers:
    """Probabilities that put `probability` on each predicted class."""
    answers = np.full((len(predicted), num_classes), (1 - probability) / (num_classes - 1))
    answers[np.arange(len(predicted)), predicted] = probability
    return answers.tolist()


def in_process() -> Any:
    import apache_beam as beam
    from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

    return beam.Pipeline(runner=FnApiRunner())


def in_two_processes() -> Any:
    import apache_beam as beam

    return beam.Pipeline(argv=MULTI_PROCESSING)


def evaluate(
    root: Path,
    labels: Sequence[int],
    answers: Answers,
    baseline: Answers | None = None,
    make_pipeline: Callable[[], Any] = in_process,
    **changes: Any,
) -> Evaluated:
    """Runs the executor as TFX does; `baseline` are the answers of the last blessed model."""
    from tfx.proto.orchestration import pipeline_pb2
    from tfx.types import artifact_utils, standard_artifacts

    from components.evaluator.executor import Executor

    def artifact(kind: Any, name: str, number: int) -> Any:
        made = kind()
        made.uri, made.id = str(root / name), number
        Path(made.uri).mkdir()
        return made

    examples = artifact(standard_artifacts.Examples, "examples", 1)
    examples.split_names = artifact_utils.encode_split_names(["train", "eval"])
    write_examples(root / "examples", labels)
    inputs = {"examples": [examples], "model": [artifact(standard_artifacts.Model, "model", 2)]}
    export_model(root / "model", answers)
    if baseline is not None:
        inputs["baseline_model"] = [artifact(standard_artifacts.Model, "baseline", 3)]
        export_model(root / "baseline", baseline)
    evaluation = artifact(standard_artifacts.ModelEvaluation, "evaluation", 4)
    blessing = artifact(standard_artifacts.ModelBlessing, "blessing", 5)
    outputs = {"evaluation": [evaluation], "blessing": [blessing]}
    properties = {"settings": settings(**changes).model_dump_json()}
    node = pipeline_pb2.PipelineNode(node_info=pipeline_pb2.NodeInfo(id="Evaluator"))
    context = Executor.Context(make_beam_pipeline_fn=make_pipeline, pipeline_node=node)
    Executor(context).Do(inputs, outputs, properties)
    return Evaluated(Path(evaluation.uri), load_metrics(evaluation.uri), blessing)


@pytest.fixture(scope="module")
def three_of_four(tmp_path_factory) -> Evaluated:
    """Labels 0 0 1 2, answers 0 1 1 2, and a threshold of exactly 3/4."""
    root = tmp_path_factory.mktemp("three_of_four")
    return evaluate(
        root,
        [0, 0, 1, 2],
        sure([0, 1, 1, 2]),
        metrics=("accuracy", "cross_entropy", "precision_by_class", "recall_by_class", "confusion_matrix"),
        blessing=AtLeast(metric="accuracy", threshold=0.75),
    )


def test_metrics_worked_by_hand(three_of_four):
    result = three_of_four.result
    assert result["num_examples"] == 4
    assert result["confusion_matrix"] == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert result["metrics"] == {
        "accuracy": 0.75,
        "cross_entropy": pytest.approx(-(3 * math.log(0.8) + math.log(0.1)) / 4),
        "precision_by_class": [1.0, 0.5, 1.0],
        "recall_by_class": [0.5, 1.0, 1.0],
    }
    assert result["baseline_metrics"] is None


def test_a_slice_has_its_own_count_and_metrics(three_of_four):
    slices = three_of_four.result["slices"]
    assert [part["slice"] for part in slices] == [{"label": 0}, {"label": 1}, {"label": 2}]
    assert [part["count"] for part in slices] == [2, 1, 1]
    assert [part["metrics"]["accuracy"] for part in slices] == [0.5, 1.0, 1.0]


def test_a_threshold_exactly_met_blesses_although_a_slice_is_below(three_of_four):
    assert three_of_four.result["blessed"] is True
    assert three_of_four.result["reasons"] == []


def test_a_metric_that_does_not_exist_blesses_nothing_and_is_never_the_worst_slice(tmp_path):
    evaluated = evaluate(
        tmp_path,
        [0, 0, 1],
        sure([0, 1, 1]),
        baseline=sure([0, 0, 1]),
        metrics=("matthews_corrcoef", "accuracy"),
        blessing=AtLeast(metric="matthews_corrcoef", threshold=-1.0, max_drop=1.0),
    )
    # Of 0 0 1 and 0 1 1: (2·3 - (2·1 + 1·2)) / sqrt((9 - 5)·(9 - 5)).
    assert evaluated.result["metrics"]["matthews_corrcoef"] == pytest.approx(0.5)
    assert [part["metrics"]["matthews_corrcoef"] for part in evaluated.result["slices"]] == [None, None]
    report = (evaluated.folder / "report.html").read_text()
    assert report.index("label = 0") > report.index("Slices, worst first")
    assert "<td>label = 0</td><td>2</td><td>–</td><td>0.5000</td>" in report


def test_one_class_alone_has_no_correlation_and_is_not_blessed(tmp_path):
    blessing = AtLeast(metric="matthews_corrcoef", threshold=-1.0)
    result = evaluate(
        tmp_path, [0, 0], sure([0, 1]), metrics=("matthews_corrcoef",), blessing=blessing
    ).result
    assert result["reasons"] == ["matthews_corrcoef does not exist on the examples of split 'eval'"]
    assert result["metrics"] == {"matthews_corrcoef": None}


def test_the_interval_is_that_of_a_bootstrap_and_pairs_both_models(tmp_path):
    labels = [0] * 200
    evaluated = evaluate(
        tmp_path, labels, sure([0] * 180 + [1] * 20), baseline=sure([0] * 180 + [1] * 20), slices=()
    )
    low, high = evaluated.result["intervals"]["metric"]
    # The standard error of 0.9 of 200 is sqrt(0.9·0.1/200) = 0.0212; 1.96 times that on each side.
    assert (low, high) == pytest.approx((0.9 - 0.0416, 0.9 + 0.0416), abs=0.012)
    # Equal answers to equal examples: no replicate tells the two apart.
    assert evaluated.result["intervals"]["difference"] == [0.0, 0.0]
    assert f"{low:.4f} to {high:.4f}" in (evaluated.folder / "report.html").read_text()


def test_the_blessing_is_what_tfx_looks_for(three_of_four):
    blessing = three_of_four.blessing
    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_int_custom_property("current_model_id") == 2
    assert blessing.get_string_custom_property("current_model").endswith("/model")
    assert blessing.get_string_custom_property("component_id") == "Evaluator"
    assert not blessing.has_custom_property("baseline_model")
    assert [path.name for path in Path(blessing.uri).iterdir()] == ["BLESSED"]


def test_tfma_reads_its_own_files_beside_ours(three_of_four):
    import tensorflow_model_analysis as tfma

    names = {path.name for path in three_of_four.folder.iterdir()}
    assert {"metrics.json", "worst.json", "intervals.json", "report.html", "eval_config.json"} <= names
    assert not any(name.endswith(".part") for name in names)
    overall = dict(tfma.load_eval_result(str(three_of_four.folder)).slicing_metrics)[()]
    assert overall[""][""]["accuracy"] == {"doubleValue": 0.75}


def test_the_mistake_is_kept_with_its_picture(three_of_four):
    picture = ImageClassification(image_shape=(2, 2)).picture({IMAGE: bytes([1] * 4)})
    (mistake,) = json.loads((three_of_four.folder / "worst.json").read_text())
    assert mistake == {"badness": pytest.approx(0.8), "html": f"{picture}is 0, said 1 (80.0%)"}
    assert mistake["html"] in (three_of_four.folder / "report.html").read_text()


def test_how_each_example_is_answered_is_kept_for_comparisons(three_of_four):
    badness = json.loads((three_of_four.folder / "answers.json").read_text())["badness"]
    assert sorted(badness.values()) == [0.0, 0.0, 0.0, pytest.approx(0.8)]
    (wrong,) = (key for key, value in badness.items() if value)
    (mistake,) = json.loads((three_of_four.folder / "worst.json").read_text())
    # The key is the example's own: another model's file has it, too.
    assert json.loads((three_of_four.folder / "mistakes.json").read_text()) == {wrong: mistake["html"]}


def test_below_the_threshold_is_not_blessed(tmp_path):
    blessing = AtLeast(metric="accuracy", threshold=0.7501)
    evaluated = evaluate(tmp_path, [0, 0, 1, 2], sure([0, 1, 1, 2]), blessing=blessing)
    assert evaluated.result["reasons"] == ["accuracy 0.7500 is below 0.7501"]
    assert evaluated.result["blessed"] is False
    assert evaluated.blessing.get_int_custom_property("blessed") == 0
    assert [path.name for path in Path(evaluated.blessing.uri).iterdir()] == ["NOT_BLESSED"]


def test_a_drop_of_exactly_the_margin_is_allowed(tmp_path):
    # 0.955 - 0.95 is 0.0050000000000000044 in floating point.
    labels = [0] * 200
    evaluated = evaluate(
        tmp_path,
        labels,
        sure([0] * 190 + [1] * 10),
        baseline=sure([0] * 191 + [1] * 9),
        blessing=AtLeast(metric="accuracy", threshold=0.5, max_drop=0.005),
    )
    assert evaluated.result["reasons"] == []
    assert evaluated.result["metrics"]["accuracy"] == 0.95
    assert evaluated.result["baseline_metrics"]["accuracy"] == 0.955
    assert evaluated.blessing.get_int_custom_property("baseline_model_id") == 3
    assert evaluated.blessing.get_string_custom_property("baseline_model").endswith("/baseline")


def test_a_greater_drop_is_not_allowed_and_both_reasons_are_given(tmp_path):
    evaluated = evaluate(
        tmp_path,
        [0, 0, 1, 2],
        sure([1, 1, 1, 2]),
        baseline=sure([0, 1, 1, 2]),
        blessing=AtLeast(metric="accuracy", threshold=0.6, max_drop=0.2),
    )
    assert sorted(evaluated.result["reasons"]) == [
        "accuracy 0.500 is 0.250 under the last blessed model's 0.750 (allowed 0.200)",
        "accuracy 0.500 is below 0.600",
    ]


def test_nan_is_never_blessed_and_never_counted_as_right(tmp_path):
    answers = sure([0, 0, 1, 2])
    answers[0] = [math.nan] * 3
    answers[2] = [0.0, math.inf, 0.0]
    evaluated = evaluate(
        tmp_path,
        [0, 0, 1, 2],
        answers,
        metrics=("accuracy", "cross_entropy", "recall_by_class"),
        slices=(),
        blessing=AtLeast(metric="accuracy", threshold=0.0),
    )
    assert evaluated.result["reasons"] == ["2 of 4 predictions hold NaN or infinity"]
    assert evaluated.result["metrics"] == {
        "accuracy": 0.5,
        "cross_entropy": None,
        "recall_by_class": [0.5, 0.0, 1.0],
    }
    assert evaluated.result["examples_by_class"] == [2, 1, 1]
    assert json.loads((evaluated.folder / "worst.json").read_text()) == []


def test_a_split_without_examples_blesses_nothing(tmp_path):
    result = evaluate(tmp_path, [], sure([0])).result
    assert (result["blessed"], result["num_examples"]) == (False, 0)
    assert result["reasons"] == ["split 'eval' holds no examples"]


def test_random_answers_agree_with_scikit_learn_and_a_baseline_may_know_fewer_classes(tmp_path):
    random = np.random.default_rng(7)
    labels, answers = random.integers(0, 5, 200), random.dirichlet([0.5] * 5, 200).astype(np.float32)
    fewer = random.dirichlet([0.5] * 3, 200)
    result = evaluate(tmp_path, labels.tolist(), answers.tolist(), fewer.tolist(), num_classes=5)
    predicted = answers.argmax(1)
    measured = result.result
    np.testing.assert_array_equal(
        measured["confusion_matrix"], sklearn_metrics.confusion_matrix(labels, predicted)
    )
    assert measured["metrics"] == {
        "accuracy": pytest.approx(np.mean(predicted == labels)),
        "precision_by_class": pytest.approx(sklearn_metrics.precision_score(labels, predicted, average=None)),
        "recall_by_class": pytest.approx(sklearn_metrics.recall_score(labels, predicted, average=None)),
    }
    assert measured["baseline_metrics"]["accuracy"] == pytest.approx(np.mean(fewer.argmax(1) == labels))
    mistakes = json.loads((result.folder / "worst.json").read_text())
    worst = np.sort(answers.max(1)[predicted != labels])[::-1][:20]
    assert [mistake["badness"] for mistake in mistakes] == pytest.approx(worst.tolist())


@pytest.mark.slow
def test_beam_may_use_two_worker_processes(tmp_path):
    labels, predicted = [0, 0, 1, 2] * 10, [0, 1, 1, 2] * 10
    result = evaluate(tmp_path, labels, sure(predicted), make_pipeline=in_two_processes).result
    assert result["metrics"]["accuracy"] == 0.75
