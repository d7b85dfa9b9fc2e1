import os
from pathlib import Path

import numpy as np
import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx import v1 as tfx
from tfx.orchestration import metadata

from components.example_gen.component import example_gen
from components.example_gen.schema import TaskSchemaGen
from components.formats.errors import FormatError
from components.formats.idx import write_idx
from components.sources.idx import IdxSource

BEAM_ARGS = ["--runner=DirectRunner", "--allow_unsafe_triggers", "--sdk_container_image=none"]


def write_files(directory: Path, count: int = 4, label: int = 3) -> None:
    directory.mkdir(exist_ok=True)
    for prefix in ("train", "t10k"):
        write_idx(directory / f"{prefix}-images-idx3-ubyte.gz", np.zeros((count, 28, 28), np.uint8))
        write_idx(directory / f"{prefix}-labels-idx1-ubyte", np.full(count, label, np.uint8))


def run(root: Path, data: str = "data") -> list[str]:
    """Runs both nodes with LocalDagRunner; returns the states of ExampleGen's executions so far."""
    source = IdxSource()
    connection = metadata.sqlite_metadata_connection_config(str(root / "metadata.db"))
    tfx.orchestration.LocalDagRunner().run(
        tfx.dsl.Pipeline(
            pipeline_name="digits",
            pipeline_root=str(root / "runs"),
            components=[example_gen(source, str(root / data)), TaskSchemaGen(source.features)],
            enable_cache=True,
            metadata_connection_config=connection,
            beam_pipeline_args=BEAM_ARGS,
        )
    )
    with metadata.Metadata(connection) as handle:
        executions = handle.store.get_executions_by_type(example_gen(source, "").type)
    state = metadata_store_pb2.Execution.State.Name
    return [state(execution.last_known_state) for execution in executions]


def test_the_node_takes_its_files_from_the_source() -> None:
    node = example_gen(IdxSource(validation_fraction=0.1), "/data")
    assert node.id == "ExampleGen"
    assert node.executor_spec.class_path == "components.example_gen.executor.Executor"
    assert all(isinstance(value, (str, int, type(None))) for value in node.exec_properties.values())


@pytest.mark.parametrize("name", ["data", "d[1]*?"])
def test_unchanged_files_are_answered_from_the_cache_and_changed_ones_are_not(
    tmp_path: Path, name: str
) -> None:
    write_files(tmp_path / name)
    assert run(tmp_path, name) == ["COMPLETE"]
    (tmp_path / name / "train-dangling").symlink_to("/nonexistent/x")
    assert run(tmp_path, name) == ["COMPLETE", "CACHED"]
    write_files(tmp_path / name, count=5)
    assert run(tmp_path, name) == ["COMPLETE", "CACHED", "COMPLETE"]


def test_a_failed_conversion_leaves_no_split_behind(tmp_path: Path) -> None:
    write_files(tmp_path / "data", label=10)
    with pytest.raises(FormatError, match="expected labels from 0 to 9, got 10 at index 0"):
        run(tmp_path)
    found = [folder for folder, _, _ in os.walk(tmp_path / "runs") if "Split-" in folder]
    assert found == []
