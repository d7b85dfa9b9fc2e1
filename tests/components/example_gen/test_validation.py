from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from tfx.types import Channel, artifact_utils, standard_artifacts
from tfx.utils import io_utils

from components.example_gen.schema import to_schema
from components.example_gen.validation import AnomalyError, ExampleValidator, Executor
from components.examples import to_example
from components.sources.idx import IdxSource

GOOD = [{"image": b"\xff\x00", "label": label} for label in range(10)]


def validate(tmp_path: Path, splits: dict[str, list[dict[str, Any]]]) -> None:
    """Runs the executor on statistics of real examples."""
    statistics = artifact(standard_artifacts.ExampleStatistics, tmp_path / "statistics", splits)
    for split, records in splits.items():
        file = tmp_path / f"{split}.tfrecord"
        with tf.io.TFRecordWriter(str(file)) as writer:
            for record in records:
                writer.write(to_example(record).SerializeToString())
        computed = tfdv.generate_statistics_from_tfrecord(str(file))
        io_utils.write_bytes_file(
            str(tmp_path / f"statistics/Split-{split}/FeatureStats.pb"), computed.SerializeToString()
        )
    schema = artifact(standard_artifacts.Schema, tmp_path / "schema", {})
    io_utils.write_pbtxt_file(str(tmp_path / "schema/schema.pbtxt"), to_schema(IdxSource().features))
    anomalies = artifact(standard_artifacts.ExampleAnomalies, tmp_path / "anomalies", {})
    inputs = {"statistics": [statistics], "schema": [schema]}
    Executor().Do(inputs, {"anomalies": [anomalies]}, {"exclude_splits": "[]"})


def artifact(kind: type, uri: Path, splits: dict[str, Any]) -> Any:
    made = kind()
    made.uri = str(uri)
    if splits:
        made.split_names = artifact_utils.encode_split_names(list(splits))
        made.span = 0
    return made


def test_examples_that_fit_the_schema_pass(tmp_path: Path) -> None:
    validate(tmp_path, {"train": GOOD, "eval": GOOD})
    assert (tmp_path / "anomalies/Split-eval/SchemaDiff.pb").exists()


def test_a_value_out_of_range_fails_after_the_anomalies_are_written(tmp_path: Path) -> None:
    with pytest.raises(AnomalyError, match=r"split 'eval', feature 'label': .*10") as caught:
        validate(tmp_path, {"train": GOOD, "eval": [*GOOD, {"image": b"", "label": 10}]})
    assert "train" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "anomalies/Split-eval/SchemaDiff.pb").exists()


def test_every_missing_feature_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnomalyError, match=r"feature 'image'.*; split 'train', feature 'label'"):
        validate(tmp_path, {"train": [{"other": 1}] * 3})


def test_the_node_keeps_tfx_name_and_runs_our_executor() -> None:
    node = ExampleValidator(
        statistics=Channel(type=standard_artifacts.ExampleStatistics),
        schema=Channel(type=standard_artifacts.Schema),
    )
    assert node.id == "ExampleValidator"
    assert node.executor_spec.class_path == "components.example_gen.validation.Executor"
