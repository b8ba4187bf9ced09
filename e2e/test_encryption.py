"""An encrypted bank that names no key ring: it gets one, which lives as long as its volume."""

from __future__ import annotations

import base64
import json
from typing import Any

from e2e.bank import Bank
from e2e.stack import Stack

FACT = "The reserve of the treasury lies behind the third door."
QUESTION = "Where is the reserve kept?"
GONE_SECONDS = 180


def ring(bank: Bank) -> dict[str, Any]:
    """What is in the Secret with the key ring."""
    secret = bank.child("secret", "-key-ring")
    assert secret is not None
    found: dict[str, Any] = json.loads(base64.b64decode(secret["data"]["ring.json"]))
    return found


def restart(bank: Bank) -> None:
    """Delete the pod, and wait until another one serves."""
    (pod,) = bank.pods()
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    bank.stack.kubectl("-n", bank.namespace, "delete", "pod", name, "--timeout=120s")

    def serves() -> bool:
        return [
            each["metadata"]["uid"] != uid and status["ready"]
            for each in bank.pods()
            for status in each["status"].get("containerStatuses", ())
        ] == [True]

    bank.stack.wait("another pod serves", serves, seconds=GONE_SECONDS, describe=bank.pods)
    bank.wait_ready()


def test_a_bank_keeps_its_generated_ring_with_its_volume_and_tells_when_it_is_lost(
    stack: Stack, namespace: str
) -> None:
    bank = Bank(stack, namespace, "vault", {"encryption": {"enabled": True}})
    bank.apply_example("encrypted")
    bank.wait_ready()
    made = ring(bank)
    bank.remember(FACT)
    bank.stack.wait("the memory found", lambda: bank.recall(QUESTION) == [FACT])
    restart(bank)
    assert bank.recall(QUESTION) == [FACT]

    kubectl = ("-n", namespace)
    stack.kubectl(*kubectl, "delete", "mb", bank.name, "--timeout=120s")
    kinds = "deployment,service,configmap,serviceaccount,pod"
    selected = ("get", kinds, "-l", f"memorybank.dev/bank={bank.name}", "-o", "name")
    stack.wait(
        "the bank's objects gone",
        lambda: stack.kubectl(*kubectl, *selected).strip() == "",
        seconds=GONE_SECONDS,
    )
    assert bank.child("pvc", "-data") is not None
    assert ring(bank) == made
    bank.apply()
    bank.wait_ready()
    assert bank.recall(QUESTION) == [FACT]

    # A running pod goes on with the ring that it has, and is where to take it from.
    stack.kubectl(*kubectl, "delete", "secret", "vault-key-ring")
    lost = bank.wait_not_ready("KeyRingLost", seconds=GONE_SECONDS)
    assert "Secret vault-key-ring" in lost["message"]
    assert bank.recall(QUESTION) == [FACT]
    assert bank.child("secret", "-key-ring") is None
    mounted = ("exec", f"deploy/{bank.name}", "--", "cat", "/etc/memorybank-secrets/key-ring/value")
    saved = stack.kubectl(*kubectl, *mounted)
    assert json.loads(saved) == made
    stack.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "vault-key-ring",
                "namespace": namespace,
                "labels": {"memorybank.dev/bank": bank.name},
            },
            "stringData": {"ring.json": saved},
        }
    )
    bank.wait_ready()
    assert "KeyRingGenerated" in [reason for reason, _ in bank.events()]
    [key] = made["keys"].values()
    assert key not in str(bank.events()) + str(bank.get())

    bank.apply(deletionPolicy="Delete")
    stack.wait(
        "the ring owned",
        lambda: "ownerReferences" in (bank.child("secret", "-key-ring") or {})["metadata"],
        seconds=GONE_SECONDS,
    )
    stack.wait(
        "the volume owned",
        lambda: "ownerReferences" in (bank.child("pvc", "-data") or {})["metadata"],
        seconds=GONE_SECONDS,
    )
    stack.kubectl(*kubectl, "delete", "mb", bank.name, "--timeout=120s")
    stack.wait(
        "volume and ring gone",
        lambda: bank.child("pvc", "-data") is None and bank.child("secret", "-key-ring") is None,
        seconds=GONE_SECONDS,
    )
