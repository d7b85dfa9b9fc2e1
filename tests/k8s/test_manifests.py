"""Objects are valid by Kubernetes' schemas, and fit together."""

from __future__ import annotations

import json
import re
from typing import Any

import kubernetes_validate
import pytest
from manifests import OVERLAYS, ROOT, SERVED_ON, WITH_SERVER, Object, Rendered, render

# `sleep` in preStop needs the first.
KUBERNETES_VERSIONS = ("1.30", kubernetes_validate.latest_version().rpartition(".")[0])
# Their schemas come with their operators; this is what those cannot do without.
CUSTOM = {
    "ServiceMonitor": ("monitoring.coreos.com/v1", ("selector", "endpoints")),
    "InferenceService": ("serving.kserve.io/v1beta1", ("predictor",)),
}

_valid: set[str] = set()


@pytest.fixture(params=OVERLAYS)
def rendered(request: pytest.FixtureRequest) -> Rendered:
    return render(request.param)


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_every_object_is_valid_by_the_schemas_of_kubernetes(rendered: Rendered, version: str) -> None:
    for found in rendered.objects:
        # Most objects are in several overlays.
        key = version + json.dumps(found, sort_keys=True)
        if key not in _valid and found["kind"] not in CUSTOM:
            assert kubernetes_validate.validate(found, version, strict=True) == version
        _valid.add(key)


def test_a_misspelt_field_is_not_valid() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"port": []}}
    with pytest.raises(kubernetes_validate.ValidationError, match="'port' was unexpected"):
        kubernetes_validate.validate(service, KUBERNETES_VERSIONS[0], strict=True)


def test_custom_resources_have_what_their_operators_need(rendered: Rendered) -> None:
    for found in rendered.of(*CUSTOM):
        api_version, fields = CUSTOM[found["kind"]]
        assert found["apiVersion"] == api_version
        assert all(found["spec"][field] for field in fields)


def test_kserve_serves_a_model_of_the_registry() -> None:
    rendered = render("overlays/kserve")
    (found,) = rendered.of("InferenceService")
    model, name = found["spec"]["predictor"]["model"], found["metadata"]["name"]
    (claim,) = rendered.names("PersistentVolumeClaim")
    assert model["modelFormat"]["name"] == "tensorflow"
    assert model["storageUri"] == f"pvc://{claim}/models/{name}"
    assert model["readinessProbe"]["httpGet"]["path"] == f"/v1/models/{name}"


def test_every_object_is_in_the_namespace(rendered: Rendered) -> None:
    places = {o["metadata"].get("namespace") for o in rendered.objects if o["kind"] != "Namespace"}
    assert places == {"millrace"}
    assert rendered.names("Namespace") <= {"millrace"}


