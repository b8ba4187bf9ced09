"""What banks get that leave it out of their spec: one document for the whole cluster.

It is written by people into a ConfigMap, which no schema of the API server checks. So every rule
that the CRD has for the same field of a spec is kept here as well, and a document with anything
wrong in it is refused as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import override

from memorybank_operator.api.base import ApiModel
from memorybank_operator.api.quantity import parse_quantity
from memorybank_operator.api.v1alpha1 import edge
from memorybank_operator.api.v1alpha1.edge import MAX_PEERS, Peer
from memorybank_operator.api.v1alpha1.pod import (
    LocalReference,
    Resources,
    Toleration,
    TopologySpread,
)
from memorybank_operator.api.v1alpha1.types import MAX_LABELS, MAX_NAME
from memorybank_operator.errors import InvalidDefaults

FILE = "defaults.yaml"
"""Key of the ConfigMap that holds the document."""
MAX_TEXT = 64 * 1024
"""Characters of the document: far more than all of its fields at their longest are of use."""

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_ONE_LABEL = re.compile(_LABEL)
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_QUALIFIED = re.compile(
    rf"({_LABEL}(\.{_LABEL})*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?"
)
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_IMAGE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._:/@-]*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_REGISTRY = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9][a-z0-9._-]*)*")
_COMPUTE = ("cpu", "memory", "ephemeral-storage")

NAME_CURE = "write the name of an object: lower-case letters, digits, '-' and '.'"
KEY_CURE = "write keys as name or prefix/name, such as topology.kubernetes.io/zone"
VALUE_CURE = "write a label value: up to 63 letters, digits, '-', '_' and '.'"


def _matching(pattern: re.Pattern[str], cure: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(cure)
        return value

    return AfterValidator(check)


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), _matching(_NAME, NAME_CURE)]


def _is_key(text: str) -> bool:
    prefix, slash, _ = text.rpartition("/")
    return bool(_QUALIFIED.fullmatch(text)) and (not slash or len(prefix) <= MAX_NAME)


def _placed(labels: Mapping[str, str]) -> Mapping[str, str]:
    for key, value in labels.items():
        _require(_is_key(key), KEY_CURE)
        _require(_LABEL_VALUE.fullmatch(value), VALUE_CURE)
    return labels


def _named(references: tuple[LocalReference, ...]) -> tuple[LocalReference, ...]:
    for each in references:
        _require(_NAME.fullmatch(each.name), NAME_CURE)
    _require(len({each.name for each in references}) == len(references), "name each Secret once")
    return references


def _tolerable(tolerations: tuple[Toleration, ...]) -> tuple[Toleration, ...]:
    for each in tolerations:
        exists = each.operator == "Exists"
        _require(each.key or exists, "a toleration without key must have operator Exists")
        _require(not each.key or _is_key(each.key), KEY_CURE)
        _require(each.value is None or not exists, "a toleration with operator Exists has no value")
        _require(_LABEL_VALUE.fullmatch(each.value or ""), VALUE_CURE)
        _require(
            each.toleration_seconds is None or each.effect == "NoExecute",
            "tolerationSeconds needs effect NoExecute",
        )
    return tolerations


def _spread(constraints: tuple[TopologySpread, ...]) -> tuple[TopologySpread, ...]:
    for each in constraints:
        _require(_is_key(each.topology_key), KEY_CURE)
        counted = each.label_selector.match_labels if each.label_selector else {}
        _placed(counted)
    pairs = {(each.topology_key, each.when_unsatisfiable) for each in constraints}
    _require(
        len(pairs) == len(constraints), "name each topologyKey once for each whenUnsatisfiable"
    )
    return constraints


def _affordable(resources: Resources) -> Resources:
    for each in (resources.requests, resources.limits):
        for name, amount in each.items():
            _require(name in _COMPUTE, f"write {', '.join(_COMPUTE[:-1])} or {_COMPUTE[-1]}")
            _require(parse_quantity(amount) >= 0, "write a quantity of zero or more")
    for name, amount in resources.requests.items():
        limit = resources.limits.get(name)
        _require(
            limit is None or parse_quantity(amount) <= parse_quantity(limit),
            f"the request of {name} must not be larger than its limit: lower the one or raise the "
            "other",
        )
    return resources


def _identified(peers: tuple[Peer, ...]) -> tuple[Peer, ...]:
    for each in peers:
        by_pods = bool(each.namespace or each.namespace_labels or each.pod_labels)
        _require(by_pods or each.cidr, edge.WHO)
        _require(not (each.namespace and each.namespace_labels), edge.ONE_NAMESPACE)
        _require(not (each.cidr and by_pods), edge.ADDRESSES_ALONE)
        _require(each.namespace is None or _ONE_LABEL.fullmatch(each.namespace), edge.NAMESPACE)
        _placed(each.namespace_labels)
        _placed(each.pod_labels)
        _require(each.cidr is None or _is_network(each.cidr), edge.CIDR)
        _require(len(set(each.ports)) == len(each.ports), "name each port once")
    return peers


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return "/" in text


def _require(holds: object, cure: str) -> None:
    if not holds:
        raise ValueError(cure)


class DefaultVolume(ApiModel):
    """Of volumes that are made from now on."""

    storage_class_name: Name | None = None
    """Storage class of new volumes. Left out, the cluster's default class is used. A volume keeps
    the class that it was made with.
    """


class DefaultStorage(ApiModel):
    """Where memories are kept."""

    volume: DefaultVolume = DefaultVolume()
    """Of volumes that are made from now on."""


class DefaultNetworkPolicy(ApiModel):
    """Who may connect to banks."""

    enabled: bool = False
    """Whether banks have a network policy that leave spec.networkPolicy.enabled out."""
    allow_from: Annotated[
        tuple[Peer, ...], Field(max_length=MAX_PEERS), AfterValidator(_identified)
    ] = ()
    """Who may connect to every bank that has a network policy, besides whom its spec lets in: the
    namespace of the Ingress controller, and that of Prometheus with ports [metrics].
    """


class DefaultIngress(ApiModel):
    """Of the Ingresses of banks."""

    class_name: Name | None = None
    """Ingress class of banks that name none. Left out, the cluster's default class is used."""


