"""What the compiler writes: the files in `golden`, KFP's own protos, and what it refuses to translate."""

import copy
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.config import ConfigError
from pipelines.dag.cluster import ClusterConfig, NodeConfig
from pipelines.dag.settings import Overrides
from pipelines.kubeflow import platform
from pipelines.kubeflow.compiled import cluster_config, compile_task, unopened
from pipelines.kubeflow.node import run_id
from pipelines.tasks import TASKS

GOLDEN = Path(__file__).parent / "golden"
# `MILLRACE_WRITE_GOLDEN=1 pytest …` after a change that is meant; then read the difference.
WRITE_GOLDEN = "MILLRACE_WRITE_GOLDEN" in os.environ

# Kubernetes takes these names for labels and pods, Argo for templates.
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def compiled(task: str, overrides: Overrides | None = None, **given: Any) -> str:
    found, changes = TASKS[task], overrides or {}
    return compile_task(
        found, cluster_config(found, changes, **given), changes, "registry.example/millrace:1"
    ).yaml


def documents(task: str, overrides: Overrides | None = None, **given: Any) -> tuple[Any, Any]:
    specification, platforms = yaml.safe_load_all(compiled(task, overrides, **given))
    return specification, platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def node(specification: Any, name: str) -> Any:
    arguments = specification["deploymentSpec"]["executors"][f"exec-{name}"]["container"]["args"]
    return json.loads(arguments[arguments.index("--node") + 1])


@pytest.mark.parametrize("task", ["mnist", "cola"])
def test_the_pipeline_is_the_golden_one(task: str) -> None:
    got = [without_fingerprints(document) for document in yaml.safe_load_all(compiled(task))]
    file = GOLDEN / f"{task}.yaml"
    if WRITE_GOLDEN:
        file.write_text(yaml.safe_dump_all(got, width=110), encoding="utf-8")
    assert got == list(yaml.safe_load_all(file.read_text(encoding="utf-8")))


def without_fingerprints(value: Any) -> Any:
    """Returns a document without what changes with every line of code."""
    if isinstance(value, dict):
        return {key: without_fingerprints(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_fingerprints(inner) for inner in value]
    if isinstance(value, str) and '"exec_properties": ' in value:
        node = json.loads(value)
        node["exec_properties"]["fingerprint"] = "{}"
        value = json.dumps(node, sort_keys=True)
    return re.sub(r"\b[0-9a-f]{16}\b", "0" * 16, value) if isinstance(value, str) else value


@pytest.mark.parametrize("task", TASKS)
def test_kfp_reads_every_task(task: str) -> None:
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    specification, _ = documents(task)
    known = pipeline_spec_pb2.PipelineDeploymentConfig.PipelineContainerSpec.ResourceSpec.DESCRIPTOR
    if "resource_cpu_limit" not in known.fields_by_name:
        specification = without_new_fields(specification)
    json_format.ParseDict(specification, pipeline_spec_pb2.PipelineSpec())


def without_new_fields(specification: Any) -> Any:
    """Returns a specification as the protos of kfp 2.5 know it."""
    older = copy.deepcopy(specification)
    for executor in older["deploymentSpec"]["executors"].values():
        resources = executor.get("container", {}).get("resources", {})
        for name in [name for name in resources if name.startswith("resource")]:
            del resources[name]
    return older


@pytest.mark.parametrize("task", TASKS)
def test_names_suit_kubernetes_and_every_reference_exists(task: str) -> None:
    specification, executors = documents(task)
    tasks = specification["root"]["dag"]["tasks"]
    parameters = specification["root"]["inputDefinitions"]["parameters"]
    assert all(NAME.fullmatch(name) for name in (*tasks, specification["pipelineInfo"]["name"]))
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in parameters)
    for name, entry in tasks.items():
        component = specification["components"][entry["componentRef"]["name"]]
        assert component["executorLabel"] in specification["deploymentSpec"]["executors"]
        assert component["executorLabel"] in executors
        declared = component["inputDefinitions"]
        assert set(entry.get("inputs", {}).get("artifacts", {})) == set(declared.get("artifacts", {}))
        for given in entry.get("inputs", {}).get("artifacts", {}).values():
            source = given["taskOutputArtifact"]
            producer = specification["components"][f"comp-{source['producerTask']}"]
            assert source["outputArtifactKey"] in producer["outputDefinitions"]["artifacts"], name
            assert source["producerTask"] in entry["dependentTasks"]
        for given in entry.get("inputs", {}).get("parameters", {}).values():
            assert given["componentInputParameter"] in parameters


