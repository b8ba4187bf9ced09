"""The document of cluster-wide defaults: all of it is right, or all of it is refused."""

from __future__ import annotations

import contextlib

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from memorybank_operator.api.defaults import FILE, MAX_TEXT, NO_DEFAULTS, Defaults, names, parse
from memorybank_operator.errors import InvalidDefaults
from tests.operator.strategies import defaults

FULL = """\
version: "0.2.0"
registry: mirror.example:5000/team
imagePullSecrets: [{name: mirror}]
storage: {volume: {storageClassName: fast}}
resources: {requests: {cpu: 1, memory: 1Gi}, limits: {memory: 1Gi}}
nodeSelector: {example.org/disk: ssd}
tolerations: [{key: memory, operator: Exists, effect: NoExecute, tolerationSeconds: 5}]
topologySpreadConstraints: [{topologyKey: topology.kubernetes.io/zone}]
priorityClassName: high
expose: {ingress: {className: nginx}}
networkPolicy: {enabled: true, allowFrom: [{cidr: 10.0.0.0/8, ports: [metrics]}]}
"""


def test_every_field_is_read() -> None:
    read = parse({FILE: FULL})
    left_out = {name for name, value in read if value == getattr(NO_DEFAULTS, name)}
    assert left_out == {"image"}
    assert set(names()) == {*yaml.safe_load(FULL), "image"}


@pytest.mark.parametrize("data", [{}, {FILE: ""}, {FILE: "{}\n"}, {FILE: "# nothing yet\n"}])
def test_nothing_said_means_no_defaults(data: dict[str, str]) -> None:
    assert parse(data) == NO_DEFAULTS
    assert NO_DEFAULTS.text == ""


WRONG = {
    "another key": ({"default.yaml": ""}, "default.yaml: the defaults go into the key"),
    "no YAML": ({FILE: "image: [a"}, "defaults.yaml: it is no YAML: .* in line 1"),
    "no mapping": ({FILE: "- image"}, "defaults.yaml: write `name: value`"),
    "one key twice": ({FILE: "version: a\nversion: b"}, "there twice in line 2"),
    "too deep": ({FILE: "[" * 20_000}, "defaults.yaml: it is no YAML"),
    "too long": ({FILE: "#" * (MAX_TEXT + 1)}, "longer than 65536 characters"),
    "an alias of itself": ({FILE: "&a {nodeSelector: *a}"}, "nodeSelector"),
    "an unknown default": ({FILE: "replicas: 2"}, "replicas: there is no such default.*; image, "),
    "an unknown field below": (
        {FILE: "storage: {volume: {size: 1Gi}}"}, r"storage.volume.size: there is no such default",
    ),
    "a version that is a number": ({FILE: "version: 0.10"}, "version: .*in quotes"),
    "an image of blanks": ({FILE: "image: 'a b'"}, "image: write the reference of an image"),
    "a registry with a scheme": (
        {FILE: "registry: https://mirror.example"}, "registry: .*without https://",
    ),
    "two images": (
        {FILE: "image: a:1\nversion: '2'"}, "defaults.yaml: image and version both choose",
    ),
    "an image and a registry": (
        {FILE: "image: a:1\nregistry: b"}, "defaults.yaml: image and registry both choose",
    ),
    "a storage class": (
        {FILE: "storage: {volume: {storageClassName: Fast}}"},
        r"storage.volume.storageClassName: write the name of an object",
    ),
    "a quantity": (
        {FILE: "resources: {limits: {memory: lots}}"}, r"resources.limits.memory: not a quantity",
    ),
    "a kind of resource": ({FILE: "resources: {limits: {ram: 1Gi}}"}, "resources: write cpu, "),
    "less than nothing": ({FILE: "resources: {limits: {cpu: -1}}"}, "resources: .*zero or more"),
    "a request above the limit": (
        {FILE: "resources: {requests: {memory: 2Gi}, limits: {memory: 1Gi}}"},
        "resources: the request of memory must not be larger",
    ),
    "a label's key": ({FILE: "nodeSelector: {'a/b/c': d}"}, "nodeSelector: write keys as"),
    "a label's value": ({FILE: "nodeSelector: {a: 'b c'}"}, "nodeSelector: write a label value"),
    "a label that is no text": ({FILE: "nodeSelector: {a: true}"}, "nodeSelector.a: .*quotes"),
    "a toleration without key": ({FILE: "tolerations: [{value: a}]"}, "must have operator Exists"),
    "a list that is none": ({FILE: "tolerations: {key: a}"}, "tolerations: write a list"),
    "a secret twice": (
        {FILE: "imagePullSecrets: [{name: a}, {name: a}]"}, "imagePullSecrets: name each",
    ),
    "a secret's name": ({FILE: "imagePullSecrets: [{name: A_B}]"}, "imagePullSecrets: write the"),
    "a spread twice": (
        {FILE: "topologySpreadConstraints: [{topologyKey: a}, {topologyKey: a}]"},
        "topologySpreadConstraints: name each topologyKey once",
    ),
    "a peer that is nobody": (
        {FILE: "networkPolicy: {allowFrom: [{ports: [http]}]}"},
        "networkPolicy.allowFrom: say who is let in",
    ),
    "a peer of two kinds of namespace": (
        {FILE: "networkPolicy: {allowFrom: [{namespace: a, namespaceLabels: {b: c}}]}"},
        "networkPolicy.allowFrom: .*remove one of them",
    ),
    "a peer that is addresses and pods": (
        {FILE: "networkPolicy: {allowFrom: [{cidr: 10.0.0.0/8, podLabels: {b: c}}]}"},
        "networkPolicy.allowFrom: .*make two entries of it",
    ),
    "a peer at no network": (
        {FILE: "networkPolicy: {allowFrom: [{cidr: 10.0.0.7/8}]}"},
        "networkPolicy.allowFrom: write a network",
    ),
    "a peer at an address alone": (
        {FILE: "networkPolicy: {allowFrom: [{cidr: 10.0.0.7}]}"},
        "networkPolicy.allowFrom: write a network",
    ),
    "a peer in no namespace": (
        {FILE: "networkPolicy: {allowFrom: [{namespace: Team A}]}"},
        "networkPolicy.allowFrom: write the name of a namespace",
    ),
    "a peer's labels": (
        {FILE: "networkPolicy: {allowFrom: [{podLabels: {a/b/c: d}}]}"},
        "networkPolicy.allowFrom: write keys as",
    ),
    "a peer's ports": (
        {FILE: "networkPolicy: {allowFrom: [{namespace: a, ports: [http, http]}]}"},
        "networkPolicy.allowFrom: name each port once",
    ),
    "a priority class": ({FILE: "priorityClassName: ''"}, "priorityClassName: "),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_document_is_refused_with_key_and_cure(case: str) -> None:
    data, words = WRONG[case]
    with pytest.raises(InvalidDefaults, match=words):
        parse(data)


@settings(max_examples=50, deadline=None)
@given(defaults)
def test_what_is_in_force_reads_back_as_what_it_was(given: dict[str, object]) -> None:
    read = parse({FILE: yaml.safe_dump(given)})
    assert parse({FILE: read.text}) == read


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=80), st.text("abc:{}[]&*!-'\" \n#|>?,%@`", max_size=40)))
def test_whatever_somebody_writes_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidDefaults):
        assert isinstance(parse({FILE: text}), Defaults)
