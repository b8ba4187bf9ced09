"""How clients outside of the cluster reach the bank: the rule of an Ingress controller."""

from __future__ import annotations

from typing import Any

from memorybank_operator.api.v1alpha1.edge import Ingress
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.resources import names
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.labels import metadata

ISSUERS = {
    "Issuer": "cert-manager.io/issuer",
    "ClusterIssuer": "cert-manager.io/cluster-issuer",
}
"""Annotations by which cert-manager makes the certificate of an Ingress,
https://cert-manager.io/docs/usage/ingress/."""
BODY_SIZE = "nginx.ingress.kubernetes.io/proxy-body-size"
TIMEOUTS = (
    "nginx.ingress.kubernetes.io/proxy-read-timeout",
    "nginx.ingress.kubernetes.io/proxy-send-timeout",
)
"""What NGINX would limit by itself, at 1 MB and 60 s; other controllers pass it by."""


def build_ingress(ctx: BuildContext) -> dict[str, Any] | None:
    """Build the Ingress, None where none is asked for."""
    ingress = ctx.bank.spec.expose.ingress
    if ingress is None:
        return None
    backend = {"service": {"name": names.service(ctx.bank).name, "port": {"name": "http"}}}
    spec: dict[str, Any] = {
        "rules": [
            {
                "host": ingress.host,
                "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
            }
        ]
    }
    class_name = ingress.class_name or ctx.settings.defaults.expose.ingress.class_name
    if class_name is not None:
        spec["ingressClassName"] = class_name
    if ingress.tls is not None:
        secret = tls_secret(ctx.bank)
        named = {} if secret is None else {"secretName": secret}
        spec["tls"] = [{"hosts": [ingress.host], **named}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(
            ctx.bank, names.ingress(ctx.bank), annotations=_annotations(ctx.bank, ingress)
        ),
        "spec": spec,
    }


def tls_secret(bank: MemoryBank) -> str | None:
    """Name the Secret with the certificate, whoever makes it; None without TLS, and where the
    controller has a certificate of its own.
    """
    ingress = bank.spec.expose.ingress
    if ingress is None or ingress.tls is None:
        return None
    issued = f"{bank.name}-tls" if ingress.tls.issuer_ref is not None else None
    return ingress.tls.secret_name or issued


def is_issued(bank: MemoryBank) -> bool:
    """Tell whether somebody is asked to make the certificate."""
    ingress = bank.spec.expose.ingress
    return ingress is not None and ingress.tls is not None and ingress.tls.issuer_ref is not None


def _annotations(bank: MemoryBank, ingress: Ingress) -> dict[str, str]:
    """Return what the spec implies, and what it says, which wins."""
    implied = {BODY_SIZE: str(bank.spec.limits.max_body_bytes)}
    if ingress.timeout_seconds is not None:
        implied |= dict.fromkeys(TIMEOUTS, str(ingress.timeout_seconds))
    issuer = ingress.tls.issuer_ref if ingress.tls is not None else None
    if issuer is not None:
        implied[ISSUERS[issuer.kind]] = issuer.name
    return implied | ingress.annotations