def scheduled(**given: Any) -> Any:
    found = TASKS["mnist"]
    text = compile_task(found, cluster_config(found, {}, **given), {}, "image:1", if_news=True).yaml
    return next(iter(yaml.safe_load_all(text)))


def test_a_scheduled_run_begins_with_a_look_for_news() -> None:
    tasks = scheduled()["root"]["dag"]["tasks"]
    assert "dependentTasks" not in tasks["news"]
    conditional = {name for name, task in tasks.items() if "triggerPolicy" in task}
    assert conditional == {"example-gen", "schema-gen"}
    first = tasks["example-gen"]
    assert first["dependentTasks"] == ["news"]
    assert first["triggerPolicy"] == {"condition": "inputs.parameter_values['news'] == 'yes'"}
    assert first["inputs"]["parameters"]["news"] == {
        "taskOutputParameter": {"producerTask": "news", "outputParameterKey": "news"}
    }
    # All others wait for one of these.
    assert all(task["dependentTasks"] for name, task in tasks.items() if name != "news")


def test_news_are_looked_for_in_fetched_data_too() -> None:
    specification = scheduled(data_dir="gs://bucket/mnist")
    tasks = specification["root"]["dag"]["tasks"]
    assert tasks["news"]["dependentTasks"] == ["data"]
    assert tasks["example-gen"]["dependentTasks"] == ["data", "news"]
    assert "triggerPolicy" not in tasks["data"]
    asks = node(specification, "news")
    assert (asks["data_input"], asks["asks"]) == ("data", True)
    assert {parameter["name"] for parameter in asks["parameters"]} >= {"train_num_epochs", "train_seed"}


def test_kfp_reads_a_scheduled_run() -> None:
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    json_format.ParseDict(without_new_fields(scheduled()), pipeline_spec_pb2.PipelineSpec())


def test_data_that_does_not_fit_the_schema_holds_transform_up() -> None:
    specification, _ = documents("mnist")
    assert "example-validator" in specification["root"]["dag"]["tasks"]["transform"]["dependentTasks"]


def test_what_depends_on_more_than_its_inputs_is_never_cached() -> None:
    tasks = documents("mnist")[0]["root"]["dag"]["tasks"]
    uncached = {name for name, task in tasks.items() if not task["cachingOptions"]}
    assert uncached == {"example-gen", "latest-blessed-model", "pusher"}
    tasks = documents("mnist", enable_cache=False)[0]["root"]["dag"]["tasks"]
    assert not any(task["cachingOptions"] for task in tasks.values())


def test_settings_of_a_run_are_parameters_with_defaults() -> None:
    specification, _ = documents("mnist", {"train": {"seed": 7}})
    parameters = specification["root"]["inputDefinitions"]["parameters"]
    assert parameters["train_num_epochs"] == {
        "parameterType": "NUMBER_INTEGER",
        "isOptional": True,
        "defaultValue": TASKS["mnist"].train.num_epochs,
        "description": "train.num_epochs",
    }
    assert parameters["train_learning_rate"]["parameterType"] == "NUMBER_DOUBLE"
    assert parameters["train_num_steps"]["defaultValue"] == 0
    assert parameters["train_seed"]["defaultValue"] == 7
    assert all("defaultValue" in parameter for parameter in parameters.values())
    assert parameters["data"]["defaultValue"] == "/millrace/data/mnist"
    trainer = specification["root"]["dag"]["tasks"]["trainer"]["inputs"]["parameters"]
    assert trainer["train_seed"] == {"componentInputParameter": "train_seed"}


def test_a_run_with_other_parameters_needs_no_other_pipeline() -> None:
    found = TASKS["mnist"]
    plain, changed = (
        compile_task(found, cluster_config(found, changes), changes, "image:1", share=True)
        for changes in ({}, {"train": {"num_epochs": 3, "num_steps": None}})
    )
    assert plain.yaml == changed.yaml
    assert (plain.parameters, changed.parameters) == ({}, {"train_num_epochs": 3, "train_num_steps": 0})