def test_the_namespace_is_made_and_restricted() -> None:
    (namespace,) = render("namespace").objects
    assert (namespace["kind"], namespace["metadata"]["name"]) == ("Namespace", "millrace")
    assert namespace["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}
    assert [overlay for overlay in OVERLAYS if render(overlay).names("Namespace")] == ["overlays/local"]


def test_all_servers_are_of_one_version() -> None:
    containers = [c for overlay in OVERLAYS for pod in render(overlay).pods for c in pod.containers]
    images = [container.get("image", "") for container in containers]
    tags = {image.partition(":")[2] for image in images if image.startswith("tensorflow/serving:")}
    by_kserve = {c["runtimeVersion"] for c in containers if "runtimeVersion" in c}
    dockerfile = (ROOT / "docker/serving/Dockerfile").read_text()
    by_docker = set(re.findall(r"^ARG IMAGE=tensorflow/serving:(\S+)$", dockerfile, re.MULTILINE))
    assert {tag.removesuffix("-gpu") for tag in tags} == by_kserve == by_docker


def test_every_selector_selects_something(rendered: Rendered) -> None:
    pods = [pod.labels for pod in rendered.pods]
    services = [service["metadata"]["labels"] for service in rendered.of("Service")]
    for found in rendered.of("Service"):
        assert any(selected({"matchLabels": found["spec"]["selector"]}, labels) for labels in pods)
    for found in rendered.of("Deployment", "PodDisruptionBudget"):
        assert any(selected(found["spec"]["selector"], labels) for labels in pods)
    for found in rendered.of("NetworkPolicy"):
        assert any(selected(found["spec"]["podSelector"], labels) for labels in pods)
    for found in rendered.of("ServiceMonitor"):
        assert any(selected(found["spec"]["selector"], labels) for labels in services)
    for found in rendered.of("HorizontalPodAutoscaler"):
        assert found["spec"]["scaleTargetRef"]["name"] in rendered.names("Deployment")


def selected(selector: Object, labels: dict[str, str]) -> bool:
    exact = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return exact and all(labels.get(r["key"]) in r["values"] for r in selector.get("matchExpressions", ()))


def test_servers_and_jobs_have_a_network_policy(rendered: Rendered) -> None:
    policies = [found["spec"]["podSelector"] for found in rendered.of("NetworkPolicy")]
    for pod in rendered.pods:
        if pod.owner.startswith(("Deployment", "CronJob")):
            assert any(selected(policy, pod.labels) for policy in policies), pod.owner


def test_volumes_and_their_sources_are_there(rendered: Rendered) -> None:
    for pod in rendered.pods:
        volumes = pod.spec.get("volumes", ())
        mounted = {
            mount["name"] for container in pod.containers for mount in container.get("volumeMounts", ())
        }
        assert mounted == {volume["name"] for volume in volumes}, pod.owner
        maps = {volume["configMap"]["name"] for volume in volumes if "configMap" in volume}
        assert maps <= rendered.names("ConfigMap")
        assert set(pod.claims.values()) <= rendered.names("PersistentVolumeClaim")
        # A secret is made by the user; without one the pods start all the same.
        assert all(volume["secret"]["optional"] for volume in volumes if "secret" in volume)


def test_environment_variables_have_their_sources(rendered: Rendered) -> None:
    for container in (container for pod in rendered.pods for container in pod.containers):
        maps = {source["configMapRef"]["name"] for source in container.get("envFrom", ())}
        assert maps <= rendered.names("ConfigMap")
        variables = container.get("env", ())
        assert all("value" in v or v["valueFrom"]["secretKeyRef"]["optional"] for v in variables)


def test_every_claim_is_used(rendered: Rendered) -> None:
    uris = [found["spec"]["predictor"]["model"]["storageUri"] for found in rendered.of("InferenceService")]
    used = {claim for pod in rendered.pods for claim in pod.claims.values()}
    assert rendered.names("PersistentVolumeClaim") == used | {uri.split("/")[2] for uri in uris}


@pytest.mark.parametrize("overlay", WITH_SERVER)
def test_ports_are_the_same_from_container_to_policy(overlay: str) -> None:
    rendered = render(overlay)
    ports = rendered.pod("Deployment/model-server").containers[0]["ports"]
    service = rendered.named("Service", "model-server")["spec"]["ports"]
    (rule,) = rendered.named("NetworkPolicy", "model-server")["spec"]["ingress"]
    assert {port["name"]: port["containerPort"] for port in ports} == SERVED_ON
    assert {port["name"]: port["port"] for port in service} == SERVED_ON
    assert {port["targetPort"] for port in service} == set(SERVED_ON)
    assert {port["port"] for port in rule["ports"]} == set(SERVED_ON)


def test_metrics_are_fetched_where_policy_and_server_offer_them() -> None:
    rendered = render("overlays/gpu")
    (endpoint,) = rendered.named("ServiceMonitor", "model-server")["spec"]["endpoints"]
    (rule,) = rendered.named("NetworkPolicy", "model-server-metrics")["spec"]["ingress"]
    assert rule["ports"] == [{"port": endpoint["port"]}]
    assert f'path: "{endpoint["path"]}"' in rendered.settings("model-server")["monitoring.config"]


def test_role_bindings_name_roles_and_whole_accounts(rendered: Rendered) -> None:
    for binding in rendered.of("RoleBinding"):
        assert binding["roleRef"]["name"] in rendered.names("Role")
        assert all(subject["namespace"] == "millrace" for subject in binding["subjects"])


def test_runs_mount_the_claim_that_is_served() -> None:
    cluster: Any = pytest.importorskip("pipelines.dag.cluster")
    volume = cluster.ClusterConfig().volume
    retraining = render("overlays/gpu").pod("CronJob/retraining")
    mounts = {mount["name"]: mount["mountPath"] for mount in retraining.containers[0]["volumeMounts"]}
    assert {(claim, mounts[name]) for name, claim in retraining.claims.items()} == {
        (volume.claim, volume.mount_path)
    }
