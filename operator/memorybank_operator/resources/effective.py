"""What a bank is rendered from: its own spec, and the defaults in force for what that leaves out.

The spec's own value always wins, an empty one too. A value is taken or left as a whole.
"""

from __future__ import annotations

from typing import Any

from memorybank_operator.api.defaults import Defaults
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.spec import Spec

POD_FIELDS = (
    "image_pull_secrets",
    "resources",
    "node_selector",
    "tolerations",
    "topology_spread_constraints",
    "priority_class_name",
)
"""Fields of the spec that the defaults fill in, besides the image and the volume's class."""


def fenced(bank: MemoryBank, defaults: Defaults) -> MemoryBank:
    """Return the bank with what the defaults say of its network policy: whether it has one, if its
    spec leaves that out, and whom every bank lets in besides its own peers.
    """
    own, shared = bank.spec.network_policy, defaults.network_policy
    peers = tuple(each for each in shared.allow_from if each not in own.allow_from)
    filled = own.model_copy(
        update={
            "enabled": shared.enabled if own.enabled is None else own.enabled,
            "allow_from": own.allow_from + peers,
        }
    )
    if filled == own:
        return bank
    spec = bank.spec.model_copy(update={"network_policy": filled})
    return bank.model_copy(update={"spec": spec})


def without_pods(bank: MemoryBank) -> MemoryBank:
    """Return the bank as it is while something else has its database: asleep, but for servers of
    PostgreSQL of its own.
    """
    awake = {"hibernate": False, "replicas": 0, "autoscaling": None}
    asleep = {"hibernate": True}
    update = asleep if bank.spec.storage.cluster is None else awake
    return bank.model_copy(update={"spec": bank.spec.model_copy(update=update)})


def effective(bank: MemoryBank, defaults: Defaults) -> MemoryBank:
    """Return the bank with what its spec leaves out and the defaults have."""
    filled = {name: getattr(defaults, name) for name in _open(bank.spec, defaults)}
    if not filled:
        return bank
    return bank.model_copy(update={"spec": bank.spec.model_copy(update=filled)})


def taken(spec: Spec, defaults: Defaults) -> dict[str, Any] | None:
    """Return what is filled in, as JSON by the names of the spec; None for nothing."""
    fields = set(_open(spec, defaults))
    return defaults.model_dump(mode="json", include=fields, exclude_none=True) if fields else None


def own(spec: Spec) -> frozenset[str]:
    """Return the names, as in the spec, of the fields that a bank says something about itself."""
    return frozenset(str(Spec.model_fields[name].alias) for name in spec.model_fields_set)


def _open(spec: Spec, defaults: Defaults) -> list[str]:
    return [
        name
        for name in POD_FIELDS
        if name not in spec.model_fields_set and getattr(defaults, name) not in (None, (), {})
    ]
