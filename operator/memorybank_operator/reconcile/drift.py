"""Whether a live object holds what we want it to hold.

The API server fills in defaults and others add fields of their own, so equality is the wrong
question. What matters is that applying again would change nothing: maps hold what we want and maybe
more, lists that merge by a key hold our entries and maybe more, atomic lists and maps are exactly
ours, quantities are the same number. An empty value is as good as none: the API server drops it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from memorybank_operator.api.quantity import parse_quantity

# From the x-kubernetes-list-map-keys of the kinds we render.
_MERGE_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
_PORT_KEYS = (("containerPort", "protocol"), ("port", "protocol"))
_ATOMIC_MAPS = frozenset({"matchLabels", "nodeSelector", "podSelector", "selector"})
_EXACT = frozenset({"egress", "ingress"})
"""Rules of a network policy: each part of an entry widens or narrows it, and is rendered in full.
"""
_QUANTITIES = frozenset({"limits", "requests", "sizeLimit"})


def differences(desired: Any, live: Any) -> tuple[str, ...]:
    """Return the paths at which the live object lacks what is desired, sorted; values are never
    named. Both are plain JSON.
    """
    return tuple(sorted(_compare(desired, live, "", "")))


def _compare(desired: Any, live: Any, path: str, field: str) -> Iterator[str]:
    if _is_empty(desired) and _is_empty(live):
        return
    if field in _EXACT:
        if desired != live:
            yield path
        return
    if isinstance(desired, dict) and isinstance(live, dict):
        yield from _compare_maps(desired, live, path, field)
    elif isinstance(desired, list) and isinstance(live, list):
        yield from _compare_lists(desired, live, path, field)
    elif not _same_value(desired, live, field):
        yield path


def _compare_maps(
    desired: dict[str, Any], live: dict[str, Any], path: str, field: str
) -> Iterator[str]:
    if field in _ATOMIC_MAPS and live.keys() - desired.keys():
        yield path
        return
    for key, value in desired.items():
        inner = field if field in _QUANTITIES else key
        yield from _compare(value, live.get(key), f"{path}.{key}".lstrip("."), inner)


def _compare_lists(desired: list[Any], live: list[Any], path: str, field: str) -> Iterator[str]:
    keys = _merge_keys(field, desired)
    if not keys:
        same_length = len(desired) == len(live)
        pairs = zip(desired, live, strict=False)
        if not same_length or any(any(_compare(*pair, path, "")) for pair in pairs):
            yield path
        return
    existing = {tuple(each.get(key) for key in keys): each for each in live}
    for entry in desired:
        identity = tuple(entry[key] for key in keys)
        shown = f"{path}[{identity[0]}]"
        if identity in existing:
            yield from _compare(entry, existing[identity], shown, "")
        else:
            yield shown


def _merge_keys(field: str, desired: list[Any]) -> tuple[str, ...]:
    if field == "ports":
        return next((keys for keys in _PORT_KEYS if keys[0] in desired[0]), ())
    return _MERGE_KEYS.get(field, ())


def _same_value(desired: Any, live: Any, field: str) -> bool:
    if field in _QUANTITIES and isinstance(desired, str) and isinstance(live, str):
        try:
            return parse_quantity(desired) == parse_quantity(live)
        except ValueError:
            return desired == live
    return bool(desired == live)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | dict | list) and not value)
