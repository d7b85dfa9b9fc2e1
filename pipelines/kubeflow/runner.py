"""A TFX pipeline as a specification that open-source Kubeflow Pipelines (2.15 to 2.17) runs.

The specification is plain data in the format "PipelineSpec 2.1" of
github.com/kubeflow/pipelines/blob/master/api/v2alpha1/pipeline_spec.proto, and needs no `kfp` to make.
TFX's own KubeflowV2DagRunner targets Vertex AI; what it emits does not run here.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import tfx.v1 as tfx
import yaml
from tfx.components.example_gen.driver import Driver as ExampleGenDriver
from tfx.dsl.components.base.base_driver import BaseDriver
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec, ExecutorClassSpec
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.placeholder.placeholder import Placeholder
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types.channel import Channel, OutputChannel

from components import files
from components.config import ConfigError
from components.pusher.executor import BASE_DIR, FORCE, JUDGE
from pipelines.dag.cluster import ClusterConfig, NodeConfig
from pipelines.dag.nodes import EXAMPLE_GEN, PUSHER, TRAINER
from pipelines.kubeflow import platform
from pipelines.kubeflow.news import CUSTOM_CONFIG, FOUND, INPUT_BASE, YES
from pipelines.kubeflow.node import NodeSpec, Parameter, ParameterType, task_name

_COMMAND: Final = ["python", "-m", "pipelines.kubeflow.entrypoint"]
_DATA: Final = "data"
_NEWS: Final = "news"
_TEXT: Final = {"parameterType": "STRING"}
# Settings that one may change without compiling again: parameters of the run, such as train_seed.
RUN_SETTINGS: Final = {
    "train": ("num_epochs", "num_steps", "learning_rate", "global_batch_size", "seed"),
}
_TYPES: Final[dict[type, ParameterType]] = {
    bool: "BOOLEAN", int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE", str: "STRING"
}  # fmt: skip
# They may be none, for which 0 stands: backends want a default for every parameter.
_OPTIONAL_INTEGERS: Final = ("num_steps",)

Json = dict[str, Any]


class UnsupportedError(ConfigError):
    """A pipeline uses what Kubeflow Pipelines cannot run."""


class _Dumper(yaml.SafeDumper):
    """Writes everything in full: not every reader of YAML knows aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Translated(NamedTuple):
    node: NodeSpec
    channels: dict[str, OutputChannel]
    dependencies: set[str]
    cached: bool


def compile_pipeline(
    pipeline: tfx.dsl.Pipeline, image: str, cluster: ClusterConfig, *, if_news: bool = False
) -> str:
    """Returns the YAML of a pipeline: the specification, and a second document for Kubernetes.

    With `if_news`, a first node looks whether a run would make another model than the live one, and the
    others hang on that. Raises UnsupportedError, with the node's id, for what does not run there.
    """
    documents = _Compiler(pipeline, image, cluster).documents(if_news)
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=True, width=110)


def run_parameter(section: str, key: str) -> str:
    """Returns the name of a setting as a parameter of the run: "train_num_epochs"."""
    return f"{section}_{key}"


