"""The ExampleGen of a task."""

from __future__ import annotations

from google.protobuf import struct_pb2
from tfx.components import FileBasedExampleGen
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.proto import example_gen_pb2

from components.example_gen.executor import Executor
from components.protocols import Source
from components.reference import Reference


def example_gen(source: Source, data_dir: str) -> FileBasedExampleGen:
    """Returns the node "ExampleGen": the files of `data_dir` to `examples`.

    TFX's driver takes a fingerprint of the files, so that changed data is not answered from the cache.
    """
    inputs = [
        example_gen_pb2.Input.Split(name=split.name, pattern=split.pattern) for split in source.input_splits
    ]
    settings = struct_pb2.Struct()
    settings.update({"source": Reference.to(source).model_dump()})
    custom_config = example_gen_pb2.CustomConfig()
    custom_config.custom_config.Pack(settings)
    return FileBasedExampleGen(
        input_base=data_dir,
        input_config=example_gen_pb2.Input(splits=inputs),
        custom_config=custom_config,
        custom_executor_spec=BeamExecutorSpec(Executor),
    ).with_id("ExampleGen")