class DefaultExpose(ApiModel):
    """How banks are reached from outside of the cluster."""

    ingress: DefaultIngress = DefaultIngress()
    """Of the Ingresses of banks."""


class Defaults(ApiModel):
    """What banks get that leave it out: the names are those of MemoryBank.spec."""

    model_config = ConfigDict(hide_input_in_errors=True)

    image: (
        Annotated[
            str,
            Field(max_length=512),
            _matching(
                _IMAGE,
                "write the reference of an image, such as registry.example/memorybank-app:0.1.0",
            ),
        ]
        | None
    ) = None
    """Image of the memory service. Left out, the one that the operator's own settings name. Not
    together with version or registry.
    """
    version: (
        Annotated[
            str,
            Field(max_length=128),
            _matching(_TAG, "write the tag of an image, such as '0.1.0', in quotes"),
        ]
        | None
    ) = None
    """Version of the memory service: the tag of the operator's image."""
    registry: (
        Annotated[
            str,
            Field(max_length=253),
            _matching(
                _REGISTRY,
                "write a registry, perhaps with port and path, without https:// and without '/' "
                "at the end, such as mirror.example:5000/team",
            ),
        ]
        | None
    ) = None
    """Registry, perhaps with a path, in place of the one in the operator's image, such as a mirror
    without access to the internet. An image that a bank names itself is left as it is.
    """
    image_pull_secrets: Annotated[
        tuple[LocalReference, ...], Field(max_length=8), AfterValidator(_named)
    ] = ()
    """Secrets with the credentials of registries. They have to be in each bank's namespace."""
    storage: DefaultStorage = DefaultStorage()
    """Where memories are kept."""
    resources: Annotated[Resources, AfterValidator(_affordable)] | None = None
    """Compute resources of the memory service, as a whole."""
    node_selector: Annotated[
        dict[str, str], Field(max_length=MAX_LABELS), AfterValidator(_placed)
    ] = Field(default_factory=dict)
    """Labels that a node must have to run the pod."""
    tolerations: Annotated[
        tuple[Toleration, ...], Field(max_length=32), AfterValidator(_tolerable)
    ] = ()
    """Taints of nodes that do not keep the pod away."""
    topology_spread_constraints: Annotated[
        tuple[TopologySpread, ...], Field(max_length=8), AfterValidator(_spread)
    ] = ()
    """How pods spread over zones and nodes."""
    priority_class_name: Name | None = None
    """Priority class of the pod."""
    expose: DefaultExpose = DefaultExpose()
    """How banks are reached from outside of the cluster."""
    network_policy: DefaultNetworkPolicy = DefaultNetworkPolicy()
    """Who may connect to banks."""

    @model_validator(mode="after")
    def _one_image(self) -> Self:
        for other in ("version", "registry"):
            if self.image is not None and getattr(self, other) is not None:
                raise ValueError(f"image and {other} both choose the image: remove one of them")
        return self

    @property
    def text(self) -> str:
        """The document, without what is left out."""
        content = self.model_dump(mode="json", exclude_defaults=True)
        return str(yaml.safe_dump(content, sort_keys=False)) if content else ""