def test_a_uri_of_data_becomes_an_importer() -> None:
    specification, _ = documents("mnist", data_dir="gs://bucket/mnist")
    tasks = specification["root"]["dag"]["tasks"]
    assert tasks["data"]["inputs"]["parameters"]["uri"] == {"componentInputParameter": "data"}
    source = tasks["example-gen"]["inputs"]["artifacts"]["data"]["taskOutputArtifact"]
    assert source == {"producerTask": "data", "outputArtifactKey": "artifact"}
    assert node(specification, "example-gen")["data_input"] == "data"


def test_beam_runs_elsewhere_but_reads_fetched_data_here() -> None:
    beam = {"runner": "FlinkRunner", "environment_type": "EXTERNAL"}
    specification, _ = documents("mnist", data_dir="gs://bucket/mnist", beam=beam)
    transform = node(specification, "transform")
    assert "--runner=FlinkRunner" in transform["beam_args"]
    assert "--environment_type=EXTERNAL" in transform["beam_args"]
    assert transform["remote"]
    example_gen = node(specification, "example-gen")
    assert not {"beam_args", "remote"} & set(example_gen)
    assert "beam_args" not in node(specification, "pusher")


def test_gpus_are_asked_for_as_gke_knows_them() -> None:
    gpu = {"accelerator": "nvidia-h100-80gb", "count": 4, "shm": "8Gi", "retries": 2, "timeout_s": 3600}
    specification, executors = documents("mnist", {"cluster": {"trainer": gpu}})
    container = specification["deploymentSpec"]["executors"]["exec-trainer"]["container"]
    assert container["resources"]["accelerator"] == {
        "type": "nvidia.com/gpu", "resourceType": "nvidia.com/gpu", "count": "4", "resourceCount": "4"
    }  # fmt: skip
    pod = executors["exec-trainer"]
    assert pod["nodeSelector"] == {"labels": {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"}}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert pod["activeDeadlineSeconds"] == "3600"
    (shm,) = pod["emptyDirMounts"]
    assert (shm["mountPath"], shm["medium"], shm["sizeLimit"]) == ("/dev/shm", "Memory", "8Gi")
    retry = specification["root"]["dag"]["tasks"]["trainer"]["retryPolicy"]
    assert retry["maxRetryCount"] == 2
    other = specification["deploymentSpec"]["executors"]["exec-transform"]["container"]
    assert "accelerator" not in other["resources"]
    assert "nodeSelector" not in executors["exec-transform"]


def test_a_tpu_slice_is_asked_for_as_gke_knows_it() -> None:
    tpu = {"accelerator": "tpu-v5-lite-podslice", "topology": "2x4", "count": 8}
    specification, executors = documents("mnist", {"cluster": {"trainer": tpu}})
    container = specification["deploymentSpec"]["executors"]["exec-trainer"]["container"]
    assert container["resources"]["accelerator"]["resourceType"] == "google.com/tpu"
    assert executors["exec-trainer"]["nodeSelector"]["labels"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "2x4",
    }


def test_memory_and_processors_are_written_for_old_and_new_backends() -> None:
    assert platform.resources(NodeConfig(cpu="500m", memory="2Gi")) == {
        "resources": {
            "cpuLimit": 0.5, "resourceCpuLimit": "500m", "cpuRequest": 0.5, "resourceCpuRequest": "500m",
            "memoryLimit": 2.147483648, "resourceMemoryLimit": "2Gi",
            "memoryRequest": 2.147483648, "resourceMemoryRequest": "2Gi",
        }
    }  # fmt: skip
    assert platform.resources(NodeConfig()) == {}


def test_volumes_and_secrets_are_named_never_copied() -> None:
    cluster = ClusterConfig(
        image_pull_secret="regcred", secret_env={"AWS_SECRET_ACCESS_KEY": "s3/secret-key"}
    )
    pod = platform.pod(NodeConfig(), cluster)
    assert pod["pvcMount"][0]["mountPath"] == "/millrace"
    assert pod["pvcMount"][0]["pvcNameParameter"] == {"runtimeValue": {"constant": "millrace"}}
    assert pod["imagePullSecret"][0]["secretName"] == "regcred"
    assert pod["secretAsEnv"][0]["keyToEnv"] == [
        {"secretKey": "secret-key", "envVar": "AWS_SECRET_ACCESS_KEY"}
    ]


def test_several_hosts_become_a_job_and_a_small_pod_that_follows_it() -> None:
    hosts = {"accelerator": "nvidia.com/gpu", "count": 8, "workers": 3, "memory": "64Gi"}
    specification, executors = documents("mnist", {"cluster": {"trainer": hosts}})
    trainer = node(specification, "trainer")
    workers = trainer["job"]["spec"]["tfReplicaSpecs"]["Worker"]
    (container,) = workers["template"]["spec"]["containers"]
    assert workers["replicas"] == 3
    assert container["name"] == "tensorflow"
    assert container["resources"]["limits"] == {"cpu": "4", "memory": "64Gi", "nvidia.com/gpu": "8"}
    assert trainer["stage_dir"].startswith("/millrace/")
    follower = specification["deploymentSpec"]["executors"]["exec-trainer"]["container"]
    assert "accelerator" not in follower["resources"]
    assert "tolerations" not in executors["exec-trainer"]
    assert follower["resources"]["resourceCpuRequest"] == "100m"
    # It copies as fast as any other node.
    assert follower["resources"]["resourceCpuLimit"] == "2"


def test_several_hosts_are_tried_again_as_the_trainer_is_and_end_some_day() -> None:
    hosts = {"workers": 3, "retries": 2, "timeout_s": 7200, "start_timeout_s": 600}
    overrides = {"cluster": {"trainer": hosts, "node": {"retries": 5, "timeout_s": 60}}}
    specification, executors = documents("mnist", overrides)
    policy = node(specification, "trainer")["job"]["spec"]["runPolicy"]
    # The restarts of all three workers are counted together.
    assert policy["backoffLimit"] == 7
    assert policy["activeDeadlineSeconds"] == 7200
    assert node(specification, "trainer")["start_timeout_s"] == 600
    tasks = specification["root"]["dag"]["tasks"]
    assert tasks["trainer"]["retryPolicy"]["maxRetryCount"] == 2
    assert tasks["transform"]["retryPolicy"]["maxRetryCount"] == 5
    # Two hours to make the job, and to tell how it ended.
    assert executors["exec-trainer"]["activeDeadlineSeconds"] == str(7200 + 600 + 7200)


def test_the_run_is_told_by_no_argument() -> None:
    executors = documents("mnist")[0]["deploymentSpec"]["executors"].values()
    assert not any("pipeline_job_uuid" in json.dumps(executor) for executor in executors)


def test_the_run_stands_in_the_path_of_what_a_node_reports() -> None:
    path = "/minio/bucket/trainer/v2/artifacts/mnist/1f-2e/latest-blessed-model/5d-6c/output_metadata.json"
    assert run_id("LatestBlessedModel", path) == "1f-2e"
    with pytest.raises(ConfigError, match=r"outputFile: expected …/RUN/trainer/…, got /tmp/out\.json"):
        run_id("Trainer", "/tmp/out.json")


@pytest.mark.parametrize(
    ("overrides", "given", "message"),
    [
        ({"cluster": {"trainer": {"accelerator": "tpu-v5"}}}, {}, "cluster.trainer: .*topology"),
        (
            {"cluster": {"trainer": {"accelerator": "tpu-x", "topology": "4x4", "workers": 2}}},
            {},
            "cluster.trainer: .*single-host",
        ),
        ({"cluster": {"trainer": {"acelerator": "x"}}}, {}, "did you mean 'accelerator'"),
        ({"cluster": {"node": {"memory": "lots"}}}, {}, "cluster.node.memory: expected an amount of memory"),
        ({"cluster": {"node": {"memory": "500m"}}}, {}, "cluster.node.memory: .*16Gi, 16GB or 500M"),
        ({"cluster": {"node": {"memory": "16i"}}}, {}, "cluster.node.memory: expected an amount"),
        ({"cluster": {"node": {"cpu": "4Gi"}}}, {}, "cluster.node.cpu: expected processors, such as 4, 0.5"),
        ({"cluster": {"volume": {"claim": "data.nfs"}}}, {}, "cluster.volume.claim: .* no dots in"),
        (
            {},
            {"data_dir": "minio://raw/mnist"},
            "data_dir minio://raw/mnist: expected the bucket of the artifact root, minio://mlpipeline/v2/artifacts",
        ),
        ({"cluster": {"volume": {"claim": None}}}, {}, "data_dir /millrace/data/mnist: expected a URI"),
        ({}, {"models_dir": "minio://bucket/models"}, "models_dir minio://.*volume, or one of gs://, s3://$"),
        ({}, {"pipeline_root": "s3://bucket/root"}, "pipeline_root s3://.*, or one of gs://$"),
        ({"train": {"num_epochs": 0}}, {}, "train.num_epochs"),
        ({"nodes": {"cpu": 1}}, {}, "unknown section 'nodes'"),
    ],
)  # fmt: skip
def test_settings_that_do_not_hold_are_one_line(overrides: Overrides, given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        compiled("mnist", overrides, **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "cpu", "memory"),
    [
        ({"cpu": 4, "memory": "16GiB"}, "4", "16Gi"),
        ({"cpu": 0.5, "memory": "16 gb"}, "0.5", "16G"),
        ({"cpu": "500m", "memory": "1.5Ti"}, "500m", "1.5Ti"),
        ({"cpu": "2", "memory": 17179869184}, "2", "17179869184"),
        ({"cpu": 1, "memory": "512MB"}, "1", "512M"),
        ({"cpu": 1, "memory": "64KB"}, "1", "64k"),
        ({"cpu": 1, "memory": "64ki"}, "1", "64Ki"),
    ],
)
def test_quantities_are_taken_as_people_write_them(written: dict[str, Any], cpu: str, memory: str) -> None:
    specification, _ = documents("mnist", {"cluster": {"node": written}})
    asked = specification["deploymentSpec"]["executors"]["exec-pusher"]["container"]["resources"]
    assert (asked["resourceCpuLimit"], asked["resourceMemoryLimit"]) == (cpu, memory)


KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")


@pytest.mark.parametrize(
    ("data", "given", "root"),
    [
        ("minio://raw/mnist", (), "minio://raw/artifacts"),
        ("minio://raw/mnist", (), "minio://raw"),
        ("minio://raw/mnist", (*KEYS, "AWS_ENDPOINT_URL"), None),
        ("s3://raw/mnist", KEYS, None),
        ("s3://raw/mnist", (), "s3://raw/artifacts"),
        # By a role of the pods' account, of which nothing is known here.
        ("s3://raw/mnist", (), None),
        ("s3://raw/mnist", (), "gs://root"),
        ("gs://raw/mnist", (), "s3://root"),
    ],
)
def test_data_lie_in_the_root_s_bucket_or_come_with_all_that_opens_another(
    data: str, given: tuple[str, ...], root: str | None
) -> None:
    keys = {"cluster": {"secret_env": dict.fromkeys(given, "raw/key")}}
    assert cluster_config(TASKS["mnist"], keys, data_dir=data, artifact_root=root).data_dir == data


@pytest.mark.parametrize(
    ("data", "given", "root", "missing"),
    [
        ("minio://raw/mnist", (), None, ", ".join((*KEYS, "AWS_ENDPOINT_URL"))),
        # The way to another server than AWS's.
        ("minio://raw/mnist", KEYS, "minio://root", "AWS_ENDPOINT_URL"),
        ("minio://raw/mnist", KEYS, "s3://raw", "AWS_ENDPOINT_URL"),
        ("s3://raw/mnist", KEYS[:2], None, "AWS_REGION"),
        ("s3://raw/mnist", KEYS[:1], "s3://root", "AWS_SECRET_ACCESS_KEY, AWS_REGION"),
    ],
)  # fmt: skip
def test_data_in_another_bucket_without_all_that_opens_it_are_refused(
    data: str, given: tuple[str, ...], root: str | None, missing: str
) -> None:
    keys = {"cluster": {"secret_env": dict.fromkeys(given, "raw/key")}}
    expected = (
        f"expected the bucket of the artifact root, {root or 'minio://mlpipeline/v2/artifacts'}, or also"
    )
    with pytest.raises(ConfigError) as refused:
        cluster_config(TASKS["mnist"], keys, data_dir=data, artifact_root=root)
    assert str(refused.value) == f"data_dir {data}: {expected} {missing} in cluster.secret_env"


def test_a_file_in_the_volume_is_opened_where_that_is_mounted(tmp_path: Path) -> None:
    changes: Overrides = {
        "preprocessing": {"vocabulary": str(tmp_path / "vocab.txt")},
        "cluster": {"volume": {"mount_path": str(tmp_path)}},
    }
    assert unopened(changes) == ["preprocessing.vocabulary"]
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    assert unopened(changes) == []
    assert cluster_config(TASKS["cola"], changes).data_dir == f"{tmp_path}/data/cola"


def test_presets_for_accelerators_are_settings() -> None:
    from pipelines.dag.settings import read_overrides

    presets = sorted((Path(__file__).parents[3] / "k8s" / "presets").glob("*.yaml"))
    assert presets
    for preset in presets:
        specification, _ = documents("mnist", read_overrides([preset], ()))
        assert "accelerator" in json.dumps(specification["deploymentSpec"]["executors"]["exec-trainer"])


class Unsupported:
    """Pipelines that cannot be translated."""

    @staticmethod
    def condition() -> Any:
        import tfx.v1 as tfx

        first, second = schema_gen("First"), schema_gen("Second")
        with tfx.dsl.Cond(first.outputs["schema"].future()[0].uri != "x"):
            third = schema_gen("Third")
        return [first, second, third], "Third: CondContext is not translated"

    @staticmethod
    def clash() -> Any:
        return [schema_gen("SchemaGen"), schema_gen("schema_gen")], "schema_gen: named like SchemaGen"

    @staticmethod
    def resolver() -> Any:
        import tfx.v1 as tfx

        resolver = tfx.dsl.Resolver(
            strategy_class=tfx.dsl.experimental.LatestArtifactStrategy,
            schema=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Schema),
        ).with_id("Latest")
        return [resolver], "Latest: Resolver is not translated"

    @staticmethod
    def union() -> Any:
        import tfx.v1 as tfx
        from tfx.types import channel_utils

        first, second = schema_gen("First"), schema_gen("Second")
        union = channel_utils.union([first.outputs["schema"], second.outputs["schema"]])
        validator = tfx.components.StatisticsGen(
            examples=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Examples), schema=union
        )
        return [first, second, validator], "StatisticsGen: expected another node's output as"


