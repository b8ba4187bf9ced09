"""Command lines of the control plane's programs. Pure: nothing here starts or reads anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CLUSTER_DOMAIN = "cluster.local"


@dataclass(frozen=True)
class ControlPlane:
    """Where a control plane's programs, files and ports are."""

    programs: dict[str, Path]
    pki: Path
    data: Path
    audit_policy: Path
    audit_log: Path
    service_cidr: str
    api_port: int
    etcd_port: int
    etcd_peer_port: int
    address: str = "127.0.0.1"

    def etcd(self) -> list[str]:
        """Return etcd's command line."""
        client = f"https://127.0.0.1:{self.etcd_port}"
        peer = f"http://127.0.0.1:{self.etcd_peer_port}"
        return [
            str(self.programs["etcd"]),
            f"--data-dir={self.data / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            f"--cert-file={self.pki / 'etcd.crt'}",
            f"--key-file={self.pki / 'etcd.key'}",
            f"--trusted-ca-file={self.pki / 'etcd-ca.crt'}",
            "--client-cert-auth",
            "--unsafe-no-fsync",  # after a power cut the cluster is made anew anyway
            "--log-level=warn",
        ]

    def api_server(self) -> list[str]:
        """Return the API server's command line, without what only some clusters need."""
        pki = self.pki
        return [
            str(self.programs["kube-apiserver"]),
            f"--secure-port={self.api_port}",
            f"--bind-address={self.address}",
            f"--advertise-address={self.address}",
            f"--service-cluster-ip-range={self.service_cidr}",
            f"--etcd-servers=https://127.0.0.1:{self.etcd_port}",
            f"--etcd-cafile={pki / 'etcd-ca.crt'}",
            f"--etcd-certfile={pki / 'apiserver-etcd-client.crt'}",
            f"--etcd-keyfile={pki / 'apiserver-etcd-client.key'}",
            f"--tls-cert-file={pki / 'apiserver.crt'}",
            f"--tls-private-key-file={pki / 'apiserver.key'}",
            f"--client-ca-file={pki / 'ca.crt'}",
            f"--kubelet-client-certificate={pki / 'apiserver-kubelet-client.crt'}",
            f"--kubelet-client-key={pki / 'apiserver-kubelet-client.key'}",
            f"--kubelet-certificate-authority={pki / 'ca.crt'}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={pki / 'front-proxy-client.crt'}",
            f"--proxy-client-key-file={pki / 'front-proxy-client.key'}",
            "--enable-aggregator-routing=true",
            f"--service-account-issuer=https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
            f"--service-account-key-file={pki / 'sa.pub'}",
            f"--service-account-signing-key-file={pki / 'sa.key'}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--audit-policy-file={self.audit_policy}",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-maxsize=200",  # MB; a cluster can be up for weeks
            "--audit-log-maxbackup=1",
            "--profiling=false",
        ]

    def controller_manager(self, *, kubeconfig: Path, pod_cidr: str) -> list[str]:
        """Return the controller manager's command line."""
        pki = self.pki
        return [
            str(self.programs["kube-controller-manager"]),
            "--bind-address=127.0.0.1",
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--client-ca-file={pki / 'ca.crt'}",
            f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
            f"--cluster-signing-cert-file={pki / 'ca.crt'}",
            f"--cluster-signing-key-file={pki / 'ca.key'}",
            f"--root-ca-file={pki / 'ca.crt'}",
            f"--service-account-private-key-file={pki / 'sa.key'}",
            "--use-service-account-credentials=true",
            f"--cluster-cidr={pod_cidr}",
            f"--service-cluster-ip-range={self.service_cidr}",
            f"--flex-volume-plugin-dir={self.data / 'volume-plugins'}",
            "--leader-elect=false",
            "--profiling=false",
        ]

    def scheduler(self, *, kubeconfig: Path) -> list[str]:
        """Return the scheduler's command line."""
        return [
            str(self.programs["kube-scheduler"]),
            "--bind-address=127.0.0.1",
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--leader-elect=false",
            "--profiling=false",
        ]
