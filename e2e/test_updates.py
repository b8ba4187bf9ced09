"""Changes of a bank's pod, as its owner sees them: approved before they are made, taken back when
they do not work.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from e2e.bank import Bank
from e2e.stack import Stack

EXAMPLE = Path(__file__).parents[1] / "examples/supervised.yaml"
FACT = "The ledger is closed on the third working day of each month."
QUESTION = "When do we close the books?"


def uids(bank: Bank) -> list[str]:
    """The uids of its pods."""
    return [pod["metadata"]["uid"] for pod in bank.pods()]


def test_a_supervised_bank_restarts_when_its_plan_is_approved_and_not_before(
    stack: Stack, namespace: str
) -> None:
    spec = yaml.safe_load(EXAMPLE.read_text())["spec"]
    bank = Bank(stack, namespace, "ledger", spec)
    bank.apply()
    bank.wait_ready()
    bank.remember(FACT)
    before = uids(bank)
    bank.apply(logging={"level": "debug"})
    bank.wait_not_ready("AwaitingApproval")
    plan = (bank.get() or {})["status"]["plan"]
    assert [each["kind"] for each in plan["objects"]] == ["ConfigMap", "Deployment"]
    # Agents notice nothing, and what is lost meanwhile comes back as it was.
    stack.kubectl("-n", namespace, "delete", "configmap", "ledger-config")
    stack.wait("the ConfigMap back", lambda: bank.child("configmap", "-config") is not None)
    assert bank.recall(QUESTION) == [FACT]
    assert uids(bank) == before
    approved = spec["updatePolicy"] | {"approved": plan["id"]}
    bank.apply(logging={"level": "debug"}, updatePolicy=approved)
    bank.wait_ready()
    assert uids(bank) != before
    assert "plan" not in (bank.get() or {})["status"]
    assert bank.recall(QUESTION) == [FACT]


def test_an_image_that_does_not_work_is_taken_back_and_the_memories_are_there(bank: Bank) -> None:
    bank.remember(FACT)
    image = (bank.get() or {})["status"]["image"]
    policy = {"deadlineSeconds": 10}
    bank.apply(image="localhost/no-such-image:1", updatePolicy=policy)
    bank.stack.wait("no pod serves", lambda: bank.condition("Available").get("status") == "False")
    bank.wait_not_ready("RolledBack")
    bank.stack.wait(
        "served again", lambda: bank.condition("Available").get("status") == "True", seconds=120
    )
    assert (bank.get() or {})["status"]["image"] == image
    assert bank.recall(QUESTION) == [FACT]
    bank.apply(updatePolicy=policy)
    bank.wait_ready()
    assert "RolledBack" in [reason for reason, _ in bank.events()]