def schema_gen(node_id: str) -> Any:
    from components.example_gen.schema import TaskSchemaGen

    return TaskSchemaGen({}).with_id(node_id)


@pytest.mark.parametrize("case", ["condition", "clash", "resolver", "union"])
def test_what_kubeflow_cannot_run_is_refused_with_the_name_of_the_node(case: str, tmp_path: Path) -> None:
    import tfx.v1 as tfx

    from pipelines.kubeflow.runner import compile_pipeline

    components, message = getattr(Unsupported, case)()
    pipeline = tfx.dsl.Pipeline(pipeline_name="p", pipeline_root=str(tmp_path), components=components)
    with pytest.raises(ConfigError, match=re.escape(message)):
        compile_pipeline(pipeline, "image:1", ClusterConfig())


def test_a_constant_uri_stands_in_the_importer_itself(tmp_path: Path) -> None:
    import tfx.v1 as tfx

    from pipelines.kubeflow.runner import compile_pipeline

    schema = tfx.types.standard_artifacts.Schema
    importer = tfx.dsl.Importer(source_uri="gs://bucket/schema", artifact_type=schema).with_id("OldSchema")
    pipeline = tfx.dsl.Pipeline(pipeline_name="p", pipeline_root=str(tmp_path), components=[importer])
    specification = next(yaml.safe_load_all(compile_pipeline(pipeline, "image:1", ClusterConfig())))
    executor = specification["deploymentSpec"]["executors"]["exec-old-schema"]
    assert executor["importer"]["artifactUri"] == {"constant": "gs://bucket/schema"}
    assert "inputs" not in specification["root"]["dag"]["tasks"]["old-schema"]
    assert "inputDefinitions" not in specification["components"]["comp-old-schema"]
