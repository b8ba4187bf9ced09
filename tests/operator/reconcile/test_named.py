"""Secrets that the spec names: missing, wrong, changed."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from memorybank_operator.reconcile.steps import Apply, Plan
from tests.operator.world import World, bank, running

JWT = {"issuer": "i", "audience": ["a"], "secretRef": {"name": "mine", "key": "value"}}
TOKENS = {"auth": {"jwt": JWT}}
ENCRYPTED = {"encryption": {"enabled": True, "keySecretRef": {"name": "mine", "key": "value"}}}
MODEL = {
    "embedding": {
        "provider": "openai",
        "model": "m",
        "openai": {"keySecretRef": {"name": "mine", "key": "value"}},
    }
}


def ring(active: str = "a", **keys: bytes) -> str:
    encoded = {name: base64.b64encode(key).decode() for name, key in keys.items()}
    return json.dumps({"active": active, "keys": encoded})


RING = ring(a=b"a" * 32)
USABLE: dict[str, tuple[dict[str, Any], str]] = {
    "tokens": (TOKENS, "t" * 64),
    "ring": (ENCRYPTED, RING),
    "model": (MODEL, "sk-key"),
}


def secret(value: str, *, key: str = "value") -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode()}
    return {"kind": "Secret", "metadata": {"name": "mine", "uid": "s"}, "data": data}


def written(planned: Plan) -> list[str]:
    return [step.body["kind"] for step in planned.steps if isinstance(step, Apply)]


@pytest.mark.parametrize("use", USABLE)
def test_a_named_secret_is_mounted_and_its_change_is_for_the_running_pod(use: str) -> None:
    spec, value = USABLE[use]
    of = bank(spec)
    world = World(named_secrets={"mine": secret(value)})
    before = world.converge(of)
    assert before.problems == ()
    pod = world.deployment(of)["spec"]["template"]["spec"]
    [volume] = [v for v in pod["volumes"] if v.get("secret", {}).get("secretName") == "mine"]
    assert volume["secret"]["items"] == [{"key": "value", "path": "value"}]
    [mount] = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == volume["name"]]
    assert mount["readOnly"]
    other = ring(a=b"b" * 32) if use == "ring" else value + "x"
    world.named_secrets["mine"] = secret(other)
    after = world.plan(of)
    assert (after.steps, after.revision) == ((), before.revision), "no pod restarts"
    assert after.configuration is not None
    assert after.configuration != before.configuration, "the pod has to prove that it took it"


@pytest.mark.parametrize("use", USABLE)
def test_no_value_of_a_named_secret_is_in_any_object(use: str) -> None:
    spec, value = USABLE[use]
    world = World(named_secrets={"mine": secret(value)})
    world.converge(bank(spec))
    text = json.dumps(list(world.children.values()))
    assert value not in text
    assert base64.b64encode(value.encode()).decode() not in text


@pytest.mark.parametrize(
    ("spec", "found", "reason", "words"),
    [
        (TOKENS, None, "SecretNotFound", "spec.auth.jwt.secretRef.name: Secret mine does not"),
        (TOKENS, secret("x", key="y"), "SecretNotFound", "no entry value"),
        (TOKENS, secret("t" * 63), "SecretInvalid", "at least 64"),
        (MODEL, secret(""), "SecretInvalid", "spec.embedding.openai.keySecretRef"),
        (MODEL, secret("two\nlines"), "SecretInvalid", "printable"),
        (ENCRYPTED, None, "SecretNotFound", "spec.encryption.keySecretRef.name"),
        (ENCRYPTED, secret("{"), "SecretInvalid", "openssl rand -base64 32"),
        (ENCRYPTED, secret(ring("b", a=b"a" * 32)), "SecretInvalid", "the active one among them"),
        (ENCRYPTED, secret(ring(a=b"a" * 16)), "SecretInvalid", "32 bytes"),
        (ENCRYPTED, secret(ring(a=b"a" * 32, b=b"a" * 32)), "SecretInvalid", "none twice"),
        (ENCRYPTED, secret('{"active": [], "keys": {}}'), "SecretInvalid", "no key ring"),
    ],
)
def test_a_named_secret_that_cannot_be_used_is_told_and_the_running_pod_left_alone(
    spec: dict[str, Any], found: dict[str, Any] | None, reason: str, words: str
) -> None:
    world = running(bank())
    if found:
        world.named_secrets["mine"] = found
    planned = world.plan(bank(spec))
    [problem] = planned.problems
    assert (problem.reason, problem.terminal) == (reason, False)
    assert words in problem.message
    assert written(planned) == []
    assert planned.requeue_after is not None
    good = next(value for each, value in USABLE.values() if each is spec)
    world.named_secrets["mine"] = secret(good)
    assert "Deployment" in written(world.plan(bank(spec)))
