"""What runs on the node, with which files. Pure: texts and command lines, nothing is started.

The paths here are the node's: its state folder is mounted at STATE there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from e2e.cluster.controlplane import CLUSTER_DOMAIN, ControlPlane
from e2e.cluster.network import Network

STATE = Path("/run/memorybank")
CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")
API_PORT = 6443
ETCD_PORT = 2379
ETCD_PEER_PORT = 2380
PROVISIONER_USER = "memorybank:volume-provisioner"
POLICIES_USER = "memorybank:network-policies"
PAUSE_IMAGE = "localhost/memorybank-pause:dev"
COREDNS_IMAGE = "localhost/memorybank-coredns:dev"
CNI_PLUGINS = Path("/usr/lib/cni")


@dataclass(frozen=True)
class Process:
    """One program of the node; it is started once every address in `after` accepts connections."""

    name: str
    command: list[str]
    after: list[str]


@dataclass(frozen=True)
class NodePlan:
    """All that the node's first process has to know."""

    hostname: str
    address: str
    gateway: str
    sysctls: dict[str, str]
    processes: list[Process]

    def to_json(self) -> str:
        """Serialize the plan."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> NodePlan:
        """Read a serialized plan."""
        values = json.loads(text)
        processes = [Process(**each) for each in values.pop("processes")]
        return cls(processes=processes, **values)


@dataclass(frozen=True)
class Layout:
    """What follows from a local cluster's name and network."""

    name: str
    network: Network

    @property
    def node_name(self) -> str:
        """The Node's name."""
        return f"{self.name}-node"

    @property
    def cgroup(self) -> str:
        """The control group that all pods are under, in every hierarchy."""
        return f"memorybank-{self.name}-{self.network.block}"

    @property
    def server(self) -> str:
        """The API server's URL, from the host and from the node alike."""
        return f"https://{self.network.node}:{API_PORT}"

    def control_plane(self, programs: dict[str, Path]) -> ControlPlane:
        """Return where the control plane's files and ports are on the node."""
        return ControlPlane(
            programs=programs,
            pki=STATE / "pki",
            data=STATE,
            audit_policy=STATE / "config" / "audit-policy.yaml",
            audit_log=STATE / "logs" / "audit.log",
            service_cidr=str(self.network.services),
            api_port=API_PORT,
            etcd_port=ETCD_PORT,
            etcd_peer_port=ETCD_PEER_PORT,
            address=str(self.network.node),
        )

    def plan(self, programs: dict[str, Path], *, python: Path) -> NodePlan:
        """Return what the node's first process does."""
        return NodePlan(
            hostname=self.node_name,
            address=f"{self.network.node}/{self.network.link_prefix}",
            gateway=str(self.network.host),
            sysctls=node_sysctls(),
            processes=self.processes(programs, python=python),
        )

    def processes(self, programs: dict[str, Path], *, python: Path) -> list[Process]:
        """Return every program of the node."""
        plane = self.control_plane(programs)
        api = f"{self.network.node}:{API_PORT}"
        controller_manager = plane.controller_manager(
            kubeconfig=kubeconfig("controller-manager"), pod_cidr=str(self.network.pods)
        )
        return [
            Process("etcd", plane.etcd(), []),
            Process("containerd", ["containerd", "--config", config("containerd.toml")], []),
            Process("kube-apiserver", plane.api_server(), [f"127.0.0.1:{ETCD_PORT}"]),
            Process("kube-controller-manager", controller_manager, [api]),
            Process("kube-scheduler", plane.scheduler(kubeconfig=kubeconfig("scheduler")), [api]),
            Process("kubelet", self.kubelet(programs["kubelet"]), [api, str(CONTAINERD_SOCKET)]),
            Process(
                "kube-proxy",
                [str(programs["kube-proxy"]), f"--config={config('kube-proxy.yaml')}"],
                [api],
            ),
            Process("volume-provisioner", self.provisioner(python), [api]),
            Process("network-policies", self.policies(python), [api]),
        ]

    def kubelet(self, program: Path) -> list[str]:
        """Return the kubelet's command line."""
        return [
            str(program),
            f"--config={config('kubelet.yaml')}",
            f"--kubeconfig={kubeconfig('kubelet')}",
            f"--hostname-override={self.node_name}",
            f"--node-ip={self.network.node}",
            f"--root-dir={STATE / 'kubelet'}",
        ]

    def provisioner(self, python: Path) -> list[str]:
        """Return the volume provisioner's command line."""
        return [
            str(python), "-m", "e2e.cluster.provisioner",
            "--kubeconfig", str(kubeconfig("provisioner")),
            "--directory", str(STATE / "volumes"),
            "--node", self.node_name,
        ]  # fmt: skip

    def policies(self, python: Path) -> list[str]:
        """Return the command line of what enforces network policies."""
        return [
            str(python), "-m", "e2e.cluster.policies",
            "--kubeconfig", str(kubeconfig("policies")),
        ]  # fmt: skip

    def files(self, *, snapshotter: str) -> dict[str, str]:
        """Return the configuration files, by name, that go into the folder `config`."""
        return {
            "containerd.toml": containerd_config(snapshotter),
            "cni/10-memorybank.conflist": json.dumps(cni_config(self.network), indent=2),
            "kubelet.yaml": yaml.safe_dump(kubelet_config(self.cgroup, self.network)),
            "kube-proxy.yaml": yaml.safe_dump(proxy_config(self.node_name, self.network)),
            # No nameserver: CoreDNS answers for the cluster and there is no way out of it.
            "resolv.conf": "options ndots:0\n",
        }


