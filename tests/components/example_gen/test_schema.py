from pathlib import Path

import tensorflow as tf
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import schema_utils
from tfx.types import standard_artifacts
from tfx.utils import io_utils

from components.example_gen.schema import Executor, TaskSchemaGen, to_schema
from components.examples import to_example
from components.features import Feature
from components.sources.idx import IdxSource

EXPECTED = """
    feature { name: "image" type: BYTES presence { min_fraction: 1.0 min_count: 1 } shape {} }
    feature {
      name: "label" type: INT presence { min_fraction: 1.0 min_count: 1 } shape {}
      int_domain { min: 0 max: 9 is_categorical: true }
    }
"""


def test_the_node_writes_the_features_that_the_task_declares(tmp_path: Path) -> None:
    node = TaskSchemaGen(IdxSource().features)
    assert node.id == "SchemaGen"
    schema = standard_artifacts.Schema()
    schema.uri = str(tmp_path)
    Executor().Do({}, {"schema": [schema]}, dict(node.exec_properties))
    written = io_utils.SchemaReader().read(str(tmp_path / "schema.pbtxt"))
    assert written == text_format.Parse(EXPECTED, schema_pb2.Schema())


def test_a_vector_keeps_its_shape_in_the_feature_spec() -> None:
    schema = to_schema({"x": Feature(dtype="float32", shape=(2, 3)), "n": Feature(dtype="int64", minimum=1)})
    spec = schema_utils.schema_as_feature_spec(schema).feature_spec
    assert spec["x"].shape == [2, 3]
    assert spec["n"].shape == []
    assert not schema.feature[0].int_domain.HasField("max")


def test_of_an_opaque_feature_statistics_know_lengths_and_no_values(tmp_path: Path) -> None:
    path = str(tmp_path / "examples.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for size in (1000, 2_000_000):
            record = {"opaque": b"\xff" * size, "places": [1, 2, 3], "text": b"word"}
            writer.write(to_example(record).SerializeToString())
    features = {
        "opaque": Feature(dtype="bytes", opaque=True),
        "places": Feature(dtype="int64", shape=None, minimum=0, opaque=True),
        "text": Feature(dtype="bytes"),
    }
    schema = to_schema(features)
    statistics = tfdv.generate_statistics_from_tfrecord(path, stats_options=tfdv.StatsOptions(schema=schema))
    found = {feature.path.step[0]: feature for feature in statistics.datasets[0].features}
    opaque = found["opaque"].bytes_stats
    assert not found["opaque"].HasField("string_stats")
    assert (opaque.common_stats.num_non_missing, opaque.max_num_bytes_int) == (2, 2_000_000)
    assert [value.value for value in found["text"].string_stats.top_values] == ["word"]
    assert statistics.ByteSize() < 10_000
    assert not tfdv.validate_statistics(statistics, schema).anomaly_info
    assert schema_utils.schema_as_feature_spec(schema).feature_spec["opaque"].dtype == tf.string


def test_the_executor_is_found_by_its_dotted_name() -> None:
    assert TaskSchemaGen.EXECUTOR_SPEC.class_path == "components.example_gen.schema.Executor"