class _Compiler:
    def __init__(self, pipeline: tfx.dsl.Pipeline, image: str, cluster: ClusterConfig) -> None:
        self._pipeline = pipeline
        self._image = image
        self._cluster = cluster
        self._parameters: dict[str, Json] = {}
        self._components: Json = {}
        self._executors: Json = {}
        self._platform: Json = {}
        self._tasks: Json = {}
        self._importers: set[str] = set()
        self._specs: dict[str, NodeSpec] = {}

    def documents(self, if_news: bool) -> list[Json]:
        # The name of the task that fetches the data is taken.
        by_name: dict[str, str] = {
            _DATA: "the task that fetches the data", _NEWS: "the task that looks for something new"
        }  # fmt: skip
        for node in self._pipeline.components:
            name = task_name(node.id)
            if name in by_name:
                raise UnsupportedError(f"{node.id}: named like {by_name[name]} on a cluster, {name!r}")
            by_name[name] = node.id
            self._add(node)
        if if_news:
            self._add_condition()
        specification = {
            "pipelineInfo": {"name": task_name(self._pipeline.pipeline_info.pipeline_name)},
            "schemaVersion": "2.1.0",
            "sdkVersion": f"millrace-{version('millrace')}",
            "root": {
                "dag": {"tasks": self._tasks},
                "inputDefinitions": {"parameters": self._parameters},
            },
            "components": self._components,
            "deploymentSpec": {"executors": self._executors},
        }
        return [
            specification,
            {"platforms": {"kubernetes": {"deploymentSpec": {"executors": self._platform}}}},
        ]

    def _add(self, node: BaseNode) -> None:
        if contexts := self._pipeline.dsl_context_registry.get_contexts(node):
            raise UnsupportedError(f"{node.id}: {type(contexts[0]).__name__} is not translated")
        if isinstance(node, Resolver):
            raise UnsupportedError(f"{node.id}: {type(node).__name__} is not translated")
        if isinstance(node, Importer):
            self._add_importer(node.id, node.exec_properties["artifact_uri"], _only(node.outputs, node.id))
            return
        self._add_container(self._component(node))

    def _component(self, node: BaseNode) -> _Translated:
        if not isinstance(node.executor_spec, ExecutorClassSpec):
            raise UnsupportedError(
                f"{node.id}: expected an executor in Python, got {type(node.executor_spec).__name__}"
            )
        properties, parameters = self._properties(node)
        is_beam = isinstance(node.executor_spec, BeamExecutorSpec)
        data_input, beam_args = None, tuple(self._pipeline.beam_pipeline_args or ()) if is_beam else ()
        if INPUT_BASE in properties:
            parameter = self._data_parameter(properties)
            if files.is_uri(str(properties[INPUT_BASE])):
                data_input = self._add_data_importer()
                # KFP's copy of the data is in this container alone.
                beam_args = tuple(a for a in beam_args if not _is_distributed(beam_args))
            else:
                parameters.append(parameter)
        driver = node.driver_class
        own_driver = issubclass(driver, ExampleGenDriver)
        spec = NodeSpec(
            id=node.id,
            pipeline=self._pipeline.pipeline_info.pipeline_name,
            executor=node.executor_spec.class_path,
            driver=_dotted(driver) if own_driver else None,
            inputs={key: _dotted(channel.type) for key, channel in node.inputs.items()},
            outputs={key: _dotted(channel.type) for key, channel in node.outputs.items()},
            exec_properties=properties,
            parameters=tuple(parameters),
            data_input=data_input,
            beam_args=beam_args,
            remote=_is_distributed(beam_args),
        )
        dependencies = {task_name(upstream.id) for upstream in node.upstream_nodes}
        # What a driver finds, such as which files or versions there are, is not part of KFP's cache key.
        cached = bool(self._pipeline.enable_cache) and driver is BaseDriver
        return _Translated(spec, _channels(node), dependencies, cached)

    def _properties(self, node: BaseNode) -> tuple[dict[str, str | int | float], list[Parameter]]:
        values: dict[str, str | int | float] = {}
        parameters = []
        for key, value in node.exec_properties.items():
            if isinstance(value, RuntimeParameter):
                parameters.append(self._runtime_parameter(value, key))
            elif isinstance(value, Placeholder):
                raise UnsupportedError(
                    f"{node.id}: {key} is a placeholder, which only TFX's own runners resolve"
                )
            elif value is not None:
                if not isinstance(value, (str, int, float)):
                    raise UnsupportedError(
                        f"{node.id}: expected text or a number as {key}, got {type(value).__name__}"
                    )
                values[key] = value
        parameters += self._setting_parameters(values)
        return values, parameters

    def _runtime_parameter(self, parameter: RuntimeParameter, key: str) -> Parameter:
        definition: Json = {"parameterType": _TYPES[parameter.ptype]}
        if parameter.default is not None:
            definition["defaultValue"] = parameter.default
        self._parameters[parameter.name] = definition
        return Parameter(name=parameter.name, type=_TYPES[parameter.ptype], path=(key,))

    def _setting_parameters(self, properties: dict[str, Any]) -> Iterator[Parameter]:
        settings = json.loads(properties.get(CUSTOM_CONFIG) or "{}").get("settings", {})
        for section, names in RUN_SETTINGS.items():
            if section in settings:
                for name in names:
                    yield self._setting_parameter(section, name, settings[section][name])

    def _setting_parameter(self, section: str, name: str, default: Any) -> Parameter:
        parameter = Parameter(
            name=run_parameter(section, name),
            type="NUMBER_INTEGER" if name in _OPTIONAL_INTEGERS else _TYPES[type(default)],
            path=(CUSTOM_CONFIG, "settings", section, name),
            zero_is_none=name in _OPTIONAL_INTEGERS,
        )
        self._parameters[parameter.name] = {
            "parameterType": parameter.type,
            "isOptional": True,
            "defaultValue": default or 0 if parameter.zero_is_none else default,
            "description": f"{section}.{name}" + ("; 0: none" if parameter.zero_is_none else ""),
        }
        return parameter

    def _data_parameter(self, properties: dict[str, Any]) -> Parameter:
        self._parameters[_DATA] = {
            "parameterType": "STRING",
            "isOptional": True,
            "defaultValue": properties[INPUT_BASE],
            "description": "Where the raw files are",
        }
        return Parameter(name=_DATA, type="STRING", path=(INPUT_BASE,))

    def _add_data_importer(self) -> str:
        """Adds a task that makes data behind a URI an input, which KFP copies into the container."""
        uri = {"parameters": {"uri": {"componentInputParameter": _DATA}}}
        self._add_importer_task(_DATA, "system.Dataset", {"runtimeParameter": "uri"}, uri)
        return _DATA

    def _add_importer(self, node_id: str, uri: Any, channel: OutputChannel) -> None:
        if not isinstance(uri, str):
            raise UnsupportedError(f"{node_id}: expected a constant URI, got {type(uri).__name__}")
        self._add_importer_task(task_name(node_id), f"tfx.{channel.type_name}", {"constant": uri}, {})

    def _add_importer_task(self, name: str, title: str, uri: Json, inputs: Json) -> None:
        self._importers.add(name)
        artifact_type = {"schemaTitle": title, "schemaVersion": "0.0.1"}
        self._components[f"comp-{name}"] = {
            "executorLabel": f"exec-{name}",
            **({"inputDefinitions": {"parameters": {"uri": {"parameterType": "STRING"}}}} if inputs else {}),
            "outputDefinitions": {"artifacts": {"artifact": {"artifactType": artifact_type}}},
        }
        self._executors[f"exec-{name}"] = {"importer": {"artifactUri": uri, "typeSchema": artifact_type}}
        self._tasks[name] = {
            "taskInfo": {"name": name},
            "componentRef": {"name": f"comp-{name}"},
            "cachingOptions": {},
            **({"inputs": inputs} if inputs else {}),
        }

    def _add_container(self, translated: _Translated) -> None:
        spec, name = translated.node, task_name(translated.node.id)
        self._specs[spec.id] = spec
        config = self._node_config(name)
        resources = platform.resources(config)
        if config is self._cluster.trainer and self._cluster.trainer.workers > 1:
            spec, config = self._with_job(spec), platform.follower(self._cluster)
            resources = platform.follower_resources(config)
        self._components[f"comp-{name}"] = _component(spec, translated.channels, name)
        self._executors[f"exec-{name}"] = {
            "container": {
                "image": self._image,
                "command": _COMMAND,
                "args": ["--executor_input", "{{$}}", "--node", spec.to_json()],
                **resources,
            }
        }
        self._platform[f"exec-{name}"] = platform.pod(config, self._cluster)
        self._tasks[name] = self._task(spec, translated, name, config)

    def _add_condition(self) -> None:
        """Adds the task that looks for something new, on whose answer those hang that begin."""
        first = [name for name, task in self._tasks.items() if self._is_first(name, task)]
        self._add_container(_Translated(self._asking(), {}, set(), cached=False))
        self._components[f"comp-{_NEWS}"]["outputDefinitions"] = {"parameters": {FOUND: _TEXT}}
        for name in first:
            self._hang_on_news(name)

    def _asking(self) -> NodeSpec:
        source, trainer, publisher = (self._specs[node] for node in (EXAMPLE_GEN, TRAINER, PUSHER))
        return NodeSpec(
            id=_NEWS,
            pipeline=trainer.pipeline,
            executor=_NEWS,
            inputs={},
            outputs={},
            exec_properties={
                INPUT_BASE: source.exec_properties[INPUT_BASE],
                CUSTOM_CONFIG: trainer.exec_properties[CUSTOM_CONFIG],
                **{key: publisher.exec_properties[key] for key in (BASE_DIR, FORCE, JUDGE)},
            },
            parameters=(*source.parameters, *trainer.parameters),
            data_input=source.data_input,
            asks=True,
        )

    def _is_first(self, name: str, task: Json) -> bool:
        return name not in self._importers and self._importers.issuperset(task.get("dependentTasks", ()))

    def _hang_on_news(self, name: str) -> None:
        task, definitions = self._tasks[name], self._components[f"comp-{name}"]["inputDefinitions"]
        source = {"taskOutputParameter": {"producerTask": _NEWS, "outputParameterKey": FOUND}}
        task["dependentTasks"] = sorted({*task.get("dependentTasks", ()), _NEWS})
        task.setdefault("inputs", {}).setdefault("parameters", {})[FOUND] = source
        # What is skipped is not succeeded, so that what depends on it does not run either.
        task["triggerPolicy"] = {"condition": f"inputs.parameter_values['{FOUND}'] == '{YES}'"}
        definitions.setdefault("parameters", {})[FOUND] = _TEXT

    def _with_job(self, spec: NodeSpec) -> NodeSpec:
        """Returns what the pod has to run that follows a training job."""
        return spec.model_copy(
            update={
                "job": platform.training_job(self._image, self._cluster, _COMMAND),
                "stage_dir": posixpath.join(self._pipeline.pipeline_info.pipeline_root, "stage"),
                "start_timeout_s": self._cluster.trainer.start_timeout_s,
            }
        )

    def _task(self, spec: NodeSpec, translated: _Translated, name: str, config: NodeConfig) -> Json:
        artifacts = {
            key: self._output(task_name(channel.producer_component_id), channel.output_key)
            for key, channel in translated.channels.items()
        }
        dependencies = set(translated.dependencies)
        if spec.data_input:
            artifacts[spec.data_input] = self._output(spec.data_input, "")
            dependencies.add(spec.data_input)
        parameters = {p.name: {"componentInputParameter": p.name} for p in spec.parameters}
        inputs = _without_empty({"artifacts": artifacts, "parameters": parameters})
        task = {
            "taskInfo": {"name": name},
            "dependentTasks": sorted(dependencies),
            "inputs": inputs,
            "retryPolicy": platform.retry_policy(config),
        }
        return {
            "componentRef": {"name": f"comp-{name}"},
            "cachingOptions": {"enableCache": True} if translated.cached else {},
            **_without_empty(task),
        }

    def _output(self, task: str, key: str) -> Json:
        return {
            "taskOutputArtifact": {
                "producerTask": task,
                # KFP's importers have one output, of that name.
                "outputArtifactKey": "artifact" if task in self._importers else key,
            }
        }

    def _node_config(self, name: str) -> NodeConfig:
        return self._cluster.trainer if name == "trainer" else self._cluster.node


