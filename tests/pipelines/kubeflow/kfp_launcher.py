"""Runs a compiled pipeline as the backend of Kubeflow Pipelines and its launcher would, in this process.

Written after backend/src/v2/component/launcher_v2.go of kubeflow/pipelines, and what a real one did:
artifacts travel through an object store, types are lost on the way, integers come back as doubles, and only
what a node left at the paths of its outputs goes on. Of the placeholders in a container's arguments `{{$}}`
alone is replaced; run and execution stand in the paths of the outputs. There is no umask.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipelines.kubeflow import artifacts, entrypoint

BUCKET = "minio://mlpipeline/v2/artifacts"


class Launcher:
    def __init__(self, specification: str, folder: Path, monkeypatch: Any) -> None:
        self.spec, self.platform = yaml.safe_load_all(specification)
        self.folder = folder
        self.outputs: dict[str, dict[str, Any]] = {}
        self.output_parameters: dict[str, dict[str, Any]] = {}
        self.run_id = str(uuid.uuid4())
        self.executed: list[str] = []
        self._ids = iter(range(1, 10_000))
        monkeypatch.setattr(
            artifacts, "MOUNTS", {s: f"{folder}/mounts/{s.removesuffix('://')}/" for s in artifacts.MOUNTS}
        )

    def run(self, parameters: Mapping[str, Any] = {}, only: set[str] | None = None) -> None:
        """Runs all tasks, or some of them on the outputs of an earlier run; fails if one does."""
        root = self.spec["root"]["inputDefinitions"]["parameters"]
        assert not set(parameters) - set(root)
        values = {
            name: parameter["defaultValue"] for name, parameter in root.items() if "defaultValue" in parameter
        }
        waiting = {name: task for name, task in self.tasks.items() if only is None or name in only}
        done, skipped = set(self.tasks) - set(waiting), set[str]()
        while waiting:
            name = next(
                (n for n, task in waiting.items() if set(task.get("dependentTasks", [])) <= done), None
            )
            if name is None:
                # They wait for one that was skipped, which does not count as succeeded.
                assert skipped
                return
            if self._triggers(waiting.pop(name)):
                self.run_task(name, {**values, **parameters})
                done.add(name)
            else:
                skipped.add(name)

    def _triggers(self, task: Any) -> bool:
        """Whether a task's condition holds, of the one form that the compiler writes."""
        condition = task.get("triggerPolicy", {}).get("condition")
        if condition is None:
            return True
        form = re.fullmatch(r"inputs\.parameter_values\['(\w+)'\] == '(\w+)'", condition)
        assert form
        source = task["inputs"]["parameters"][form[1]]["taskOutputParameter"]
        return bool(self.output_parameters[source["producerTask"]][source["outputParameterKey"]] == form[2])

    @property
    def tasks(self) -> dict[str, Any]:
        return dict(self.spec["root"]["dag"]["tasks"])

    def run_task(self, name: str, parameters: Mapping[str, Any]) -> None:
        self.executed.append(name)
        task, component = self.tasks[name], self.spec["components"][f"comp-{name}"]
        executor = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]
        if "importer" in executor:
            uri = executor["importer"]["artifactUri"]
            # A constant as the value of a parameter is looked for among the pipeline's, and not found.
            value = (
                uri["constant"]
                if "constant" in uri
                else parameters[
                    task["inputs"]["parameters"][uri["runtimeParameter"]]["componentInputParameter"]
                ]
            )
            self.outputs[name] = {"artifact": self._artifact("artifact", value)}
            return
        executor_input = self._executor_input(name, task, component, parameters)
        code = self._run_container(executor["container"], executor_input)
        assert code == 0, f"{name}: exit code {code}"
        told = json.loads(Path(executor_input["outputs"]["outputFile"]).read_text())
        self.output_parameters[name] = told.get("parameterValues", {})
        assert set(self.output_parameters[name]) == set(
            component.get("outputDefinitions", {}).get("parameters", {})
        )

    def _executor_input(
        self, name: str, task: Any, component: Any, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        inputs = task.get("inputs", {})
        given = {
            key: {"artifacts": [self._found(source["taskOutputArtifact"])]}
            for key, source in inputs.get("artifacts", {}).items()
        }
        values = {
            key: _as_kfp(value)
            for key, source in inputs.get("parameters", {}).items()
            if (value := self._value(source, parameters)) is not None
        }
        keys = list(component.get("outputDefinitions", {}).get("artifacts", {}))
        folder = f"{BUCKET}/{self.spec['pipelineInfo']['name']}/{self.run_id}/{name}/{uuid.uuid4()}"
        made = {key: self._artifact(key, f"{folder}/{key}") for key in (*keys, "executor-logs")}
        self.outputs[name] = {key: made[key] for key in keys}
        return {
            "inputs": {"artifacts": given, "parameterValues": values},
            "outputs": {
                "artifacts": {key: {"artifacts": [artifact]} for key, artifact in made.items()},
                "outputFile": artifacts.local_path(f"{folder}/output_metadata.json"),
            },
        }

    def _run_container(self, container: Any, executor_input: dict[str, Any]) -> int:
        output_file = Path(executor_input["outputs"]["outputFile"])
        shutil.rmtree(self.folder / "mounts", ignore_errors=True)
        for found in executor_input["inputs"]["artifacts"].values():
            self._transfer(found["artifacts"][0]["uri"], download=True)
        for found in executor_input["outputs"]["artifacts"].values():
            Path(artifacts.local_path(found["artifacts"][0]["uri"])).parent.mkdir(parents=True, exist_ok=True)
        assert container["command"] == ["python", "-m", "pipelines.kubeflow.entrypoint"]
        given_arguments = [a.replace("{{$}}", json.dumps(executor_input)) for a in container["args"]]
        before = os.umask(0)
        try:
            if entrypoint.main(given_arguments):
                # Whatever it was.
                return 1
        finally:
            os.umask(before)
        for key, found in json.loads(output_file.read_text()).get("artifacts", {}).items():
            (given,), (told,) = executor_input["outputs"]["artifacts"][key]["artifacts"], found["artifacts"]
            assert told["uri"] == given["uri"]
            given["metadata"].update({k: _as_kfp(v) for k, v in told["metadata"].items()})
            self._transfer(given["uri"], download=False)
        return 0

    def _transfer(self, uri: str, download: bool) -> None:
        if "://" not in uri:
            return
        store, local = self.store(uri), Path(artifacts.local_path(uri))
        source, target = (store, local) if download else (local, store)
        shutil.rmtree(target, ignore_errors=True)
        if source.is_dir():
            shutil.copytree(source, target)

    def store(self, uri: str) -> Path:
        """Returns where the emulated object store keeps something."""
        return self.folder / "store" / uri.partition("://")[2]

    def _value(self, source: Any, parameters: Mapping[str, Any]) -> Any:
        if "taskOutputParameter" in source:
            given = source["taskOutputParameter"]
            return self.output_parameters[given["producerTask"]][given["outputParameterKey"]]
        return parameters.get(source["componentInputParameter"])

    def _found(self, source: Any) -> Any:
        return self.outputs[source["producerTask"]][source["outputArtifactKey"]]

    def _artifact(self, key: str, uri: str) -> dict[str, Any]:
        metadata = {"display_name": key, "store_session_info": "{}"}
        return {
            "name": str(next(self._ids)),
            "uri": uri,
            "type": {"instanceSchema": ""},
            "metadata": metadata,
        }


def _as_kfp(value: Any) -> Any:
    """Returns a value as it comes back: numbers as doubles, lists and structs wrapped."""
    if isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)):
        return float(value)
    return {"list" if isinstance(value, list) else "struct": value}
