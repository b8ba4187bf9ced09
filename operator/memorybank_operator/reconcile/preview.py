"""What a change of the pod would do, for people who have to approve it. Pure; values are never
named, since configurations hold them.
"""

from __future__ import annotations

from collections.abc import Mapping

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.spec import Spec
from memorybank_operator.api.v1alpha1.update import Made, PlannedObject, PlanStatus
from memorybank_operator.configfiles.checksum import object_checksum
from memorybank_operator.reconcile.drift import differences
from memorybank_operator.reconcile.observed import ChildKey, KubeObject, Observed
from memorybank_operator.resources import names
from memorybank_operator.resources.deployment import image_in, revision_in
from memorybank_operator.resources.pod_template import revision_of

MAX_FIELDS = 20
"""Changed fields that are named per object."""
_BY_HASH = ("metadata.annotations.memorybank.dev/rendered-hash",)
"""What follows from the other differences and says nothing by itself."""


def preview(
    bank: MemoryBank,
    observed: Observed,
    new: Mapping[ChildKey, KubeObject],
    current: Made | None,
) -> PlanStatus:
    """Describe the step from what is there to `new`, which has at least the Deployment.

    The id tells this step from any other, and from the same step at another time: what was approved
    once is not approved for ever.
    """
    workload = names.deployment(bank)
    live = observed.children.get(workload)
    present = (revision_in(live) if live else "") or (current.revision if current else "")
    wanted = revision_of(new[workload]["spec"]["template"])
    before = (image_in(live) if live else "") or (current.image if current else "")
    image = image_in(new[workload])
    inputs = (names.config_map(bank), names.key_secret(bank), workload)
    return PlanStatus(
        id=object_checksum([current.generation if current else 0, present, wanted]),
        reason="",
        image=image,
        revision=wanted,
        objects=tuple(
            PlannedObject(kind=child.kind, name=child.name, fields=fields)
            for child in inputs
            if child in new and (fields := changed_fields(new[child], observed.children.get(child)))
        ),
        restarts=(_restart(bank),),
        irreversible=tuple(_irreversible(bank, current, image=image, before=before)),
    )


def _restart(bank: MemoryBank) -> str:
    name = names.deployment(bank).name
    if bank.spec.storage.has_volume:
        return f"the pod of Deployment {name}: agents are not served for that time"
    return f"the pods of Deployment {name}, each when another one serves: agents are served"


def changed_fields(new: KubeObject, live: KubeObject | None) -> tuple[str, ...]:
    """Return the paths of what would change, at most MAX_FIELDS; none is a value."""
    if live is None:
        return ("(the whole object)",)
    found = [each for each in differences(new, live) if each not in _BY_HASH]
    shown = found[:MAX_FIELDS]
    return tuple(shown if len(found) == len(shown) else [*shown[:-1], "..."])


def _irreversible(bank: MemoryBank, current: Made | None, *, image: str, before: str) -> list[str]:
    found = []
    if image != before:
        found.append(
            f"image {before} becomes {image}: a new version may migrate the database, which an "
            "older one cannot open once somebody has written to it"
        )
    forgetting = bank.spec.forgetting
    if forgetting.enabled and not forgetting.dry_run and current is not None:
        default = Spec().forgetting.model_dump(mode="json", exclude_defaults=True)
        if current.spec.get("forgetting", default) != forgetting.model_dump(
            mode="json", exclude_defaults=True
        ):
            found.append(
                "spec.forgetting changes: what is forgotten by it and stays in the trash for "
                f"{forgetting.grace_days} days is deleted for good"
            )
    return found
