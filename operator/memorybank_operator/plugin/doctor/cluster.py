"""Checks of what all banks need: their kinds, and an operator that looks after them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from memorybank_operator.api import crd
from memorybank_operator.kube import kinds
from memorybank_operator.plugin.doctor.findings import Finding, place
from memorybank_operator.plugin.doctor.snapshot import DEFINITION, OPERATOR, Snapshot
from memorybank_operator.plugin.summary import NEVER_SEEN, Object, is_current, status_of

INSTALL = (
    "helm upgrade --install memorybank-operator charts/memorybank-operator "
    "-n memorybank-system --create-namespace"
)
APPLY = "kubectl apply --server-side -f crds/"
PATIENCE = timedelta(minutes=1)
"""How long the operator may need to look at a bank that changed."""
NAMESPACES = "MEMORYBANK_OPERATOR_NAMESPACES"
MOST = 3
"""Fields that are named; more are counted."""


def kinds_are_known(snapshot: Snapshot) -> Iterator[Finding]:
    """Each kind of ours has its definition, with every field that this version knows."""
    if not snapshot.knows(DEFINITION):
        return
    there = {each["metadata"]["name"]: each for each in snapshot.of(DEFINITION)}
    for wanted in crd.build_all():
        name = wanted["metadata"]["name"]
        where = f"CustomResourceDefinition {name}"
        if name not in there:
            yield Finding(
                "The cluster does not know a kind of the operator", where, "it is not there",
                f"{INSTALL} (its chart brings them), or {APPLY}",
            )  # fmt: skip
            continue
        ours, theirs = set(_fields(wanted)), set(_fields(there[name]))
        for lacking, what, cure in (
            (ours - theirs, "A kind is of an older version than this plugin", APPLY),
            (theirs - ours, "A kind is of a newer version than this plugin",
             "Install the plugin of the operator's version: pip install ./operator"),
        ):  # fmt: skip
            if lacking:
                named = sorted(lacking, key=lambda each: (each.count("."), each))
                more = f" and {len(named) - MOST} more" if len(named) > MOST else ""
                side = "it lacks" if lacking <= ours else "it has"
                yield Finding(what, where, f"{side} {', '.join(named[:MOST])}{more}", cure)
                break


def _fields(definition: Object) -> Iterator[str]:
    for version in definition["spec"]["versions"]:
        schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        yield from _below(schema, "")


def _below(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, each in (schema.get("properties") or {}).items():
        where = f"{path}.{name}".removeprefix(".")
        if where.startswith("spec"):
            yield where
            yield from _below(each, where)
    if isinstance(schema.get("items"), dict):
        yield from _below(schema["items"], f"{path}[]")


def an_operator_runs(snapshot: Snapshot) -> Iterator[Finding]:
    """There is an operator, and a pod of it serves."""
    if snapshot.operators is None:
        return
    if not snapshot.operators:
        yield Finding(
            "No operator runs in this cluster", "Deployment memorybank-operator",
            f"no Deployment has the label {OPERATOR}", INSTALL,
        )  # fmt: skip
    for each in snapshot.operators:
        wanted = each["spec"].get("replicas", 1)
        if not (each.get("status") or {}).get("availableReplicas"):
            namespace, name = each["metadata"]["namespace"], each["metadata"]["name"]
            yield Finding(
                "The operator does not run: nothing becomes of what is changed",
                place(each, "Deployment"), f"0 of {wanted} pods are available{_why(each)}",
                f"kubectl scale deploy {name} -n {namespace} --replicas 2" if not wanted else
                f"kubectl describe pods -n {namespace} -l {OPERATOR}; "
                f"kubectl logs deploy/{name} -n {namespace}",
            )  # fmt: skip


def _why(deployment: Object) -> str:
    for each in (deployment.get("status") or {}).get("conditions") or ():
        if each["type"] == "ReplicaFailure" and each["status"] == "True":
            return f": {each.get('message', '')}"
    return ""


def somebody_leads(snapshot: Snapshot) -> Iterator[Finding]:
    """Of an operator whose pods run, one renews the Lease by which it may write."""
    available = {
        each["metadata"]["namespace"]
        for each in snapshot.operators or ()
        if (each.get("status") or {}).get("availableReplicas")
    }
    for each in snapshot.leases:
        spec, namespace = each.get("spec") or {}, each["metadata"]["namespace"]
        renewed = spec.get("renewTime")
        if namespace not in available or not renewed:
            continue
        silent = snapshot.now - datetime.fromisoformat(renewed)
        if silent > timedelta(seconds=2 * spec.get("leaseDurationSeconds", 15)) + PATIENCE:
            yield Finding(
                "The operator runs, but does not lead: it changes nothing", place(each, "Lease"),
                f"nobody renewed it for {int(silent.total_seconds())} s, last "
                f"{spec.get('holderIdentity') or 'nobody'}",
                f"kubectl rollout restart deploy -n {namespace} -l {OPERATOR}; its log says why",
            )  # fmt: skip


def banks_are_looked_at(snapshot: Snapshot) -> Iterator[Finding]:
    """An operator that runs looks at each bank within a minute, where it looks at all."""
    running = [
        each
        for each in snapshot.operators or ()
        if (each.get("status") or {}).get("availableReplicas")
    ]
    if not running:
        return  # that is told by itself
    watched = [_watched(each) for each in running]
    for bank in snapshot.banks:
        if is_current(bank):
            continue
        metadata = bank["metadata"]
        if snapshot.now - datetime.fromisoformat(metadata["creationTimestamp"]) < PATIENCE:
            continue
        namespace = metadata["namespace"]
        if all(each and namespace not in each for each in watched):
            seen = f"the operator looks at {', '.join(sorted(set().union(*watched)))} alone"
            cure = (
                f"Add {namespace} to watchNamespaces of the operator's chart, or leave them out "
                "for all namespaces"
            )
        else:
            told = status_of(bank).get("observedGeneration", NEVER_SEEN)
            newest = metadata.get("generation", 0)
            seen = f"generation {newest} is {'new to it' if told < 0 else f'not seen, {told} was'}"
            of = running[0]["metadata"]
            cure = (
                f"kubectl logs deploy/{of['name']} -n {of['namespace']} | grep {metadata['name']}"
            )
        yield Finding("The operator does not look at a bank", place(bank, "MemoryBank"), seen, cure)


def _watched(operator: Object) -> set[str]:
    """Return the namespaces that an operator looks at; empty for all."""
    for container in operator["spec"]["template"]["spec"]["containers"]:
        for each in container.get("env") or ():
            if each["name"] == NAMESPACES:
                return set(filter(None, str(each.get("value") or "").split(",")))
    return set()


def banks_have_names_of_their_own(snapshot: Snapshot) -> Iterator[Finding]:
    """No two banks ask for one host name."""
    taken: dict[str, Object] = {}
    for bank in snapshot.of(kinds.MEMORY_BANK):
        expose = (bank.get("spec") or {}).get("expose") or {}
        host = (expose.get("ingress") or {}).get("host")
        if host and host in taken:
            other, address = place(taken[host], "MemoryBank"), bank["metadata"]
            yield Finding(
                "Two banks ask for one host name: one of them is not reached",
                place(bank, "MemoryBank"),
                f"spec.expose.ingress.host {host} is that of {other} as well",
                f"kubectl edit mb {address['name']} -n {address['namespace']}, and give it a host "
                "of its own",
            )
        elif host:
            taken[host] = bank
