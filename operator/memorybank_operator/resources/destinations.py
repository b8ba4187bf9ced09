"""What a bank's pod connects to, as far as its spec and the address of its database say it, in the
terms of a network policy.

A network policy knows addresses, pods, namespaces and ports, but no names. So a name within the
cluster becomes the namespace of its Service, and any other name its port alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.spec import Spec

DNS_PORT = 53
DNS_PODS = {"k8s-app": "kube-dns"}
"""Label of the pods of CoreDNS and kube-dns, https://kubernetes.io/docs/tasks/administer-cluster/
dns-custom-nameservers/."""
DNS_NAMESPACE = "kube-system"
LINK_LOCAL = "169.254.0.0/16"
"""Where a node answers for its DNS itself, such as NodeLocal DNSCache at 169.254.20.10."""
PORTS = {"http": 80, "https": 443}
"""Of the schemes that the service speaks, the ports that an address without one means."""
NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""On every namespace, by the API server: its name."""

Rule = dict[str, Any]


def urls(spec: Spec) -> Iterator[str]:
    """Yield the addresses that the service is told to connect to.

    Of the environment all values that are addresses count: a collector of traces, a proxy, a
    setting of the service. What comes from a Secret or a ConfigMap is not known here.
    """
    embedding = spec.embedding
    ollama = embedding.ollama if embedding.provider == "ollama" else None
    if ollama is not None and ollama.url is not None:
        yield ollama.url
    if embedding.provider == "openai":
        yield embedding.openai.base_url
    chroma = spec.vector.chroma if spec.vector.provider == "chroma" else None
    if chroma is not None and chroma.url is not None:
        yield chroma.url
    if spec.backed_up is not None and spec.backed_up.destination.s3 is not None:
        yield from spec.backed_up.destination.s3.urls
    if spec.backed_up is not None:
        for each in spec.backed_up.copies:
            if each.s3 is not None:
                yield from each.s3.urls
    if spec.source is not None and spec.source[1].s3 is not None:
        yield from spec.source[1].s3.urls
    if spec.auth.jwt is not None and spec.auth.jwt.jwks_url is not None:
        yield spec.auth.jwt.jwks_url
    yield from (each.value for each in spec.env if each.value is not None)


def egress_rules(
    bank: MemoryBank, cluster_domain: str, *, servers: Iterable[tuple[str, int]] = ()
) -> list[Rule]:
    """Return the rules that let the pod reach what its spec names, and these hosts and ports."""
    return rules_to((*_named(bank.spec), *servers), bank, cluster_domain)


def rules_to(
    servers: Iterable[tuple[str, int]], bank: MemoryBank, cluster_domain: str
) -> list[Rule]:
    """Return the rules that let a pod of the bank's namespace reach hosts and ports, in a fixed
    order.
    """
    anywhere: set[int] = set()
    namespaces: set[str] = set()
    blocks: set[tuple[str, int]] = set()
    for host, port in servers:
        block = _block(host)
        if block is not None:
            blocks.add((block, port))
            continue
        namespace, is_sure = _namespace(host, bank.namespace, cluster_domain)
        if namespace is not None:
            namespaces.add(namespace)
        if not is_sure:
            anywhere.add(port)
    return [
        *([{"ports": [tcp(port) for port in sorted(anywhere)]}] if anywhere else []),
        # Behind a Service the port of the pod counts, which nothing here tells: so all of them.
        *(
            {"ports": [{"protocol": "TCP"}], "to": [{"namespaceSelector": by_name(each)}]}
            for each in sorted(namespaces)
        ),
        *(
            {"ports": [tcp(port)], "to": [{"ipBlock": {"cidr": block}}]}
            for block, port in sorted(blocks)
        ),
    ]


def dns() -> Rule:
    """Return the rule that lets a pod ask for names."""
    cluster = {
        "namespaceSelector": by_name(DNS_NAMESPACE),
        "podSelector": {"matchLabels": DNS_PODS},
    }
    return {
        "ports": [{"port": DNS_PORT, "protocol": protocol} for protocol in ("UDP", "TCP")],
        "to": [cluster, {"ipBlock": {"cidr": LINK_LOCAL}}],
    }


def by_name(namespace: str) -> dict[str, Any]:
    """Return the selector of one namespace."""
    return {"matchLabels": {NAMESPACE_NAME: namespace}}


def tcp(port: int) -> dict[str, Any]:
    """Return one port of a rule."""
    return {"port": port, "protocol": "TCP"}


def _named(spec: Spec) -> Iterator[tuple[str, int]]:
    for found in map(_parsed, urls(spec)):
        if found is not None and found.hostname is not None:
            yield found.hostname, found.port or PORTS[found.scheme]


def _parsed(url: str) -> SplitResult | None:
    """Take an address apart; None for a text that is none."""
    try:
        found = urlsplit(url)
        return found if found.scheme in PORTS and found.hostname and found.port != 0 else None
    except ValueError:  # such as a port that is no number
        return None


def _block(host: str) -> str | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return f"{address}/{address.max_prefixlen}"


def _namespace(host: str, own: str, cluster_domain: str) -> tuple[str | None, bool]:
    """Return the namespace of the Service that a name may mean, and whether it can mean nothing
    else. `a.b` is the Service a of the namespace b, if there is one, and else a name of the world.
    """
    parts = host.rstrip(".").lower().removesuffix(f".{cluster_domain}").split(".")
    if len(parts) == 1:
        return own, True
    if parts[-1] == "svc":
        return parts[-2], True
    return (parts[1], False) if len(parts) == 2 else (None, False)
