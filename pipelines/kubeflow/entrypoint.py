"""What runs in the container of a node: KFP's words in, a TFX executor's work, KFP's words out.

python -m pipelines.kubeflow.entrypoint --executor_input '{{$}}' --node '{"id": "Trainer", …}'
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from components import files
from components.config import ConfigError
from components.errors import Failure, UserError
from components.trainer import hosts
from pipelines.kubeflow.node import NodeSpec, Parameter, run_id

Json = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one node and returns the exit code: 0 done, 1 failure, 2 the user's mistake."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.kubeflow.entrypoint")
    parser.add_argument("--executor_input", required=True, help="ExecutorInput of KFP, as JSON.")
    parser.add_argument("--node", required=True, help="NodeSpec, as JSON.")
    given = parser.parse_args(arguments)
    _prepare()
    try:
        run(NodeSpec.model_validate_json(given.node), json.loads(given.executor_input))
    except Exception as error:
        return _report(error)
    return 0


def run(node: NodeSpec, executor_input: Json) -> None:
    """Runs a node's executor and writes KFP's `outputFile`."""
    from pipelines.kubeflow import artifacts

    inputs, outputs = executor_input.get("inputs", {}), executor_input["outputs"]
    exec_properties = _exec_properties(node, inputs.get("parameterValues", {}))
    if node.data_input:
        (data,) = inputs["artifacts"][node.data_input]["artifacts"]
        exec_properties["input_base"] = artifacts.local_path(data["uri"])
    if node.asks:
        from pipelines.kubeflow import news

        news.tell(exec_properties, outputs["outputFile"])
        return
    if node.job:
        from pipelines.kubeflow import training_job

        training_job.run(node, executor_input)
        return
    if hosts.has_others():
        _work_with_others(node, executor_input, exec_properties)
    else:
        _work(node, executor_input, exec_properties)


def _work_with_others(node: NodeSpec, executor_input: Json, exec_properties: dict[str, Any]) -> None:
    """Does the work together with other processes, unless that is done: those may have ended then."""
    from components.trainer import strategies

    if not files.exists(executor_input["outputs"]["outputFile"]):
        _work(node, executor_input, exec_properties)
        # Until `outputFile` is there, one that is started again needs all the others.
        strategies.wait_for_all()


def _work(node: NodeSpec, executor_input: Json, exec_properties: dict[str, Any]) -> None:
    """Runs the executor; the chief, or who is alone, writes `outputFile`, the last thing of all."""
    from pipelines.kubeflow import artifacts

    inputs, outputs = executor_input.get("inputs", {}), executor_input["outputs"]
    given_inputs, given_outputs = inputs.get("artifacts", {}), outputs.get("artifacts", {})
    locations = artifacts.Locations(node.remote)
    input_dict = artifacts.read_inputs(node.inputs, given_inputs, locations)
    output_dict = artifacts.read_outputs(node.outputs, given_outputs, locations)
    _make_directories(output_dict)
    _resolve(node, exec_properties, output_dict)
    _execute(node, input_dict, output_dict, exec_properties, run_id(node.id, outputs["outputFile"]))
    done = artifacts.written(output_dict, given_outputs, locations)
    if hosts.is_chief():
        files.write_text(outputs["outputFile"], json.dumps({"artifacts": done}))


def _exec_properties(node: NodeSpec, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the executor's properties, with the run's parameters in their places."""
    properties: dict[str, Any] = dict(node.exec_properties)
    for parameter in node.parameters:
        if values.get(parameter.name) is not None:
            _put(properties, parameter, _cast(parameter, values[parameter.name]))
    return properties


def _put(properties: dict[str, Any], parameter: Parameter, value: Any) -> None:
    outermost, *keys = parameter.path
    if not keys:
        properties[outermost] = value
        return
    document = json.loads(properties[outermost])
    *parents, last = keys
    target = document
    for key in parents:
        target = target[key]
    target[last] = value
    properties[outermost] = json.dumps(document)


def _cast(parameter: Parameter, value: Any) -> Any:
    """Returns a parameter's value as the type that it was declared with: KFP has no integers."""
    if parameter.type == "NUMBER_INTEGER":
        if float(value) != int(value):
            raise ConfigError(f"{parameter.name}: expected a whole number, got {value}")
        return int(value) or (None if parameter.zero_is_none else 0)
    return float(value) if parameter.type == "NUMBER_DOUBLE" else value


def _make_directories(output_dict: Mapping[str, Sequence[Any]]) -> None:
    """Makes the outputs' directories; the launcher makes the ones above them."""
    for found in output_dict.values():
        for artifact in found:
            files.make_folder(artifact.uri)


def _resolve(
    node: NodeSpec, exec_properties: dict[str, Any], output_dict: Mapping[str, Sequence[Any]]
) -> None:
    """Does what TFX's driver of an ExampleGen does: span, version and fingerprint of the files."""
    if node.driver is None:
        return
    from tfx.components.example_gen.driver import update_output_artifact

    from pipelines.kubeflow.artifacts import import_class

    exec_properties.update(
        import_class(node.driver)(None).resolve_exec_properties(exec_properties, None, None)
    )
    for artifact in output_dict["examples"]:
        update_output_artifact(exec_properties, artifact.mlmd_artifact)


def _execute(
    node: NodeSpec, input_dict: Any, output_dict: Any, exec_properties: dict[str, Any], run: str
) -> None:
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.proto.orchestration import pipeline_pb2

    from pipelines.kubeflow.artifacts import import_class

    executor = import_class(node.executor)
    with tempfile.TemporaryDirectory() as folder:
        # Workers on other machines cannot see a folder of this one.
        first = next(artifact.uri for found in output_dict.values() for artifact in found)
        common: Json = {
            "tmp_dir": f"{first}.temp" if node.remote else folder,
            "unique_id": node.id,
            "pipeline_info": pipeline_pb2.PipelineInfo(id=node.pipeline),
            "pipeline_run_id": run,
        }
        if issubclass(executor, BaseBeamExecutor):
            context = BaseBeamExecutor.Context(beam_pipeline_args=list(node.beam_args), **common)
        else:
            context = executor.Context(**common)
        executor(context).Do(input_dict, output_dict, exec_properties)


def _prepare() -> None:
    import logging

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")


def _report(error: Exception) -> int:
    """Prints what went wrong, and whose it is, as the last line; what nobody foresaw, with its traceback.

    KFP turns every exit code into 1.
    """
    from pipelines import console

    # Settings travel as JSON, of which another version than this image's may have other ones.
    advice = "; expected a pipeline compiled by this image's version" * isinstance(error, ValidationError)
    explained = console.explain(error, more=f"{advice}; the traceback is above")
    if not isinstance(error, (UserError, Failure)):
        traceback.print_exception(error)
    kind = "a mistake in what was given" if explained.exit_code == console.USER_ERROR else "a failure"
    print(f"millrace: error: {explained.message} ({kind})", file=sys.stderr, flush=True)
    return explained.exit_code


if __name__ == "__main__":
    # Kubernetes' way of ending a pod; as an exception, so that what was started elsewhere is ended, too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(main())