def config(name: str) -> str:
    """Return the node's path of a configuration file."""
    return str(STATE / "config" / name)


def kubeconfig(user: str) -> Path:
    """Return the node's path of a component's kubeconfig."""
    return STATE / "config" / f"{user}.kubeconfig"


def node_sysctls() -> dict[str, str]:
    """Return the kernel settings that the kubelet insists on and that are the whole machine's.

    Files with these values are mounted over the real ones, so that the kubelet finds nothing to
    change. From kubelet's pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables.
    """
    return {
        "vm/overcommit_memory": "1",
        "vm/panic_on_oom": "0",
        "kernel/panic": "10",
        "kernel/panic_on_oops": "1",
        "kernel/keys/root_maxkeys": "1000000",
        "kernel/keys/root_maxbytes": "25000000",
    }


def containerd_config(snapshotter: str) -> str:
    """Return containerd's configuration: nothing of it is outside the state folder and /run."""
    return f"""\
version = 2
root = "{STATE}/containerd"
state = "/run/containerd"

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{STATE}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # A profile would be loaded into the kernel of the whole machine.
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE a lower score than our own cannot be set, and no sandbox starts.
  restrict_oom_score_adj = true
  enable_unprivileged_ports = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{STATE}/config/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


def cni_config(network: Network) -> dict[str, Any]:
    """Return the pod network: one routed link per pod, so that all traffic passes the node's rules.

    No masquerading: the host has a route to the pods, and there is nothing beyond the host.
    """
    address_management = {
        "type": "host-local",
        "dataDir": "/run/cni",
        "ranges": [[{"subnet": str(network.pods)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {
        "cniVersion": "1.0.0",
        "name": "memorybank",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "ipam": address_management},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def kubelet_config(cgroup: str, network: Network) -> dict[str, Any]:
    """Return the KubeletConfiguration."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(STATE / "pki" / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(STATE / "pki" / "kubelet.crt"),
        "tlsPrivateKeyFile": str(STATE / "pki" / "kubelet.key"),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "clusterDNS": [str(network.dns)],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": config("resolv.conf"),
        "podLogsDir": str(STATE / "logs" / "pods"),
        "volumePluginDir": str(STATE / "volume-plugins"),
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "maxPods": 250,
        # A developer's disk is often nearly full: neither pods nor images are to go for that.
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "syncFrequency": "10s",
    }


def proxy_config(node_name: str, network: Network) -> dict[str, Any]:
    """Return the KubeProxyConfiguration."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig("kube-proxy"))},
        "clusterCIDR": str(network.pods),
        "hostnameOverride": node_name,
        "mode": "iptables",
        "oomScoreAdj": 0,
        # The table's size is the machine's, not the network namespace's.
        "conntrack": {"maxPerCore": 0},
    }
