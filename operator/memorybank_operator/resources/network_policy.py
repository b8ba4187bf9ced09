"""Who reaches the bank's pod, and whom it reaches: nobody but those who are named here."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.edge import Peer
from memorybank_operator.resources import database, names, postgres_cluster
from memorybank_operator.resources.backend import backends
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.destinations import Rule, by_name, dns, egress_rules, tcp
from memorybank_operator.resources.labels import (
    backup_selector,
    metadata,
    read_selector,
    selector,
)

PORTS = {"http": (constants.HTTP_PORT,), "metrics": (constants.METRICS_PORT,)}
BACKED_UP = PORTS | {"metrics": (constants.METRICS_PORT, constants.BACKUP_METRICS_PORT)}
"""What the words of a spec mean, and what they mean for a bank with backups."""


def build_network_policy(ctx: BuildContext) -> dict[str, Any] | None:
    """Build the NetworkPolicy, None where none is asked for, and while nobody knows where the
    bank's database is: pods that run are to reach it. What it does not name is denied, both ways;
    policies add up, so that others can allow more.
    """
    if not ctx.bank.spec.network_policy.enabled or _is_lost(ctx):
        return None
    name = names.read_replicas_policy if ctx.reads else names.network_policy
    selected = read_selector if ctx.reads else selector
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(ctx.bank, name(ctx.bank)),
        "spec": {
            "podSelector": {"matchLabels": selected(ctx.bank)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": _ingress(ctx),
            "egress": [
                dns(),
                *_own_servers(ctx),
                *_elsewhere(ctx),
            ],
        },
    }


def build_backup_policy(ctx: BuildContext) -> dict[str, Any] | None:
    """Build the NetworkPolicy of the pods that work on backups: nobody reaches them, and they reach
    what the bank's pod does, and that. None for a bank that has none itself, or no backups.
    """
    bank = ctx.bank
    if not bank.spec.network_policy.enabled or bank.spec.backed_up is None or _is_lost(ctx):
        return None
    served = {"podSelector": {"matchLabels": selector(bank)}}
    asked = {"ports": [tcp(constants.HTTP_PORT)], "to": [served]}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(bank, names.backup_policy(bank)),
        "spec": {
            "podSelector": {"matchLabels": backup_selector(bank)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [],
            "egress": [
                dns(),
                *([asked] if bank.spec.replicated is not None else []),
                *_own_servers(ctx),
                *_elsewhere(ctx),
            ],
        },
    }


def _is_lost(ctx: BuildContext) -> bool:
    """Tell whether nobody knows where the bank's database is."""
    return ctx.bank.spec.storage.postgres is not None and ctx.database is None


def _elsewhere(ctx: BuildContext) -> list[Rule]:
    """Return the rules for servers that are not the bank's own."""
    is_own = ctx.bank.spec.storage.cluster is not None
    servers = () if ctx.database is None or is_own else ctx.database.servers
    return egress_rules(ctx.bank, ctx.settings.cluster_domain, servers=servers)


def _ingress(ctx: BuildContext) -> list[Rule]:
    """Return a rule for what works on backups, one for the operator, and one for each set of
    ports with all who may use it.
    """
    allowed = [*ctx.bank.spec.network_policy.allow_from]
    allowed += [each for each in _by_load_balancer(ctx) if each not in allowed]
    meant = PORTS if ctx.bank.spec.replicated is None else BACKED_UP

    def open_to(peer: Peer) -> tuple[int, ...]:
        return tuple(sorted(port for name in peer.ports for port in meant[name]))

    by_ports = groupby(sorted(allowed, key=open_to), key=open_to)
    rules = [(ports, [_peer(each) for each in peers]) for ports, peers in by_ports]
    if ctx.settings.operator_namespace:
        rules.insert(0, ((constants.HTTP_PORT,), [_operator(ctx.settings.operator_namespace)]))
    if ctx.bank.spec.replicated is not None:
        of_backups = {"podSelector": {"matchLabels": backup_selector(ctx.bank)}}
        rules.insert(0, ((constants.HTTP_PORT,), [of_backups]))
    return [{"from": peers, "ports": [tcp(port) for port in ports]} for ports, peers in rules]


def _by_load_balancer(ctx: BuildContext) -> list[Peer]:
    """Return whom the spec has the load balancer let in; without a word on it, the fence stays."""
    wanted = ctx.bank.spec.expose.load_balancer
    ranges = () if wanted is None else wanted.load_balancer_source_ranges
    return [Peer(cidr=each) for each in ranges]


def _own_servers(ctx: BuildContext) -> list[Rule]:
    bank = ctx.bank
    servers = [(each.port, each.peer(bank)) for each in backends(bank.spec)]
    if bank.spec.storage.cluster is not None:
        servers.append((database.PORT, postgres_cluster.peer(bank)))
    return [{"ports": [tcp(port)], "to": [peer]} for port, peer in servers]


def _operator(namespace: str) -> Rule:
    return {
        "namespaceSelector": by_name(namespace),
        "podSelector": {"matchLabels": {constants.LABEL_NAME: constants.FIELD_MANAGER}},
    }


def _peer(peer: Peer) -> Rule:
    if peer.cidr is not None:
        return {"ipBlock": {"cidr": peer.cidr}}
    selectors: Rule = {}
    if peer.namespace is not None:
        selectors["namespaceSelector"] = by_name(peer.namespace)
    elif peer.namespace_labels:
        selectors["namespaceSelector"] = {"matchLabels": dict(peer.namespace_labels)}
    if peer.pod_labels:
        selectors["podSelector"] = {"matchLabels": dict(peer.pod_labels)}
    return selectors
