"""Whether a bank's service takes changed settings and Secrets while it runs, so that its pod is
made for the others only.

It says so itself, when the canary asks. That it does not is written into the status, per image:
then the revision of the pod covers everything, and each change makes another pod. So does every
template of an operator from before such services, which is left as it is until something changes:
that an operator is upgraded restarts no pod.
"""

from __future__ import annotations

from dataclasses import replace

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.observed import KubeObject, Observed
from memorybank_operator.reconcile.ownership import Ownership, ownership
from memorybank_operator.resources import names
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.deployment import image_in, revision_in
from memorybank_operator.resources.image import image_of
from memorybank_operator.resources.pod_template import build_pod_template, covers_all, revision_of


def takes_changes(bank: MemoryBank, observed: Observed, ctx: BuildContext) -> bool:
    """Tell by what the pod that is to be is made. As long as nothing is known, by what the newest
    services can.
    """
    if ctx.admin_key is None or ctx.secrets is None:
        return True  # nothing is made of it
    live = observed.children.get(names.deployment(bank))
    if live is not None and ownership(bank, live) is not Ownership.OURS:
        live = None
    image = image_of(bank.spec, ctx.settings)
    if is_known_to_take_none(bank, image) or (live is not None and _said_no(observed, live, image)):
        return False
    rollout, waiting = bank.status.rollout, bank.status.plan
    rejected = rollout.rejected if rollout is not None else None
    if (live is None or not covers_all(live)) and rejected is None:
        return True
    # What is in place, waits for approval or was taken back stays the one it is.
    known = {
        revision_in(live) if live is not None else "",
        waiting.revision if waiting is not None else "",
        rejected.revision if rejected is not None else "",
    }
    return revision_of(build_pod_template(replace(ctx, takes_changes=False))) not in known


def is_known_to_take_none(bank: MemoryBank, image: str) -> bool:
    """Tell whether the service of this image said that it takes no changes while it runs."""
    rollout = bank.status.rollout
    return rollout is not None and any(
        made is not None and made.image == image and made.takes_changes is False
        for made in (rollout.current, rollout.previous)
    )


def _said_no(observed: Observed, live: KubeObject, image: str) -> bool:
    canary = observed.canary
    return (
        canary is not None
        and canary.takes_changes is False
        and canary.revision == revision_in(live)
        and image_in(live) == image
    )