NO_DEFAULTS = Defaults()
"""Nobody said anything."""


class _OnceOnly(yaml.SafeLoader):
    """Refuses a key that is there twice: YAML would silently take the last one."""

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.MarkedYAMLError(
                    problem="a key is there twice", problem_mark=key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def parse(data: Mapping[str, str]) -> Defaults:
    """Read what a ConfigMap holds; nothing at all is a document without defaults.

    Raises InvalidDefaults that names the first wrong key and the cure, and repeats no value.
    """
    for key in sorted(data):
        if key != FILE:
            raise InvalidDefaults(key, f"the defaults go into the key {FILE}: move it there")
    text = data.get(FILE, "")
    if len(text) > MAX_TEXT:
        raise InvalidDefaults(FILE, f"it is longer than {MAX_TEXT} characters: shorten it")
    try:
        content = yaml.load(text, Loader=_OnceOnly)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        raise InvalidDefaults(FILE, f"it is no YAML: {_where(error)}") from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise InvalidDefaults(FILE, "it is no YAML: write `name: value`, one per line") from None
    if content is None:
        return Defaults()
    if not isinstance(content, dict):
        raise InvalidDefaults(FILE, "write `name: value`, one per line")
    try:
        return Defaults.model_validate(content)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)[0]
        raise InvalidDefaults(_path(details["loc"]) or FILE, _cure(details)) from None


def _where(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark
    place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{error.problem or 'it cannot be read'}{place}"


def _path(location: tuple[int | str, ...]) -> str:
    """As people write it. A key that is no text is left to the message."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".").removesuffix(".[key]")


_CURES = {
    "string_type": "write text: put the value in quotes",
    "model_type": "write fields below it, each as `name: value`",
    "dict_type": "write entries below it, each as `name: value`",
    "tuple_type": "write a list: one line per item, beginning with '-'",
}


def _cure(details: Mapping[str, Any]) -> str:
    if details["type"] == "extra_forbidden":
        known = f"; {', '.join(names())} can be set" if len(details["loc"]) == 1 else ""
        return f"there is no such default: remove it{known}"
    message = str(details["msg"]).removeprefix("Value error, ")
    return _CURES.get(str(details["type"]), message)


def names() -> tuple[str, ...]:
    """Return what can be set, by the names that people write."""
    return tuple(str(field.alias) for field in Defaults.model_fields.values())
