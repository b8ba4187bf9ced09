"""Whether a change of what the pod is made from is made now, or waits.

What the pod is made from (its template, its configuration, and the key of a service that takes no
other one while it runs) changes as a whole or not at all. What a running pod takes restarts
nothing, and does not wait by itself. While a change waits, all of them are rendered from what the
Deployment was made from before, as status.rollout.current tells it, so that whatever somebody
changes or deletes meanwhile is put back as it was. Where this version of the operator renders that
differently, they are left as they are.

Pure: the same bank and snapshot give the same decision. Nothing is remembered but in the bank's
status, which is written before anything is done by it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.pod import BUILT_IN_RESOURCES
from memorybank_operator.api.v1alpha1.spec import Spec
from memorybank_operator.api.v1alpha1.update import Made, Rejected
from memorybank_operator.constants import (
    ANNOTATION_BACKUP_KEYS,
    ANNOTATION_DATABASE,
    ANNOTATION_KEY_HASH,
    ANNOTATION_RENDERED_HASH,
    ANNOTATION_SECRETS_HASH,
)
from memorybank_operator.reconcile import versions
from memorybank_operator.reconcile.entries import read_entry
from memorybank_operator.reconcile.model import awaited_model
from memorybank_operator.reconcile.observed import ChildKey, KubeObject, Observed
from memorybank_operator.reconcile.ownership import Ownership, ownership
from memorybank_operator.reconcile.preview import preview
from memorybank_operator.reconcile.steps import Held, Origin
from memorybank_operator.reconcile.taking import is_known_to_take_none
from memorybank_operator.resources import names
from memorybank_operator.resources.backend import OLLAMA
from memorybank_operator.resources.build import build_all, with_hash
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.deployment import has_its_pods, image_in, revision_in
from memorybank_operator.resources.effective import own, taken
from memorybank_operator.resources.key_secret import TOKEN
from memorybank_operator.resources.pod_template import covers_all, key_hash, revision_of
from memorybank_operator.status.serving import serving

AT_ONCE = frozenset(
    {
        "replicas",
        "read_replicas",
        "autoscaling",
        "hibernate",
        "paused",
        "storage",
        "update_policy",
        "service_account",
        "network_policy",
        "pod_disruption_budget",
        "deletion_policy",
        "deletion_protection",
    }
)
"""Fields of the spec that do not shape the pod: they are in force whatever waits. Of `storage` the
part `postgres` does.
"""

Bodies = Mapping[ChildKey, KubeObject]


@dataclass(frozen=True, slots=True)
class Rollout:
    """What is to be rendered now."""

    bodies: Bodies
    """Every object as it is to be; what is to be left as it is, is missing."""
    revision: str
    """Revision of the pod that is wanted now; empty when it could not be rendered."""
    wanted: str
    """Revision that the spec asks for; the same unless something waits."""
    origin: Origin | None = None
    """What the revision was rendered from; None when it is only what is found."""
    asked: Origin | None = None
    """What the spec asks for is rendered from."""
    held: Held | None = None


def decide_rollout(bank: MemoryBank, observed: Observed, ctx: BuildContext, new: Bodies) -> Rollout:
    """Decide between what the spec asks for, `new`, and what the bank has."""
    workload, config = names.deployment(bank), names.config_map(bank)
    current = bank.status.rollout.current if bank.status.rollout else None
    if workload not in new:
        if workload not in observed.children and current is None:
            return Rollout(new, "", "")  # nothing was made by another configuration
        # Without its key nobody can say what waits: the configuration stays as it is for a moment.
        kept = {k: v for k, v in new.items() if k != config or k not in observed.children}
        return Rollout(kept, "", "")
    wanted = revision_of(new[workload]["spec"]["template"])
    asked = Origin(
        bank.generation,
        image_in(new[workload]),
        shaping(bank.spec),
        taken(bank.spec, ctx.settings.defaults),
    )
    through = Rollout(new, wanted, wanted, asked, asked)
    live = observed.children.get(workload)
    if live is not None and ownership(bank, live) is not Ownership.OURS:
        return through
    present = revision_in(live) if live is not None else (current.revision if current else None)
    if present is None or (present == wanted and not _is_rejected(bank, wanted)):
        return through
    held = _judge(bank, observed, ctx, live, new, wanted)
    if held is None:
        return through
    return _stay(bank, observed, ctx, through, held, live)


def shaping(spec: Spec) -> dict[str, Any]:
    """Return the parts of a spec that shape the pod, without what is at its default.

    The built-in resources count as such: the CRD used to write them into each spec.
    """
    left_out = set(AT_ONCE)
    if spec.resources == BUILT_IN_RESOURCES:
        left_out.add("resources")
    shapes = spec.model_dump(mode="json", exclude_defaults=True, exclude=left_out)
    if spec.storage.postgres is not None:
        shapes["storage"] = spec.storage.model_dump(
            mode="json",
            exclude_defaults=True,
            include={"postgres"},
            exclude={"postgres": {"cluster"}},
        )
    return shapes


def _before(bank: MemoryBank, wanted: str) -> Made | None:
    """Return what the bank was made from before `wanted`, which it may be made from already."""
    rollout = bank.status.rollout
    if rollout is None or rollout.current is None or rollout.current.revision != wanted:
        return rollout.current if rollout else None
    return rollout.previous


def _is_rejected(bank: MemoryBank, wanted: str) -> bool:
    rejected = bank.status.rollout.rejected if bank.status.rollout else None
    return rejected is not None and rejected.revision == wanted


def _judge(
    bank: MemoryBank,
    observed: Observed,
    ctx: BuildContext,
    live: KubeObject | None,
    new: Bodies,
    wanted: str,
) -> Held | None:
    """Say why the change has to wait; None when it may be made."""
    rollout, waiting = bank.status.rollout, bank.status.plan
    workload = new[names.deployment(bank)]
    current = rollout.current if rollout else None
    by_spec = _is_of_the_spec(bank, _before(bank, wanted), live)
    by_user = by_spec or _is_of_a_secret(ctx, live)
    held = Held(Reason.AWAITING_APPROVAL, by_user=by_user)
    if rollout is not None and rollout.rejected is not None and _is_rejected(bank, wanted):
        return replace(held, reason=Reason.ROLLED_BACK, message=_rejection(rollout.rejected))
    if live is None and (waiting is None or waiting.revision != wanted):
        return None  # deleted by somebody, and nothing waited
    refused = _refusal(bank, live, workload, current)
    if refused is not None:
        return replace(held, reason=Reason.VERSION_REFUSED, message=refused)
    if live is not None and not live["spec"].get("replicas"):
        return None
    if not by_spec and _is_repair(bank, ctx, live):
        return None
    if bank.spec.update_policy.mode == "Supervised" and not _is_promotion(bank, current):
        plan_id = preview(bank, observed, {names.deployment(bank): workload}, current).id
        if bank.spec.update_policy.approved != plan_id:
            return replace(held, message=_ask_for_approval(bank, plan_id))
    awaited = awaited_model(bank, observed, new.get(OLLAMA.server(bank)))
    if awaited is not None and live is not None:
        return Held(Reason.MODEL_LOADING, awaited)
    if by_user or live is None or not _is_served(bank, observed):
        return None
    return _wait_for_turn(bank, observed, held)


def _rejection(rejected: Rejected) -> str:
    return (
        f"{rejected.message} The bank went back to what worked before. Change the spec, for "
        "example spec.version or spec.restart, to try again."
    )


def _refusal(
    bank: MemoryBank, live: KubeObject | None, new: KubeObject, current: Made | None
) -> str | None:
    """Say why the image must not follow the one that runs, None when it may."""
    before = image_in(live) if live is not None else (current.image if current else "")
    image = image_in(new)
    if image == before:
        return None
    version = (current.version if current else "") or versions.tag_of(before)
    refused = versions.refusal(version, versions.tag_of(image))
    if refused is None:
        return None
    if bank.spec.image is not None:
        return f"spec.image: {refused}."
    if bank.spec.version is not None:
        return f"spec.version: {refused}."
    return f"The operator's default image: {refused}."


def _wait_for_turn(bank: MemoryBank, observed: Observed, held: Held) -> Held | None:
    """Let the operator's own updates begin only when it is the bank's turn, and the status, which
    is written first, says that it began.
    """
    begun = bank.status.condition(ConditionType.UPDATING) is not None
    ready = bank.status.condition(ConditionType.READY)
    if not begun and (ready is None or ready.status != "True"):
        # It may be the network and not the bank: no reason to restart them all.
        return replace(
            held,
            reason=Reason.UPDATE_QUEUED,
            message="This version of the operator, or its defaults, make the pod differently. The "
            "bank is updated when it is ready again, or when its spec is changed, for example "
            "spec.restart.",
        )
    if not observed.turn:
        return replace(
            held,
            reason=Reason.UPDATE_QUEUED,
            asks=True,
            message="This version of the operator, or its defaults, make the pod differently. The "
            "bank waits for its turn, and runs on as it is.",
        )
    if not begun:
        return replace(held, reason=Reason.UPDATE_BEGINS, message="It is this bank's turn.")
    return None


def _is_served(bank: MemoryBank, observed: Observed) -> bool:
    """Tell whether an update could harm the bank: one that serves nobody can only gain by it."""
    updating = bank.status.condition(ConditionType.UPDATING)
    return updating is not None or bool(serving(observed.pods))


def _is_of_the_spec(bank: MemoryBank, current: Made | None, live: KubeObject | None) -> bool:
    """Tell whether the user changed what the spec says about the pod."""
    if current is None:  # an operator without status.rollout was here before
        status, present = bank.status, revision_in(live) if live is not None else ""
        return status.observed_generation != bank.generation or status.revision != present
    taken_before = (current.defaults or {}).keys()
    return current.spec != shaping(bank.spec) or bool(taken_before & own(bank.spec))


def _is_of_a_secret(ctx: BuildContext, live: KubeObject | None) -> bool:
    """Tell whether it is for a Secret that the pod is replaced: one that names another database or
    has other keys for backups, or any if its service takes none.
    """
    if live is None:
        return False
    annotations = live["spec"]["template"]["metadata"].get("annotations") or {}
    database = ctx.database.fingerprint if ctx.database else None
    if annotations.get(ANNOTATION_DATABASE) != database:
        return True
    if annotations.get(ANNOTATION_BACKUP_KEYS, "") != ctx.backup_keys:
        return True
    if not covers_all(live):
        return not ctx.takes_changes  # it has just said so: nobody knows which ones it has
    return bool(
        annotations[ANNOTATION_KEY_HASH] != key_hash(ctx.admin_key or "")
        or annotations.get(ANNOTATION_SECRETS_HASH, "") != ctx.secrets
    )


def _is_promotion(bank: MemoryBank, current: Made | None) -> bool:
    """Tell whether a standby is to take writes, which the field alone asks for in so many words."""
    was = None if current is None else (current.spec or {}).get("standby")
    standby = bank.spec.standby
    return (
        was is not None
        and was.get("enabled", True)
        and standby is not None
        and (not standby.enabled)
    )


def _is_repair(bank: MemoryBank, ctx: BuildContext, live: KubeObject | None) -> bool:
    """Tell whether the pod has to restart since its generated key was lost."""
    if live is None or bank.spec.auth.admin_key_secret_ref is not None or ctx.admin_key is None:
        return False
    if not covers_all(live):
        return False
    annotations = live["spec"]["template"]["metadata"]["annotations"]
    return bool(annotations[ANNOTATION_KEY_HASH] != key_hash(ctx.admin_key))


def _ask_for_approval(bank: MemoryBank, plan_id: str) -> str:
    approved = bank.spec.update_policy.approved
    stale = (
        f" The plan {approved} that spec.updatePolicy.approved names is another one: it has been "
        "carried out or the change is a different one now."
        if approved
        else ""
    )
    return (
        "The change restarts the pod and waits for approval, as spec.updatePolicy.mode is "
        f"Supervised: see status.plan, and set spec.updatePolicy.approved to {plan_id}.{stale}"
    )


def _stay(
    bank: MemoryBank,
    observed: Observed,
    ctx: BuildContext,
    through: Rollout,
    held: Held,
    live: KubeObject | None,
) -> Rollout:
    """Return what the bank has, as objects to be, and the plan for what it is to get."""
    rollout = bank.status.rollout
    made = _before(bank, through.wanted)
    planned = preview(bank, observed, through.bodies, rollout.current if rollout else None)
    held = replace(held, plan=planned.model_copy(update={"reason": str(held.reason)}))
    inputs = {names.config_map(bank), names.key_secret(bank), names.deployment(bank)}
    # The pod that runs is to reach what it uses.
    inputs |= {names.network_policy(bank)} & through.bodies.keys()
    readers = set(names.of_read_replicas(bank)) & through.bodies.keys()
    if held.reason is not Reason.MODEL_LOADING:
        # It has the image of the service in it, and the model that the running pod uses.
        inputs |= set(OLLAMA.children(bank)) & through.bodies.keys()
    others = {key: body for key, body in through.bodies.items() if key not in inputs | readers}
    old = _render(bank, observed, ctx, made) if made is not None else None
    if old is not None and made is not None:
        revision = revision_of(old[names.deployment(bank)]["spec"]["template"])
        goes_back = live is not None and revision_in(live) == through.wanted
        if revision == made.revision or goes_back or _is_repair(bank, ctx, live):
            origin = Origin(made.generation, made.image, made.spec, made.defaults)
            bodies = others | {key: old.get(key, through.bodies[key]) for key in inputs}
            # Those that the bank cannot have before the change are not made for it either.
            bodies |= {key: old[key] for key in readers & old.keys()}
            return replace(
                through,
                bodies=_in_order(bank, bodies),
                revision=revision,
                origin=origin,
                held=held,
            )
    if live is None:
        return through
    # What is missing is made anew; what is there stays as it is.
    left = {key: through.bodies[key] for key in inputs if key not in observed.children}
    if not has_its_pods(bank, live):
        left[names.deployment(bank)] = _scaled(through.bodies[names.deployment(bank)], live)
    return replace(
        through,
        bodies=_in_order(bank, others | left),
        revision=revision_in(live),
        origin=None,
        held=held,
    )


def _render(bank: MemoryBank, observed: Observed, ctx: BuildContext, made: Made) -> Bodies | None:
    """Render the bank as it was made before; None when that cannot be."""
    kept = bank.spec.model_dump(mode="json", include=set(AT_ONCE))
    kept["storage"] |= made.spec.get("storage", {})
    try:
        spec = Spec.model_validate(
            {
                **(made.defaults or {}),
                **made.spec,
                **kept,
                "version": None,
                "image": made.image,
            }
        )
    except ValidationError:  # another version of the operator wrote it
        return None
    former = replace(ctx, bank=bank.model_copy(update={"spec": spec}), takes_changes=True)
    covering = _with_what_it_had(bank, observed, replace(former, takes_changes=False))
    ways = [former, covering]
    if is_known_to_take_none(bank, made.image):
        ways.reverse()
    found = [_bodies(each) for each in ways]
    workload = names.deployment(bank)
    if workload not in found[0]:
        return None
    return next(
        (
            each
            for each in found
            if revision_of(each[workload]["spec"]["template"]) == made.revision
        ),
        found[0],
    )


def _with_what_it_had(bank: MemoryBank, observed: Observed, ctx: BuildContext) -> BuildContext:
    """Return the context with the secrets that a pod has whose service takes no others."""
    live = observed.children.get(names.deployment(bank))
    secrets = ctx.secrets
    if live is not None:
        annotations = live["spec"]["template"]["metadata"].get("annotations") or {}
        secrets = annotations.get(ANNOTATION_SECRETS_HASH, "")
    secret = observed.children.get(names.key_secret(bank))
    key = read_entry(secret, TOKEN) or ctx.admin_key
    return replace(ctx, admin_key=key, secrets=secrets)


def _bodies(ctx: BuildContext) -> Bodies:
    return {ChildKey(each["kind"], each["metadata"]["name"]): each for each in build_all(ctx)}


def _scaled(new: KubeObject, live: KubeObject) -> dict[str, Any]:
    """Return the Deployment that is there with the wanted number of pods."""
    body = copy.deepcopy(dict(new))
    body["spec"]["template"] = copy.deepcopy(live["spec"]["template"])
    annotations = body["metadata"].get("annotations", {})
    body["metadata"]["annotations"] = {
        key: value for key, value in annotations.items() if key != ANNOTATION_RENDERED_HASH
    }
    return with_hash(body)


def _in_order(bank: MemoryBank, bodies: Bodies) -> Bodies:
    return {child: bodies[child] for child in names.children(bank) if child in bodies}
