"""The certificates of a cluster, as Kubernetes' "PKI certificates and requirements" lists them.

https://kubernetes.io/docs/setup/best-practices/certificates/ . Three authorities are kept apart:
the cluster's own (API server, kubelet, people), the one for extension API servers behind the
aggregation layer, and etcd's, whose client certificate alone may read the store.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from e2e.cluster.paths import write_private

# A development cluster is thrown away long before.
LIFETIME = timedelta(days=365)
# For machines whose clocks differ a little.
BACKDATED = timedelta(hours=1)


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes

    def write(self, directory: Path, name: str) -> None:
        """Write NAME.crt and NAME.key, readable by the owner alone."""
        write_private(directory / f"{name}.crt", self.certificate)
        write_private(directory / f"{name}.key", self.key)


class Authority:
    """A self-signed certificate authority that issues leaf certificates."""

    def __init__(self, common_name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(common_name, ())
        self._certificate = (
            _builder(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pair(self) -> KeyPair:
        """The authority's own certificate and key."""
        return _pair(self._certificate, self._key)

    def issue(
        self,
        common_name: str,
        organizations: Sequence[str] = (),
        *,
        hosts: Sequence[str] = (),
    ) -> KeyPair:
        """Issue a leaf: a client's, and with hosts (names or IP addresses) also a server's."""
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = _builder(_name(common_name, organizations), self._name, key.public_key())
        if hosts:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
            names = x509.SubjectAlternativeName([general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(authority_key, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return _pair(certificate, key)


def general_name(host: str) -> x509.GeneralName:
    """Turn a host into what a certificate says of it: an IP address where it is one."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def api_server_hosts(service_ip: str, addresses: Sequence[str], *, domain: str) -> list[str]:
    """Return every name that clients inside and outside the cluster call the API server by."""
    service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    hosts = [*service, f"kubernetes.default.svc.{domain}", "localhost", "127.0.0.1", service_ip]
    return list(dict.fromkeys([*hosts, *addresses]))


def create_control_plane(directory: Path, *, api_hosts: Sequence[str]) -> Authority:
    """Write the control plane's certificates and keys; return the cluster's authority.

    Files: ca, apiserver, apiserver-kubelet-client, front-proxy-ca, front-proxy-client, etcd-ca,
    etcd, apiserver-etcd-client (.crt and .key each), sa.key and sa.pub for service-account tokens.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    cluster, front_proxy, etcd = (
        Authority(f"memorybank-{name}-ca") for name in ("cluster", "front-proxy", "etcd")
    )
    cluster.pair.write(directory, "ca")
    front_proxy.pair.write(directory, "front-proxy-ca")
    etcd.pair.write(directory, "etcd-ca")
    cluster.issue("kube-apiserver", hosts=api_hosts).write(directory, "apiserver")
    cluster.issue("kube-apiserver-kubelet-client", ["system:masters"]).write(
        directory, "apiserver-kubelet-client"
    )
    front_proxy.issue("front-proxy-client").write(directory, "front-proxy-client")
    etcd.issue("etcd", hosts=["localhost", "127.0.0.1"]).write(directory, "etcd")
    etcd.issue("kube-apiserver-etcd-client").write(directory, "apiserver-etcd-client")
    token_key = ec.generate_private_key(ec.SECP256R1())
    write_private(directory / "sa.key", _private_pem(token_key))
    write_private(
        directory / "sa.pub",
        token_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    )
    return cluster


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
    )


def _name(common_name: str, organizations: Sequence[str]) -> x509.Name:
    # Kubernetes reads the user from the common name and the groups from the organizations.
    return x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in organizations),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), _private_pem(key))


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