def _component(spec: NodeSpec, channels: dict[str, OutputChannel], name: str) -> Json:
    inputs: Json = {key: _artifact(channel.type_name) for key, channel in channels.items()}
    if spec.data_input:
        inputs[spec.data_input] = {
            "artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}
        }
    parameters = {
        parameter.name: {"parameterType": parameter.type, "isOptional": True} for parameter in spec.parameters
    }
    definitions = {"artifacts": inputs, "parameters": parameters}
    outputs = {key: _artifact(dotted.rpartition(".")[2]) for key, dotted in spec.outputs.items()}
    return {
        "executorLabel": f"exec-{name}",
        "inputDefinitions": _without_empty(definitions),
        "outputDefinitions": {"artifacts": outputs},
    }


def _artifact(type_name: str) -> Json:
    return {"artifactType": {"schemaTitle": f"tfx.{type_name}", "schemaVersion": "0.0.1"}}


def _channels(node: BaseNode) -> dict[str, OutputChannel]:
    for key, channel in node.inputs.items():
        if not isinstance(channel, Channel) or not getattr(channel, "producer_component_id", None):
            raise UnsupportedError(
                f"{node.id}: expected another node's output as {key}, got {type(channel).__name__}"
            )
    return dict(node.inputs)


def _is_distributed(beam_args: Sequence[str]) -> bool:
    return any(a.startswith("--runner=") and a != "--runner=DirectRunner" for a in beam_args)


def _without_empty(fields: Json) -> Json:
    return {key: value for key, value in fields.items() if value}


def _only(outputs: dict[str, OutputChannel], node_id: str) -> OutputChannel:
    if len(outputs) != 1:
        raise UnsupportedError(f"{node_id}: expected one output, got {len(outputs)}")
    return next(iter(outputs.values()))


def _dotted(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
