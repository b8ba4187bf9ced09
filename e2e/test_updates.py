"""Changes of a bank's pod, as its owner sees them: approved before they are made, taken back when
they do not work, brought by the defaults of the whole cluster.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e import servers
from e2e.bank import Bank
from e2e.stack import Stack

EXAMPLES = Path(__file__).parents[1] / "examples"
EXAMPLE = EXAMPLES / "supervised.yaml"
DEFAULTS = EXAMPLES / "defaults.yaml"
NEXT_VERSION = Path(__file__).parent / "next_version"
IN_FORCE = "memorybank-operator-defaults-in-force"
TOLERATIONS = "tolerations: [{key: example.org/memory, operator: Exists}]"
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
    bank.apply(lifecycle={"drainSeconds": 7})
    bank.wait_not_ready("AwaitingApproval")
    plan = (bank.get() or {})["status"]["plan"]
    assert [each["kind"] for each in plan["objects"]] == ["ConfigMap", "Deployment"]
    # Agents notice nothing, and what is lost meanwhile comes back as it was.
    stack.kubectl("-n", namespace, "delete", "configmap", "ledger-config")
    stack.wait("the ConfigMap back", lambda: bank.child("configmap", "-config") is not None)
    assert bank.recall(QUESTION) == [FACT]
    assert uids(bank) == before
    approved = spec["updatePolicy"] | {"approved": plan["id"]}
    bank.apply(lifecycle={"drainSeconds": 7}, updatePolicy=approved)
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
    bank.stack.wait("served again", lambda: bank.condition("Available").get("status") == "True")
    assert (bank.get() or {})["status"]["image"] == image
    assert bank.recall(QUESTION) == [FACT]
    bank.apply(updatePolicy=policy)
    bank.wait_ready()
    bank.wait_told("RolledBack")


def test_a_version_that_migrates_and_does_not_work_is_taken_back_with_the_database(
    stack: Stack, bank: Bank
) -> None:
    bank.remember(FACT)
    image, schema = (bank.get() or {})["status"]["image"], schema_version(bank)
    bank.apply(image=next_version(stack), updatePolicy={"deadlineSeconds": 30})
    migrated = f"memory_bank.db.schema-{schema}"
    stack.wait(
        "the database migrated", lambda: migrated in listing(bank), describe=lambda: listing(bank)
    )
    bank.wait_not_ready("RolledBack")
    stack.wait("served again", lambda: bank.condition("Available").get("status") == "True")
    assert (bank.get() or {})["status"]["image"] == image
    assert schema_version(bank) == schema
    assert migrated not in listing(bank), "it is the database again"
    assert bank.recall(QUESTION) == [FACT]
    bank.apply()
    bank.wait_ready()


def next_version(stack: Stack) -> str:
    """Have the image of a version with a newer schema on the cluster; return its name."""
    change = NEXT_VERSION / "change.py"

    def fill(context: Path) -> None:
        shutil.copy(change, context)

    return servers.load(
        stack, "localhost/next-version:1", NEXT_VERSION / "Dockerfile",
        made_of=change.read_text(), fill=fill,
    )  # fmt: skip


def schema_version(bank: Bank) -> int:
    """Of the bank's database, as its pod says."""
    with bank.http() as client:
        return int(client.get("/ready").json()["schema_version"])


def listing(bank: Bank) -> list[str]:
    """The files of the bank's volume; none as long as no pod has it."""
    return bank.stack.kubectl(
        "-n", bank.namespace, "exec", f"deployment/{bank.name}", "--",
        "python3", "-c", "import os; print(*os.listdir('/data'), sep='\\n')", check=False,
    ).split()  # fmt: skip


@pytest.fixture
def defaults(stack: Stack) -> Iterator[dict[str, Any]]:
    """The cluster-wide defaults of the example; none again when the test is over."""
    [document, _] = yaml.safe_load_all(DEFAULTS.read_text())
    yield document
    change_defaults(stack, document, "")
    where = document["metadata"]["namespace"]
    stack.wait(
        "no defaults in force",
        lambda: (
            (stack.get("configmap", IN_FORCE, where) or {}).get("data") == {"defaults.yaml": ""}
        ),
    )


def test_a_bank_takes_the_defaults_and_each_change_and_nothing_of_a_wrong_one(
    stack: Stack, namespace: str, defaults: dict[str, Any]
) -> None:
    where = defaults["metadata"]["namespace"]
    stack.apply(defaults)
    [_, example] = yaml.safe_load_all(DEFAULTS.read_text())
    bank = Bank(stack, namespace, "agents", example["spec"])
    other = Bank(stack, namespace, "others", {"storage": {"volume": {"size": "64Mi"}}})
    for each in (bank, other):
        each.apply()
    for each in (bank, other):
        each.wait_ready()
    assert memory(bank) == example["spec"]["resources"]["limits"]["memory"], "its own value wins"
    assert memory(other) == "768Mi"
    assert bank.pods()[0]["spec"]["tolerations"][0]["key"] == "example.org/memory"
    bank.remember(FACT)
    kept = uids(bank)

    change_defaults(stack, defaults, "resources: {limits: {memory: 700Mi}}\n" + TOLERATIONS)
    stack.wait("the other bank's pod with 700Mi", lambda: memory(other) == "700Mi")
    other.wait_ready()
    stack.wait("no spread of zones", lambda: "topologySpreadConstraints" not in taken(bank))
    bank.wait_ready()

    # Something wrong: nobody's pod is another one, and the cure is told where people look.
    before = uids(bank), uids(other)
    change_defaults(stack, defaults, "resources: {limits: {memory: lots}}")
    stack.wait(
        "refused",
        lambda: ((stack.get("configmap", IN_FORCE, where) or {}).get("data") or {}).get("refused"),
    )

    def shown() -> str:
        return stack.kubectl("-n", where, "describe", "configmap", defaults["metadata"]["name"])

    # The event follows the record.
    stack.wait("the event", lambda: "DefaultsRefused" in shown(), describe=shown)
    assert "resources.limits.memory: not a quantity" in shown()
    leader = stack.leader()
    stack.kubectl("-n", where, "rollout", "restart", "deployment/memorybank-operator")
    stack.kubectl("-n", where, "rollout", "status", "deployment/memorybank-operator")
    stack.wait("another leader", lambda: stack.leader() not in ("", leader))
    bank.apply(podAnnotations={"example.org/seen": "yes"})
    bank.wait_ready()
    assert memory(other) == "700Mi"
    assert (uids(bank) != before[0], uids(other)) == (True, before[1])
    assert kept != before[0], "its spread over zones was taken away"
    assert bank.recall(QUESTION) == [FACT]


def change_defaults(stack: Stack, defaults: dict[str, Any], text: str) -> None:
    stack.apply(defaults | {"data": {"defaults.yaml": text}})


def memory(bank: Bank) -> str:
    """The limit of its newest pod."""
    pods = sorted(bank.pods(), key=lambda each: str(each["metadata"]["creationTimestamp"]))
    if not pods:
        return ""
    return str(pods[-1]["spec"]["containers"][0]["resources"]["limits"]["memory"])


def taken(bank: Bank) -> dict[str, Any]:
    """What its status says that it took from the defaults."""
    return dict((bank.get() or {})["status"]["rollout"]["current"].get("defaults") or {})
