"""A bank is moved from its volume into a PostgreSQL database as docs/banks/moving.md says, by the
Job that stands there.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import yaml

from e2e.bank import Bank
from e2e.cluster.paths import ROOT
from e2e.postgres import name_database, postgres
from e2e.stack import Stack

PAGE = ROOT / "docs/banks/moving.md"
EXAMPLE = ROOT / "examples/postgres.yaml"
_BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FACT = "The ferry to the island leaves from the northern pier."
QUESTION = "Where does the boat start?"
LATER = "The dentist has moved to the second floor."
MOVED_SECONDS = 300


def job_of_the_page() -> dict[str, Any]:
    """Return the Job as it stands there."""
    manifests: list[dict[str, Any]] = [
        yaml.safe_load(block) for block in _BLOCK.findall(PAGE.read_text())
    ]
    [job] = [each for each in manifests if each["kind"] == "Job"]
    return job


def end_of(stack: Stack, namespace: str, name: str) -> str:
    """Return how a Job ended; empty while it runs."""
    conditions = (stack.get("job", name, namespace) or {}).get("status", {}).get("conditions", [])
    ended = [each["type"] for each in conditions if each["status"] == "True"]
    return next((each for each in ended if each in ("Complete", "Failed")), "")


def test_the_job_of_the_page_moves_a_bank_that_is_found_again_in_the_database(
    stack: Stack, namespace: str, bank: Bank
) -> None:
    identity = bank.remember(FACT)
    old_pod = bank.pods()[0]["metadata"]["uid"]
    spec: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())["spec"]
    job = job_of_the_page()
    name = job["metadata"]["name"]
    container = job["spec"]["template"]["spec"]["containers"][0]
    deployment = bank.child("deployment") or {}
    container["image"] = deployment["spec"]["template"]["spec"]["containers"][0]["image"]

    with postgres(stack) as server:
        there = Bank(stack, namespace, bank.name, spec | {"replicas": 1})
        address = server.make_database("bank")
        name_database(there, address)
        job["metadata"]["namespace"] = namespace
        stack.apply(job)

        def log() -> str:
            return stack.kubectl("-n", namespace, "logs", f"job/{name}", check=False)

        end = stack.wait(
            "the end of the move", lambda: end_of(stack, namespace, name), seconds=MOVED_SECONDS,
            describe=lambda: (log(), stack.get("job", name, namespace)),
        )  # fmt: skip
        assert end == "Complete", log()
        assert "the bank was moved from the file /data/memory_bank.db to the PostgreSQL" in log()
        assert (urlsplit(address).password or "") not in log()
        told = bank.wait_not_ready("ServiceFailing")
        assert "moved to another database" in told["message"]
        assert [each["metadata"]["uid"] for each in bank.pods()] == [old_pod]

        stack.kubectl("-n", namespace, "delete", "mb", bank.name, "--timeout=180s")
        assert stack.get("pvc", f"{bank.name}-data", namespace), "the volume stays"
        there.apply()
        there.wait_ready()
        assert there.recall(QUESTION) == [FACT]
        with there.http() as client:
            assert client.get(f"/v1/memories/{identity}").json()["content"] == FACT
        there.remember(LATER)
        assert LATER in there.recall("Where is the dentist?")
