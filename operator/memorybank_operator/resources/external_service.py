"""How clients outside of the cluster reach the bank without a controller of host names: the address
of a load balancer.

A Service of its own: who is outside gets REST and MCP alone, who is within keeps what there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address
from typing import Any

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.observed import ChildKey, KubeObject
from memorybank_operator.reconcile.ownership import Ownership, ownership
from memorybank_operator.resources import names
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.labels import metadata, selector
from memorybank_operator.resources.service import port


def build_external_service(ctx: BuildContext) -> dict[str, Any] | None:
    """Build the Service, None where no load balancer is asked for."""
    wanted = ctx.bank.spec.expose.load_balancer
    if wanted is None:
        return None
    spec: dict[str, Any] = {
        "type": wanted.type,
        "selector": selector(ctx.bank),
        "ports": [port("http", wanted.outside_port)],
        "externalTrafficPolicy": wanted.external_traffic_policy,
    }
    if wanted.load_balancer_class is not None:
        spec["loadBalancerClass"] = wanted.load_balancer_class
    if wanted.load_balancer_source_ranges:
        spec["loadBalancerSourceRanges"] = list(wanted.load_balancer_source_ranges)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(
            ctx.bank, names.external_service(ctx.bank), annotations=wanted.annotations
        ),
        "spec": spec,
    }


def addresses(bank: MemoryBank, children: Mapping[ChildKey, KubeObject]) -> tuple[str, ...]:
    """Return what the bank's load balancer is reached at, as it stands in a URL; nothing while it
    was given no address.
    """
    live = children.get(names.external_service(bank))
    wanted = bank.spec.expose.load_balancer is not None
    if live is None or not wanted or ownership(bank, live) is not Ownership.OURS:
        return ()
    given = live.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
    found = (_host(each) for each in given)
    return tuple(dict.fromkeys(each for each in found if each))


def _host(ingress: Mapping[str, Any]) -> str:
    """Prefer the name: behind it the address may change."""
    address = str(ingress.get("ip") or "")
    return ingress.get("hostname") or (f"[{IPv6Address(address)}]" if ":" in address else address)
