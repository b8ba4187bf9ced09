"""Writes what a local cluster's programs read: certificates, kubeconfigs, configuration."""

from __future__ import annotations

import sys
from pathlib import Path

from e2e.cluster import paths, pki
from e2e.cluster.controlplane import CLUSTER_DOMAIN
from e2e.cluster.kubeconfig import Kubeconfig
from e2e.cluster.local.layout import POLICIES_USER, PROVISIONER_USER, Layout
from e2e.cluster.pki import Authority


def write_all(state: Path, layout: Layout, programs: dict[str, Path], *, snapshotter: str) -> None:
    """Fill an empty state folder."""
    for directory in ("config/cni", "logs", "volumes"):
        (state / directory).mkdir(parents=True)
    configuration = state / "config"
    texts = layout.files(snapshotter=snapshotter)
    texts["audit-policy.yaml"] = (paths.MANIFESTS / "audit-policy.yaml").read_text()
    texts["node.json"] = layout.plan(programs, python=Path(sys.executable)).to_json()
    for name, text in texts.items():
        paths.write_private(configuration / name, text)
    authority = _write_certificates(state / "pki", layout)
    _write_kubeconfig(state / "kubeconfig", layout, authority, "admin", "system:masters")
    for component, (user, *groups) in component_users(layout).items():
        file = configuration / f"{component}.kubeconfig"
        _write_kubeconfig(file, layout, authority, user, *groups)


def component_users(layout: Layout) -> dict[str, list[str]]:
    """Return each component's user name and groups, as Kubernetes' own roles expect them."""
    return {
        "kubelet": [f"system:node:{layout.node_name}", "system:nodes"],
        "controller-manager": ["system:kube-controller-manager"],
        "scheduler": ["system:kube-scheduler"],
        "kube-proxy": ["system:kube-proxy"],
        "provisioner": [PROVISIONER_USER],
        "policies": [POLICIES_USER],
    }


def _write_certificates(directory: Path, layout: Layout) -> Authority:
    network = layout.network
    hosts = pki.api_server_hosts(
        str(network.api_service), [str(network.node)], domain=CLUSTER_DOMAIN
    )
    authority = pki.create_control_plane(directory, api_hosts=hosts)
    kubelet = authority.issue(
        f"system:node:{layout.node_name}",
        ["system:nodes"],
        hosts=[layout.node_name, str(network.node)],
    )
    kubelet.write(directory, "kubelet")
    return authority


def _write_kubeconfig(
    file: Path, layout: Layout, authority: Authority, user: str, *groups: str
) -> None:
    access = Kubeconfig(
        cluster=f"memorybank-{layout.name}",
        server=layout.server,
        authority=authority.pair.certificate,
        user=user,
        client=authority.issue(user, groups),
    )
    paths.write_private(file, access.render())
