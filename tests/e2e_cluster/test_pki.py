"""Certificates say who a component is and where it may be reached."""

from __future__ import annotations

import stat
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from e2e.cluster import pki
from e2e.cluster.pki import Authority


def load(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def test_the_api_server_is_valid_for_every_name_it_is_called_by(tmp_path: Path) -> None:
    hosts = pki.api_server_hosts("10.130.192.1", ["10.130.0.2"], domain="cluster.local")
    authority = pki.create_control_plane(tmp_path / "pki", api_hosts=hosts)
    certificate = load((tmp_path / "pki" / "apiserver.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    }
    assert set(names.get_values_for_type(x509.IPAddress)) == {
        ip_address("127.0.0.1"),
        ip_address("10.130.192.1"),
        ip_address("10.130.0.2"),
    }
    trust = PolicyBuilder().store(Store([load(authority.pair.certificate)]))
    for name in (x509.DNSName("kubernetes"), x509.IPAddress(ip_address("10.130.0.2"))):
        trust.build_server_verifier(name).verify(certificate, [])
    with pytest.raises(VerificationError):
        trust.build_server_verifier(x509.DNSName("example.org")).verify(certificate, [])


def test_a_client_is_a_user_in_groups_and_cannot_pose_as_a_server() -> None:
    authority = Authority("test-ca")
    certificate = load(authority.issue("system:node:dev-node", ["system:nodes"]).certificate)
    subject = certificate.subject
    assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "system:node:dev-node"
    assert [g.value for g in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == [
        "system:nodes"
    ]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    trust = PolicyBuilder().store(Store([load(authority.pair.certificate)]))
    with pytest.raises(VerificationError):
        trust.build_server_verifier(x509.DNSName("dev-node")).verify(certificate, [])


def test_the_store_trusts_no_certificate_of_the_cluster(tmp_path: Path) -> None:
    pki.create_control_plane(tmp_path, api_hosts=["localhost"])
    etcd = load((tmp_path / "etcd-ca.crt").read_bytes())
    admitted = load((tmp_path / "apiserver-etcd-client.crt").read_bytes())
    admitted.verify_directly_issued_by(etcd)
    for other in ("apiserver", "apiserver-kubelet-client", "front-proxy-client"):
        with pytest.raises(ValueError, match="Issuer"):
            load((tmp_path / f"{other}.crt").read_bytes()).verify_directly_issued_by(etcd)


def test_only_the_owner_may_read_keys(tmp_path: Path) -> None:
    pki.create_control_plane(tmp_path / "pki", api_hosts=["localhost"])
    keys = list((tmp_path / "pki").glob("*.key"))
    assert len(keys) == 9
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700
