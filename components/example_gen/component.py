"""The ExampleGen of a task."""

from __future__ import annotations

from google.protobuf import struct_pb2
from tfx.components import FileBasedExampleGen
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.proto import example_gen_pb2

from components.example_gen.driver import Driver
from components.example_gen.executor import Executor
from components.protocols import Source
from components.reference import Reference


class ExampleGen(FileBasedExampleGen):
    """The node "ExampleGen": the files that a source reads to `examples`."""

    EXECUTOR_SPEC = BeamExecutorSpec(Executor)
    # Changed data is not answered from the cache.
    DRIVER_CLASS = Driver


def example_gen(source: Source, data_dir: str) -> ExampleGen:
    """Returns the node for the files in `data_dir`."""
    inputs = [
        example_gen_pb2.Input.Split(name=split.name, pattern=split.pattern) for split in source.input_splits
    ]
    settings = struct_pb2.Struct()
    settings.update({"source": Reference.to(source).model_dump()})
    custom_config = example_gen_pb2.CustomConfig()
    custom_config.custom_config.Pack(settings)
    return ExampleGen(
        input_base=data_dir,
        input_config=example_gen_pb2.Input(splits=inputs),
        custom_config=custom_config,
    ).with_id("ExampleGen")
