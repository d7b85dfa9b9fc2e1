"""What each part of a cluster of one node is told: flags, and the contents of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from machine import CNI_PLUGINS
from pki import Authority

NODE: Final = "n1"
ADDRESS: Final = "10.88.0.1"

_SERVER: Final = f"https://{ADDRESS}:6443"
_DNS: Final = "10.96.0.10"
_ETCD: Final = "http://127.0.0.1:2379"
_ETCD_PEERS: Final = "http://127.0.0.1:2380"


def sign(folder: Path) -> None:
    """Writes what the parts of the cluster show to one another."""
    authority = Authority(folder)
    service = ("kubernetes", "kubernetes.default", "kubernetes.default.svc",
               "kubernetes.default.svc.cluster.local")  # fmt: skip
    authority.issue("kube-apiserver", "kube-apiserver", hosts=(*service, "127.0.0.1", "10.96.0.1", ADDRESS))
    authority.issue("kubelet-client", "kubelet-client", "system:masters")
    authority.issue("front-proxy", "front-proxy-client")
    authority.write_key("accounts")
    for name, user, group, hosts in (
        ("admin", "admin", "system:masters", ()),
        ("kubelet", f"system:node:{NODE}", "system:nodes", (NODE, ADDRESS)),
        ("kube-controller-manager", "system:kube-controller-manager", None, ()),
        ("kube-scheduler", "system:kube-scheduler", None, ()),
        ("kube-proxy", "system:kube-proxy", None, ()),
    ):
        authority.issue(name, user, group, hosts)
        authority.write_kubeconfig(name, _SERVER)


def etcd(folder: Path) -> list[str]:
    return [
        "etcd", f"--name={NODE}", f"--data-dir={folder}/etcd", "--unsafe-no-fsync", "--log-level=warn",
        f"--listen-client-urls={_ETCD}", f"--advertise-client-urls={_ETCD}",
        f"--listen-peer-urls={_ETCD_PEERS}", f"--initial-advertise-peer-urls={_ETCD_PEERS}",
        f"--initial-cluster={NODE}={_ETCD_PEERS}",
    ]  # fmt: skip


def api_server(pki: Path) -> list[str]:
    files = {
        "client-ca-file": "ca.crt",
        "tls-cert-file": "kube-apiserver.crt",
        "tls-private-key-file": "kube-apiserver.key",
        "kubelet-certificate-authority": "ca.crt",
        "kubelet-client-certificate": "kubelet-client.crt",
        "kubelet-client-key": "kubelet-client.key",
        "service-account-key-file": "accounts.key",
        "service-account-signing-key-file": "accounts.key",
        "requestheader-client-ca-file": "ca.crt",
        "proxy-client-cert-file": "front-proxy.crt",
        "proxy-client-key-file": "front-proxy.key",
    }
    return [
        "kube-apiserver", *(f"--{flag}={pki / file}" for flag, file in files.items()),
        f"--etcd-servers={_ETCD}", f"--advertise-address={ADDRESS}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
        "--kubelet-preferred-address-types=InternalIP", "--allow-privileged=true", "--profiling=false",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--requestheader-allowed-names=front-proxy-client", "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    ]  # fmt: skip


def controllers(pki: Path) -> list[str]:
    return [
        "--use-service-account-credentials", f"--service-account-private-key-file={pki}/accounts.key",
        f"--root-ca-file={pki}/ca.crt", f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
    ]  # fmt: skip


def containerd(folder: Path) -> str:
    return f"""version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
address = "{folder}/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:1"
# Scores below a process' own ask for a capability that machines in machines lack.
restrict_oom_score_adj = true
disable_apparmor = true
disable_hugetlb_controller = true
tolerate_missing_hugetlb_controller = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = "{folder}/cni"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"""


def pod_network(folder: Path) -> dict[str, Any]:
    addresses = {
        "type": "host-local",
        "dataDir": str(folder / "addresses"),
        "ranges": [[{"subnet": "10.244.0.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "pods0", "isGateway": True, "ipMasq": True, "hairpinMode": True,
              "ipam": addresses}  # fmt: skip
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}


def kubelet_settings(folder: Path, group: str) -> dict[str, Any]:
    pki = folder / "pki"
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{group}",
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "podLogsDir": str(folder / "pod-logs"),
        "volumePluginDir": str(folder / "volume-plugins"),
        "resolvConf": str(folder / "resolv.conf"),
        "clusterDNS": [_DNS],
        "clusterDomain": "cluster.local",
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet.key"),
        "healthzBindAddress": "127.0.0.1",
        # The machine's disk and memory are not the cluster's alone.
        "evictionHard": dict.fromkeys(
            ("memory.available", "nodefs.available", "imagefs.available", "nodefs.inodesFree"), "0%"
        ),
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    }


def proxy_settings(folder: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(folder / "pki/kube-proxy.kubeconfig")},
        "mode": "iptables",
        "clusterCIDR": "10.244.0.0/16",
        "hostnameOverride": NODE,
        "oomScoreAdj": 0,
        "healthzBindAddress": "127.0.0.1",
        "metricsBindAddress": "127.0.0.1",
        # Limits of the whole machine are not this cluster's to set.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
