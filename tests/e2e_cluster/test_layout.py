"""What runs on a local node, and with which files."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import yaml

from e2e.cluster.local.backend import PROGRAMS
from e2e.cluster.local.files import component_users
from e2e.cluster.local.layout import STATE, Layout, NodePlan
from e2e.cluster.network import Network

LAYOUT = Layout("dev", Network(130))
PATHS = {name: Path("/cache") / name for name in PROGRAMS}


def test_the_plan_survives_being_written_down() -> None:
    plan = LAYOUT.plan(PATHS, python=Path("/usr/bin/python3"))
    assert NodePlan.from_json(plan.to_json()) == plan


def test_every_file_that_a_program_is_given_is_written() -> None:
    plan = LAYOUT.plan(PATHS, python=Path("/usr/bin/python3"))
    words = " ".join(word for process in plan.processes for word in process.command)
    named = set(re.findall(rf"{STATE}/config/([\w.-]+)", words))
    written = {"audit-policy.yaml", *LAYOUT.files(snapshotter="overlayfs")}
    written |= {f"{component}.kubeconfig" for component in component_users(LAYOUT)}
    assert named <= written
    assert {"kubelet.yaml", "kubelet.kubeconfig", "containerd.toml"} <= named


def test_two_clusters_share_neither_group_nor_server_nor_node() -> None:
    other = Layout("test", Network(131))
    for attribute in ("cgroup", "server", "node_name"):
        assert getattr(LAYOUT, attribute) != getattr(other, attribute)


def test_containerd_keeps_to_the_nodes_own_folders() -> None:
    config = tomllib.loads(LAYOUT.files(snapshotter="native")["containerd.toml"])
    assert config["root"].startswith(str(STATE))
    assert config["state"].startswith("/run/")
    runtime = config["plugins"]["io.containerd.grpc.v1.cri"]
    assert runtime["containerd"]["snapshotter"] == "native"
    assert runtime["disable_apparmor"] is True


def test_kubelet_and_network_speak_of_the_same_cluster() -> None:
    files = LAYOUT.files(snapshotter="overlayfs")
    kubelet = yaml.safe_load(files["kubelet.yaml"])
    assert kubelet["cgroupRoot"] == f"/{LAYOUT.cgroup}"
    assert kubelet["clusterDNS"] == [str(LAYOUT.network.dns)]
    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["authorization"] == {"mode": "Webhook"}
    network = json.loads(files["cni/10-memorybank.conflist"])
    ranges = network["plugins"][0]["ipam"]["ranges"]
    proxy = yaml.safe_load(files["kube-proxy.yaml"])
    assert ranges == [[{"subnet": proxy["clusterCIDR"]}]]


def test_the_store_is_closed_to_who_has_no_certificate_of_its_own_authority() -> None:
    etcd = LAYOUT.control_plane(PATHS).etcd()
    assert "--client-cert-auth" in etcd
    assert f"--trusted-ca-file={STATE}/pki/etcd-ca.crt" in etcd
    assert [word for word in etcd if word.startswith("--listen-client-urls=")] == [
        "--listen-client-urls=https://127.0.0.1:2379"
    ]
