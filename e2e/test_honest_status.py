"""Ready never lies: every version of a bank that the API server showed is recorded and judged."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from e2e.bank import Bank
from e2e.processes import frozen
from e2e.stack import CommandFailed, Stack

FROZEN_SECONDS = 3
"""As long as this is waited for an answer of a process that is stopped."""


@dataclass(frozen=True)
class Seen:
    """One version of the bank, as watched."""

    at: float
    generation: int
    observed: int
    ready: str
    reason: str

    @property
    def claims_ready(self) -> bool:
        return self.ready == "True" and self.observed == self.generation


@dataclass
class Recorder:
    """Every version of one bank since the recording began."""

    versions: list[Seen] = field(default_factory=list)

    def claims(self) -> bool:
        """Whether the version seen last claims to be ready."""
        return bool(self.versions) and self.versions[-1].claims_ready

    def claims_between(self, start: float, end: float) -> list[Seen]:
        return [seen for seen in self.versions if start <= seen.at <= end and seen.claims_ready]


@contextmanager
def recording(bank: Bank) -> Iterator[Recorder]:
    recorder = Recorder()
    command = [str(bank.stack.kubectl_binary), "-n", bank.namespace, "get", "memorybanks"]
    with subprocess.Popen(
        [*command, "--watch", "-o", "jsonpath={@}{'\\n'}"],
        env=bank.stack.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def record() -> None:
            for line in process.stdout or ():
                recorder.versions.append(seen(json.loads(line)))

        thread = threading.Thread(target=record, daemon=True)
        thread.start()
        try:
            yield recorder
        finally:
            process.terminate()
            thread.join(timeout=10)


def seen(body: dict[str, object]) -> Seen:
    metadata, status = body["metadata"], body.get("status", {})
    assert isinstance(metadata, dict)
    assert isinstance(status, dict)
    conditions = {c["type"]: c for c in status.get("conditions", [])}
    ready = conditions.get("Ready", {})
    return Seen(
        at=time.monotonic(),
        generation=metadata["generation"],
        observed=status["observedGeneration"],
        ready=ready.get("status", ""),
        reason=ready.get("reason", ""),
    )


def works(bank: Bank, *, seconds: float = 30) -> bool:
    """What Ready promises, tried by a user: stored, found by meaning, deleted. Who does not answer
    within these seconds does not work.
    """
    try:
        with bank.http() as http:
            http.timeout = httpx.Timeout(seconds)
            stored = http.post(
                "/v1/memories", json={"content": "The parrot is blue.", "project": "probe"}
            )
            stored.raise_for_status()
            found = http.post("/v1/search", json={"query": "bird colour", "project": "probe"})
            found.raise_for_status()
            http.delete(f"/v1/memories/{stored.json()['id']}").raise_for_status()
            return stored.json()["id"] in [r["memory"]["id"] for r in found.json()["results"]]
    except (httpx.HTTPError, CommandFailed, LookupError):
        return False


def test_ready_is_never_claimed_while_the_bank_does_not_work(stack: Stack, namespace: str) -> None:
    bank = Bank(stack, namespace, "honest")
    with recording(bank) as recorder:
        created = time.monotonic()
        bank.apply()
        stack.wait("the first version seen", lambda: recorder.versions)
        bank.wait_ready()
        stack.wait("the claim seen", recorder.claims)
        first_ready = next(seen.at for seen in recorder.versions if seen.claims_ready)
        assert works(bank)

        broken = time.monotonic()
        bank.apply(image="localhost/no-such-image:1", imagePullPolicy="Never")
        bank.wait_not_ready()
        # The pod that served so far may end its work in peace, but is not what the spec wants.
        stack.wait("the old pod gone", lambda: not works(bank))
        repaired = time.monotonic()
        bank.apply()
        bank.wait_ready()
        stack.wait("the claim seen", recorder.claims)
        assert works(bank)

        stopped = time.monotonic()
        with frozen(bank.pods()[0]["metadata"]["uid"]):
            bank.wait_not_ready()
            assert not works(bank, seconds=FROZEN_SECONDS)
            thawed = time.monotonic()
        bank.wait_ready()
        stack.wait("the claim seen", recorder.claims)
        assert works(bank)

    assert recorder.claims_between(created, first_ready - 0.001) == []
    assert recorder.claims_between(broken + 1, repaired) == []
    assert recorder.claims_between(stopped + 1, thawed) == []


def test_conditions_follow_kstatus_from_the_first_version_on(stack: Stack, namespace: str) -> None:
    bank = Bank(stack, namespace, "first")
    with recording(bank) as recorder:
        bank.apply()
        bank.wait_ready()
        stack.wait("the claim seen", recorder.claims)
    first = recorder.versions[0]
    assert first.observed == -1 or first.ready != "True"
    ready_at = next(index for index, seen in enumerate(recorder.versions) if seen.claims_ready)
    assert all(not seen.claims_ready for seen in recorder.versions[:ready_at])
    assert all(seen.ready for seen in recorder.versions if seen.observed >= 0)
