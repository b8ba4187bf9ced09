"""Checks of what a bank's spec names and the cluster has to have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from memorybank_operator.kube import kinds
from memorybank_operator.plugin.doctor.findings import Finding, place
from memorybank_operator.plugin.doctor.snapshot import (
    DEFINITION,
    INGRESS_CLASS,
    Snapshot,
    references,
)
from memorybank_operator.plugin.summary import Object

DEFAULT_STORAGE_CLASS = "storageclass.kubernetes.io/is-default-class"
OPTIONAL = {
    "spec.monitoring.serviceMonitor": "servicemonitors.monitoring.coreos.com",
    "spec.monitoring.prometheusRule": "prometheusrules.monitoring.coreos.com",
    "spec.expose.gateway": "httproutes.gateway.networking.k8s.io",
    "spec.storage.postgres.cluster": "clusters.postgresql.cnpg.io",
}
"""Fields that need kinds of other projects, and where these are defined."""
PROJECTS = {
    "monitoring.coreos.com": "the Prometheus Operator",
    "gateway.networking.k8s.io": "the Gateway API",
    "postgresql.cnpg.io": "CloudNativePG",
}


def secrets_are_there(snapshot: Snapshot) -> Iterator[Finding]:
    """Each Secret that a spec names is there, with the key that it names."""
    for bank in snapshot.banks:
        namespace = bank["metadata"]["namespace"]
        for wanted in references(bank.get("spec") or {}):
            seen = snapshot.missing(namespace, wanted)
            if seen:
                key = wanted.key or "KEY"
                yield Finding(
                    "A Secret that a bank needs is missing", place(bank, "MemoryBank"),
                    f"{wanted.path}: {seen}",
                    f"kubectl create secret generic {wanted.secret} -n {namespace} "
                    f"--from-file={key}=FILE, or correct {wanted.path}",
                )  # fmt: skip


def volumes_are_provided(snapshot: Snapshot) -> Iterator[Finding]:
    """The storage class exists, and each volume that is asked for comes."""
    classes = {each["metadata"]["name"]: each for each in snapshot.of(kinds.STORAGE_CLASS)}
    for bank in snapshot.banks:
        volume = _part(bank, "spec.storage.volume")
        named = volume.get("storageClassName")
        if snapshot.knows(kinds.STORAGE_CLASS) and named and named not in classes:
            yield Finding(
                "A storage class does not exist", place(bank, "MemoryBank"),
                f"spec.storage.volume.storageClassName is {named}; there "
                f"{'are ' + ', '.join(sorted(classes)) if classes else 'is none'}",
                f"kubectl get storageclass, and name one of them: kubectl edit mb "
                f"{bank['metadata']['name']} -n {bank['metadata']['namespace']}",
            )  # fmt: skip
            continue
        for claim in snapshot.of(kinds.VOLUME_CLAIM, bank):
            phase = (claim.get("status") or {}).get("phase")
            wanted = (claim.get("spec") or {}).get("storageClassName")
            if phase == "Lost":
                yield Finding(
                    "A volume is gone", place(claim, "PersistentVolumeClaim"), "it is Lost",
                    "docs/banks/recovery.md: put the bank back from its backups",
                )  # fmt: skip
            elif phase == "Pending" and snapshot.knows(kinds.STORAGE_CLASS):
                seen = _unprovided(wanted, classes)
                if seen:
                    yield Finding(
                        "Nobody provides a volume", place(claim, "PersistentVolumeClaim"),
                        f"it is Pending: {seen}",
                        "Name a class of kubectl get storageclass in "
                        "spec.storage.volume.storageClassName, or make one the default",
                    )  # fmt: skip


def _unprovided(wanted: str | None, classes: Mapping[str, Object]) -> str:
    """Say why no class can provide a volume; empty when one can."""
    if wanted:
        return "" if wanted in classes else f"class {wanted} does not exist"
    return "" if any(map(_is_default, classes.values())) else "no storage class is the default one"


def doors_are_served(snapshot: Snapshot) -> Iterator[Finding]:
    """The Ingress class exists, so that some controller serves the bank's host."""
    if not snapshot.knows(INGRESS_CLASS):
        return
    classes = {each["metadata"]["name"]: each for each in snapshot.of(INGRESS_CLASS)}
    for bank in snapshot.banks:
        ingress = _part(bank, "spec.expose.ingress")
        if not ingress:
            continue
        named = ingress.get("className")
        if named and named not in classes:
            seen = f"spec.expose.ingress.className is {named}, which does not exist"
        elif not named and not classes:
            seen = "the cluster has no Ingress class: no Ingress controller is installed"
        else:
            continue
        there = ", ".join(sorted(classes))
        yield Finding(
            "Nobody serves the host of a bank", place(bank, "MemoryBank"), seen,
            f"Name one of {there} in spec.expose.ingress.className" if there else
            "Install an Ingress controller, or remove spec.expose.ingress",
        )  # fmt: skip


def other_projects_are_there(snapshot: Snapshot) -> Iterator[Finding]:
    """The kinds of other projects that a spec asks for are installed."""
    if not snapshot.knows(DEFINITION):
        return
    there = {each["metadata"]["name"] for each in snapshot.of(DEFINITION)}
    for bank in snapshot.banks:
        for path, definition in OPTIONAL.items():
            if _asks(bank, path) and definition not in there:
                project = PROJECTS[definition.partition(".")[2]]
                yield Finding(
                    f"A bank asks for what {project} brings, which is not installed",
                    place(bank, "MemoryBank"),
                    f"{path} is set, and there is no CustomResourceDefinition {definition}",
                    f"Install {project}, or remove {path}: kubectl edit mb "
                    f"{bank['metadata']['name']} -n {bank['metadata']['namespace']}",
                )  # fmt: skip


def _part(bank: Object, path: str) -> Object:
    """Return an object within a bank; empty where it is not."""
    found: object = bank
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _asks(bank: Object, path: str) -> bool:
    parent, _, name = path.rpartition(".")
    return _part(bank, parent).get(name) is not None


def _is_default(storage_class: Object) -> bool:
    annotations = storage_class["metadata"].get("annotations") or {}
    return annotations.get(DEFAULT_STORAGE_CLASS) == "true"
