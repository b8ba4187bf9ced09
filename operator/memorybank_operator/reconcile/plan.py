"""What has to be done so that the world is as the spec wants it. Pure: the same bank and snapshot
give the same plan, and the plan of a world as it should be is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.configfiles.in_effect import (
    ADMIN_KEY,
    Configuration,
    configuration_of,
    secret_checksum,
)
from memorybank_operator.constants import LABEL_BANK
from memorybank_operator.reconcile.database import begins_with_vector, decide_database
from memorybank_operator.reconcile.drift import differences
from memorybank_operator.reconcile.entries import read_entry
from memorybank_operator.reconcile.exposure import decide_exposure
from memorybank_operator.reconcile.final import is_kept_up
from memorybank_operator.reconcile.keys import KeyDecision, decide_key
from memorybank_operator.reconcile.model import awaited_model
from memorybank_operator.reconcile.monitored import decide_monitoring
from memorybank_operator.reconcile.named import SecretsDecision, decide_secrets
from memorybank_operator.reconcile.observed import ChildKey, KubeObject, Observed
from memorybank_operator.reconcile.ownership import Ownership, is_owned_and_managed, ownership
from memorybank_operator.reconcile.ring import RingDecision, decide_ring
from memorybank_operator.reconcile.rollout import Rollout, decide_rollout
from memorybank_operator.reconcile.steps import (
    Apply,
    Create,
    Delete,
    Held,
    Note,
    Plan,
    Problem,
    Share,
    Step,
)
from memorybank_operator.reconcile.taking import takes_changes
from memorybank_operator.reconcile.volume import decide_volume
from memorybank_operator.resources import names
from memorybank_operator.resources.backend import BACKENDS, OLLAMA
from memorybank_operator.resources.build import build_all, rendered_hash
from memorybank_operator.resources.config_map import FILE
from memorybank_operator.resources.context import BuildContext, RenderSettings
from memorybank_operator.resources.deployment import count_to_hand_over, revision_in
from memorybank_operator.resources.effective import effective
from memorybank_operator.resources.external_service import addresses
from memorybank_operator.resources.key_secret import TOKEN
from memorybank_operator.resources.pod_template import covers_all
from memorybank_operator.status.serving import serves_as

CONTINUE_SECONDS = 0.05
"""After a new key was stored, or the status says that an update begins: the rest follows."""
LEAVING_SECONDS = 1.0
"""While an object with one of our names is being deleted."""
MISSING_SECONDS = 10.0
"""While a Secret or StorageClass is missing, which is not ours and maybe not watched: what somebody
puts back carries the labels that he gives it."""

HOLD_DATA = frozenset({"PersistentVolumeClaim", "Cluster"})
"""Kinds of which nothing is ever deleted but with the bank, by the garbage collector."""
SHOWN_PATHS = 5
"""Changed fields that an event names."""


Build = Callable[[BuildContext], Iterable[KubeObject]]


@dataclass(slots=True)
class _Draft:
    steps: list[Step] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    again: list[float] = field(default_factory=list)


def plan(
    bank: MemoryBank,
    observed: Observed,
    settings: RenderSettings,
    new_key: Callable[[], str],
    new_ring: Callable[[], str],
    build: Build = build_all,
) -> Plan:
    """Decide what to do. `new_key` and `new_ring` are called when an admin key or a key ring has to
    be generated, and only then.

    While the bank is paused the plan has no steps, but still says what is wrong. While it is being
    deleted there is nothing to do, for the garbage collector takes what the bank owns, unless it
    stays for its last recovery point.
    """
    if bank.is_leaving and not is_kept_up(bank):
        return Plan()
    draft = _Draft()
    key = decide_key(bank, observed)
    volume = decide_volume(bank, observed, settings.defaults.storage.volume.storage_class_name)
    ring = decide_ring(bank, observed, new_ring)
    secrets = decide_secrets(bank, observed, ring)
    database = decide_database(bank, observed, settings.installed)
    exposure = decide_exposure(bank, observed, settings)
    missing = [
        each
        for each in (
            *(key.problem, ring.problem, volume.problem, database),
            *secrets.problems,
            *exposure,
            *decide_monitoring(bank, settings),
        )
        if each is not None
    ]
    draft.problems += missing
    draft.again += [MISSING_SECONDS for each in missing if not each.terminal]
    draft.again += [MISSING_SECONDS] if ring.awaited else []
    usable = _check_names(bank, observed, draft)
    in_effect = effective(bank, settings.defaults)
    ctx = BuildContext(
        in_effect,
        settings,
        admin_key=key.usable,
        volume_size=None if _is_too_early(bank, observed, ring) else volume.size,
        storage_class=volume.storage_class,
        grown_from=volume.grown_from,
        secrets=secrets.fingerprint,
        database=secrets.database,
        backup_keys=secrets.backup_keys,
        begins_with_vector=begins_with_vector(in_effect, observed),
        addresses=addresses(bank, observed.children),
    )
    ctx = replace(ctx, takes_changes=takes_changes(bank, observed, ctx))
    bodies = {ChildKey(each["kind"], each["metadata"]["name"]): each for each in build(ctx)}
    workload = names.deployment(bank)
    rollout = decide_rollout(bank, observed, ctx, bodies)
    if rollout.held is not None:
        draft.problems += _refused(rollout.held)
        draft.again += [CONTINUE_SECONDS] if rollout.held.reason is Reason.UPDATE_BEGINS else []
    if database is not None or len(usable) < len(names.children(bank)):
        # What the pod needs is not there, or not ours, yet. The Deployment stays as it is, or is
        # not made.
        usable.discard(workload)
    awaited = None if rollout.held else _awaited(bank, observed, bodies)
    if awaited is not None:
        draft.problems.append(awaited)
        usable.discard(workload)
    usable -= _held_back(bank, observed, rollout)
    if names.volume_claim(bank) in usable:
        draft.notes += volume.notes
    for child in names.children(bank):
        if child in rollout.bodies and child in usable:
            live = observed.children.get(child)
            spare = volume.spare and child == names.volume_claim(bank)
            _settle(child, rollout.bodies[child], live, draft=draft, spare=spare)
        elif child == names.key_secret(bank) and key.generate and not bank.spec.paused:
            rendered = build(replace(ctx, admin_key=new_key()))
            _store_new_key(bank, rendered, key, observed=observed, draft=draft)
        elif child == names.key_ring(bank) and ring.step is not None:
            draft.steps.append(ring.step)
            draft.notes += [ring.note] if ring.note else []
            draft.again += [CONTINUE_SECONDS]
    # While a change waits, the pod that runs uses what it was made for.
    used = () if rollout.held is None else BACKENDS
    kept = [child for each in used for child in each.children(bank)]
    draft.steps += _removals(bank, observed, kept)
    configuration = _configuration(bank, observed, rollout, secrets)
    return _finished(bank, draft, rollout, configuration)


def _check_names(bank: MemoryBank, observed: Observed, draft: _Draft) -> set[ChildKey]:
    """Return the names that are free or ours; say what is in the way of the others."""
    usable: set[ChildKey] = set()
    leaving: list[ChildKey] = []
    for child in names.children(bank):
        live = observed.children.get(child)
        whose = Ownership.OURS if live is None else ownership(bank, live)
        if whose is Ownership.OURS:
            usable.add(child)
        elif whose is Ownership.LEAVING:
            leaving.append(child)
        else:
            draft.problems.append(_conflict(bank, child))
    if leaving:
        shown = ", ".join(f"{child.kind} {child.name}" for child in leaving)
        draft.problems.append(
            Problem(
                Reason.WAITING_FOR_DELETION,
                f"Still being deleted, to be made anew when gone: {shown}",
            )
        )
        draft.again.append(LEAVING_SECONDS)
    return usable


def _is_too_early(bank: MemoryBank, observed: Observed, ring: RingDecision) -> bool:
    """Tell whether no volume may be claimed yet: what opens it has to be there before."""
    return ring.awaited and names.volume_claim(bank) not in observed.children


def _awaited(
    bank: MemoryBank, observed: Observed, bodies: Mapping[ChildKey, KubeObject]
) -> Problem | None:
    """Say what has to be there before the Deployment is made, or woken; None when it has pods."""
    live = observed.children.get(names.deployment(bank))
    if live is not None and live["spec"].get("replicas"):
        return None
    message = awaited_model(bank, observed, bodies.get(OLLAMA.server(bank)))
    return None if message is None else Problem(Reason.MODEL_LOADING, message)


def _held_back(bank: MemoryBank, observed: Observed, rollout: Rollout) -> set[ChildKey]:
    """Return the Deployment of the read replicas, and their settings, while they have to stay as
    they are, or absent. They read what the bank's own version writes, and at first there is nothing
    to read, and after a rewind something else: other pods than those that run are made once the
    bank serves as it is to.
    """
    child = names.read_replicas(bank)
    body, live = rollout.bodies.get(child), observed.children.get(child)
    if bank.spec.readers is None or (body is not None and not body["spec"]["replicas"]):
        return set()
    runs = live is not None and live["spec"].get("replicas")
    if body is not None and live is not None and runs and revision_in(live) == revision_in(body):
        return set()
    proven = any(serves_as(pod, rollout.revision) for pod in observed.pods)
    return set() if proven else {child, names.read_replicas_config(bank)}


def _conflict(bank: MemoryBank, child: ChildKey) -> Problem:
    if child == names.key_ring(bank):
        return Problem(
            Reason.NAME_CONFLICT,
            f"Secret {child.name} exists and is not this bank's: if it holds the bank's key ring, "
            f"hand it over by the label {LABEL_BANK}={bank.name}; if not, delete it, or name the "
            "bank differently (metadata.name)",
            terminal=True,
        )
    return Problem(
        Reason.NAME_CONFLICT,
        f"{child.kind} {child.name} exists and is not this bank's: delete it, name the bank "
        f"differently (metadata.name), or hand it over by the label {LABEL_BANK}={bank.name}",
        terminal=True,
    )


def _refused(held: Held) -> list[Problem]:
    """Return what the user has to change; what only waits is no problem."""
    if held.by_user and held.reason in (Reason.VERSION_REFUSED, Reason.ROLLED_BACK):
        return [Problem(held.reason, held.message, terminal=True)]
    return []


def _settle(
    child: ChildKey, body: KubeObject, live: KubeObject | None, *, draft: _Draft, spare: bool
) -> None:
    """Apply an object if it is absent, if its rendering is new or if somebody changed it."""
    if live is None:
        draft.steps.append(Apply(body, spare=spare))
        return
    uid = live["metadata"]["uid"]
    kept = count_to_hand_over(body, live) if child.kind == "Deployment" else None
    if kept is not None:
        draft.steps.append(Share(_counting(live, kept)))
    if rendered_hash(live) != rendered_hash(body):
        draft.steps.append(Apply(body, spare=spare, uid=uid))
        return
    drift = differences(body, live)
    if drift:
        draft.steps.append(Apply(body, drift, uid=uid))
        shown = ", ".join(drift[:SHOWN_PATHS]) + (", ..." if len(drift) > SHOWN_PATHS else "")
        draft.notes.append(
            Note(
                Reason.DRIFT_CORRECTED,
                f"{child.kind} {child.name} was changed by somebody else and is put back: {shown}",
            )
        )


def _counting(live: KubeObject, pods: int) -> KubeObject:
    """Return a Deployment with nothing but its number of pods."""
    metadata = {field: live["metadata"][field] for field in ("name", "namespace", "uid")}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"replicas": pods},
    }


def _store_new_key(
    bank: MemoryBank,
    rendered: Iterable[KubeObject],
    key: KeyDecision,
    *,
    observed: Observed,
    draft: _Draft,
) -> None:
    name = names.key_secret(bank)
    body = next(each for each in rendered if (each["kind"], each["metadata"]["name"]) == name)
    live = observed.children.get(name)
    draft.steps.append(Create(body) if live is None else Apply(body, uid=live["metadata"]["uid"]))
    draft.again.append(CONTINUE_SECONDS)
    if key.note:
        draft.notes.append(key.note)


def _removals(bank: MemoryBank, observed: Observed, kept: Iterable[ChildKey]) -> Iterable[Delete]:
    """Yield what an older version of the operator made and this one does not want. Never what
    holds data, nor a key ring, which is needed to go back from one that the spec names.
    """
    wanted = {*names.children(bank), names.key_ring(bank), *kept}
    for child, live in sorted(observed.children.items()):
        if child in wanted or child.kind in HOLD_DATA:
            continue
        if is_owned_and_managed(bank, live) and not live["metadata"].get("deletionTimestamp"):
            yield Delete(child, uid=live["metadata"]["uid"])


def _configuration(
    bank: MemoryBank, observed: Observed, rollout: Rollout, secrets: SecretsDecision
) -> Configuration | None:
    """Return what the pod is to run by: the objects as they are to be, or are left.

    While a change waits, the pod may use other Secrets than the spec names: those are not asked
    for then.
    """
    file, key, workload = (
        rollout.bodies.get(each) or observed.children.get(each)
        for each in (names.config_map(bank), names.key_secret(bank), names.deployment(bank))
    )
    token = read_entry(key, TOKEN)
    if secrets.fingerprint is None or file is None or workload is None or token is None:
        return None
    named = {} if rollout.held else secrets.each
    text = str((file.get("data") or {}).get(FILE, ""))
    return configuration_of(
        text,
        {**named, ADMIN_KEY: secret_checksum(ADMIN_KEY, token)},
        by_revision=ownership(bank, workload) is Ownership.OURS and covers_all(workload),
    )


def _finished(
    bank: MemoryBank, draft: _Draft, rollout: Rollout, configuration: Configuration | None
) -> Plan:
    plan = Plan(
        problems=tuple(draft.problems),
        revision=rollout.revision,
        wanted=rollout.wanted,
        origin=rollout.origin,
        asked=rollout.asked,
        held=rollout.held,
        configuration=configuration,
    )
    if bank.spec.paused:
        return plan
    return replace(
        plan,
        steps=tuple(draft.steps),
        notes=tuple(draft.notes),
        requeue_after=min(draft.again, default=None),
    )
