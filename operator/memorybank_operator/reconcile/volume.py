"""Which volume the bank gets: a new one, the one it has, or that of a former bank of its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from memorybank_operator.api.quantity import parse_quantity
from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.constants import ANNOTATION_BANK_UID, ANNOTATION_STORAGE_CLASS
from memorybank_operator.reconcile.claim import read_claim
from memorybank_operator.reconcile.growth import Stand, can_grow, grown_from, is_low, relieve, rigid
from memorybank_operator.reconcile.observed import KubeObject, Observed
from memorybank_operator.reconcile.ownership import Ownership, ownership
from memorybank_operator.reconcile.steps import Note, Problem
from memorybank_operator.resources import names

PATH = "spec.storage.volume"
DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


@dataclass(frozen=True, slots=True)
class VolumeDecision:
    """What is to be asked of the volume claim."""

    size: str | None = None
    """Size to ask for; None when no claim can be made, or the one that exists does not fit."""
    grown_from: str = ""
    """Size of the file system in bytes when the volume was asked to grow last, as text."""
    spare: bool = False
    """Whether the size is asked for by the operator itself, which may be refused."""
    notes: tuple[Note, ...] = ()
    """To be told once it is asked for."""
    storage_class: str | None = None
    """Class to ask for where the spec names none; None to leave it to the cluster."""
    problem: Problem | None = None


def decide_volume(
    bank: MemoryBank, observed: Observed, default_class: str | None
) -> VolumeDecision:
    """Decide about the claim from the spec, the claim that exists and the storage classes.

    `default_class` is what the defaults in force say; only a new claim takes it.
    """
    if not bank.spec.storage.has_volume:
        return VolumeDecision()
    claim = observed.children.get(names.volume_claim(bank))
    if claim is None:
        problem = _missing_class(bank, observed.storage_classes, default_class)
        return VolumeDecision(
            size=None if problem else bank.spec.storage.volume.size,
            storage_class=default_class,
            problem=problem,
        )
    if ownership(bank, claim) is not Ownership.OURS:
        return VolumeDecision()  # the plan reports whose it is
    problem = _mismatch(bank, claim)
    if problem:
        return VolumeDecision(problem=problem)
    decision = _size(bank, claim, observed)
    return replace(
        decision,
        storage_class=_class_of(bank, claim),
        notes=(*_adopted(bank, claim), *decision.notes),
    )


def _class_of(bank: MemoryBank, claim: KubeObject) -> str | None:
    """Return the class to ask for again, since what was asked for once cannot be left out.

    What was asked for with a former bank's claim is not known: the class that it has will do.
    """
    annotations = claim["metadata"].get("annotations", {})
    is_adopted = annotations.get(ANNOTATION_BANK_UID) != bank.uid
    if not is_adopted and ANNOTATION_STORAGE_CLASS not in annotations:
        return None
    found = claim["spec"].get("storageClassName")
    return None if found is None else str(found)


def _missing_class(
    bank: MemoryBank, classes: Mapping[str, KubeObject], default_class: str | None
) -> Problem | None:
    name = bank.spec.storage.volume.storage_class_name
    known = f"existing classes: {', '.join(sorted(classes))}" if classes else "there is none at all"
    if name is None and default_class is not None:
        if default_class in classes:
            return None
        return Problem(
            Reason.STORAGE_CLASS_NOT_FOUND,
            f"{PATH}.storageClassName: StorageClass {default_class}, which the operator's defaults "
            f"name, does not exist: create it, name another one here or there; {known}",
        )
    if name is None:
        if any(_is_default(each) for each in classes.values()):
            return None
        return Problem(
            Reason.STORAGE_CLASS_NOT_FOUND,
            f"{PATH}.storageClassName: the cluster has no default StorageClass: name one here, or "
            f"mark one as default; {known}",
        )
    if name in classes:
        return None
    return Problem(
        Reason.STORAGE_CLASS_NOT_FOUND,
        f"{PATH}.storageClassName: StorageClass {name} does not exist: create it, or delete this "
        f"bank and create it anew with another class; {known}",
    )


def _is_default(storage_class: KubeObject) -> bool:
    annotations = storage_class["metadata"].get("annotations", {})
    return any(annotations.get(each) == "true" for each in DEFAULT_CLASS)


def _mismatch(bank: MemoryBank, claim: KubeObject) -> Problem | None:
    """Find a field of the claim that differs from the spec and cannot be changed."""
    wanted, spec = bank.spec.storage.volume, claim["spec"]
    live_class, live_modes = spec.get("storageClassName"), list(spec["accessModes"])
    either_is_open = None in (wanted.storage_class_name, live_class)
    if not either_is_open and wanted.storage_class_name != live_class:
        return _mismatch_problem(claim, "storageClassName", str(live_class))
    if live_modes != [wanted.access_mode]:
        return _mismatch_problem(claim, "accessMode", ", ".join(live_modes))
    return None


def _mismatch_problem(claim: KubeObject, field: str, value: str) -> Problem:
    name = claim["metadata"]["name"]
    return Problem(
        Reason.VOLUME_MISMATCH,
        f"{PATH}.{field}: the PersistentVolumeClaim {name} exists with {value}, which cannot "
        f"change: delete this bank and create it anew with {value}, or delete the claim and its "
        "data",
        terminal=True,
    )


def _size(bank: MemoryBank, body: KubeObject, observed: Observed) -> VolumeDecision:
    """Decide on the size to ask for. A volume never shrinks, and grows only once it is bound."""
    wanted, claim = bank.spec.storage.volume.size, read_claim(body)
    before = grown_from(body)
    # The API server writes 1024Mi as 1Gi: what is the same is asked for in the words of the spec.
    is_same = parse_quantity(wanted) == parse_quantity(claim.asked)
    size = wanted if is_same else claim.asked
    stays = VolumeDecision(size=size, grown_from="" if before is None else str(before))
    if not claim.bound:
        return stays
    expandable = can_grow(claim.storage_class, observed.storage_classes)
    if parse_quantity(wanted) > parse_quantity(claim.asked):
        if expandable:
            return _grows(stays, observed, wanted, why=f"as {PATH}.size says")
        problem = Problem(
            Reason.VOLUME_NOT_EXPANDABLE,
            f"{PATH}.size: the volume has {claim.asked} and "
            f"{rigid(claim.storage_class, observed.storage_classes)}, or set the size back to "
            f"{claim.asked}",
            terminal=True,
        )
        return replace(stays, problem=problem)
    policy, disk = bank.spec.storage.volume.auto_grow, observed.disk
    if disk is None or observed.growth_refused or not is_low(policy, disk):
        return stays
    relief = relieve(policy, claim, disk, grown_from=before, can_grow=expandable)
    if relief.stand is not Stand.GROW:
        return stays
    why = f"since its disk is used to {policy.threshold_percent} % or more ({PATH}.autoGrow)"
    return replace(_grows(stays, observed, relief.size, why=why), spare=True)


def _grows(stays: VolumeDecision, observed: Observed, size: str, *, why: str) -> VolumeDecision:
    """Ask for a larger volume, and have the claim remember how large its file system is now."""
    disk = observed.disk
    return replace(
        stays,
        size=size,
        grown_from=str(disk.total) if disk is not None else stays.grown_from,
        notes=(
            Note(Reason.VOLUME_GROWS, f"The volume is to grow from {stays.size} to {size}, {why}."),
        ),
    )


def _adopted(bank: MemoryBank, claim: KubeObject) -> Iterator[Note]:
    metadata = claim["metadata"]
    if metadata.get("annotations", {}).get(ANNOTATION_BANK_UID) != bank.uid:
        yield Note(
            Reason.VOLUME_ADOPTED,
            f"The PersistentVolumeClaim {metadata['name']} exists already: its memories are kept.",
        )
