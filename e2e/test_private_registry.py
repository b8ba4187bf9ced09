"""The image of a bank is in a registry that wants credentials: the bank says so, and runs once it
has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from e2e.bank import Bank
from e2e.private_registry import Registry, private_registry
from e2e.stack import IMAGES, Stack

pytestmark = pytest.mark.full

CREDENTIALS = "registry"
HEALED_SECONDS = 600
"""A node waits up to five minutes before it asks the registry again."""


@pytest.fixture(scope="module")
def registry(stack: Stack) -> Iterator[Registry]:
    with private_registry(stack) as made:
        yield made


def put_credentials(bank: Bank, login: str) -> None:
    """Write the Secret that the bank names."""
    bank.stack.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": CREDENTIALS, "namespace": bank.namespace},
            "stringData": {".dockerconfigjson": login},
        }
    )


def wait_refused(bank: Bank, secrets: list[dict[str, str]]) -> str:
    """Wait until the registry refused its image to a pod with these Secrets; return what the bank
    says of that.
    """

    def refused() -> dict[str, Any] | None:
        ready, resource = bank.condition(), bank.get() or {}
        told = ready.get("observedGeneration") == resource["metadata"]["generation"]
        asked = [each["spec"].get("imagePullSecrets", []) for each in bank.pods()] == [secrets]
        return ready if told and asked and "401 Unauthorized" in ready["message"] else None

    found = (
        bank.stack.wait("a refusal", refused, describe=lambda: (bank.condition(), bank.pods()))
        or {}
    )
    assert (found["status"], found["reason"]) == ("False", "ImagePullBackOff")
    return str(found["message"])


def test_a_private_image_is_pulled_with_the_credentials_of_the_spec_alone(
    stack: Stack, registry: Registry, namespace: str
) -> None:
    # By a name of its own: what the node has it does not ask for.
    image = registry.push(f"{IMAGES[0]}:{stack.tag}", f"private/memorybank-app:{namespace}")
    bank = Bank(stack, namespace, "agents", {"image": image})
    bank.apply()
    message = wait_refused(bank, [])
    assert image in message
    assert "spec.imagePullSecrets" in message

    put_credentials(bank, registry.login("wrong"))
    named = [{"name": CREDENTIALS}]
    bank.apply(imagePullSecrets=named)
    wait_refused(bank, named)

    put_credentials(bank, registry.login(registry.password))
    bank.wait_ready(HEALED_SECONDS)
    bank.remember("The image came from a private registry.")
    pulled = stack.kubectl(
        "-n", namespace, "get", "events", "--field-selector=reason=Pulled",
        "-o", "jsonpath={.items[*].message}",
    )  # fmt: skip
    assert f'Successfully pulled image "{image}"' in pulled
    assert registry.password not in str(bank.get()) + str(bank.events())
