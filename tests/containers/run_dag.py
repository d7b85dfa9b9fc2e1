"""Runs a compiled pipeline in containers, as Kubeflow Pipelines would, and fails if a node fails.

uv run --script run_dag.py SPEC.yaml PIPELINE_ROOT VOLUME MOUNT_PATH '{"parameter": value}'
"""
# /// script
# requires-python = ">=3.10"
# # 2.16 takes failed containers for successes where Docker's API is podman's.
# dependencies = ["docker==7.2.0", "kfp==2.15.2", "kfp-kubernetes==2.15.2"]
# ///

import json
import sys
from pathlib import Path

import yaml
from google.protobuf import json_format
from kfp import components, local
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2


def run(spec: str, pipeline_root: str, volume: str, mount_path: str, parameters: str) -> None:
    # As strict as a cluster can be: nothing is writable but /tmp and the mounts, and there is no network.
    runner = local.DockerRunner(
        # KFP's command takes the place of an image's entry point; that of kfp.local is only appended to it.
        entrypoint=["env"],
        user="65532:65532",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        read_only=True,
        network_mode="none",
        tmpfs={"/tmp": "mode=1777"},
        mounts=[{"Type": "bind", "Source": volume, "Target": mount_path}],
    )
    local.init(runner, pipeline_root=pipeline_root)
    given = json.loads(parameters)
    documents = list(yaml.safe_load_all(Path(spec).read_text(encoding="utf-8")))
    check(documents)
    components.load_component_from_text(yaml.safe_dump_all(documents))(**given)


def check(documents: list[dict]) -> None:
    """Reads both documents by KFP's own protos, which refuse what they do not know."""
    specification, platforms = documents
    json_format.ParseDict(specification, pipeline_spec_pb2.PipelineSpec())
    executors = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for executor in executors.values():
        json_format.ParseDict(executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig())


if __name__ == "__main__":
    try:
        run(*sys.argv[1:])
    except RuntimeError as error:
        sys.exit(str(error))
