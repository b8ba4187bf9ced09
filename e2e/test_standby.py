"""A bank in another namespace that follows a bucket, is promoted when the bank is lost, and the
former bank that comes back, on the real cluster with a real server of S3; the commands of
docs/banks/standby.md do it on a volume.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from e2e.backups import BUCKET, KEYS, bank_in_bucket, wait_backed_up
from e2e.bank import Bank
from e2e.namespaces import restricted_namespace
from e2e.object_store import ObjectStore
from e2e.stack import Stack

pytestmark = pytest.mark.full

FACT = "The crane of the north quay is oiled in May."
QUESTION = "oil for the crane"
SECONDS = 180


@pytest.fixture
def primary(stack: Stack, store: ObjectStore) -> Iterator[Bank]:
    """A bank with a memory, whose backups are in the bucket."""
    with bank_in_bucket(stack, store) as bank:
        bank.remember(FACT)
        wait_backed_up(bank)
        yield bank


@pytest.fixture
def standby(stack: Stack, store: ObjectStore, primary: Bank) -> Iterator[Bank]:
    """One in another namespace, which knows of it where its backups are and no more."""
    with restricted_namespace(stack, "standby") as namespace:
        store.credentials(KEYS, namespace)
        spec = {
            "backup": {"destination": {"s3": {
                "bucket": BUCKET, "endpoint": store.endpoint, "region": store.region,
                "path": primary.spec["backup"]["destination"]["s3"].get("path", ""),
                "secretRef": {"name": KEYS},
            }}},
            "standby": {"fromBank": {"name": primary.name, "namespace": primary.namespace}},
        }  # fmt: skip
        bank = Bank(stack, namespace, "second", spec)
        bank.apply()
        bank.wait_ready()
        yield bank


def promote(bank: Bank) -> float:
    """Promote a standby by one field; return the seconds until it took a memory."""
    began = time.monotonic()
    bank.apply(standby={**bank.spec["standby"], "enabled": False})

    def taken() -> bool:
        try:
            bank.remember("The north quay is lit at night.")
        except (httpx.HTTPError, LookupError, RuntimeError):
            return False
        return True

    bank.stack.wait("a memory is taken", taken, seconds=SECONDS, describe=bank.condition)
    return time.monotonic() - began


def cut_off(bank: Bank) -> None:
    """Lose a bank's pod as when its cluster is lost: nobody makes another one."""
    bank.apply(paused=True)
    bank.stack.wait("paused", lambda: bank.condition("Paused").get("status") == "True")
    name = ("-n", bank.namespace)
    [pod] = bank.pods()
    bank.stack.kubectl(*name, "scale", f"deployment/{bank.name}", "--replicas=0")
    bank.stack.kubectl(
        *name, "delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force"
    )
    bank.stack.wait("no pods", lambda: not bank.pods())


def asked(bank: Bank, method: str, path: str, **fields: Any) -> httpx.Response:
    """What a bank's pod answers, whether it is ready or not."""
    [pod] = bank.pods()
    headers = {"Host": bank.host, "Authorization": f"Bearer {bank.key()}"}
    target = f"pod/{pod['metadata']['name']}"
    with (
        bank.stack.port_forward(target, 8080, bank.namespace) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client,
    ):
        return client.request(method, path, **fields)


def test_a_standby_serves_is_promoted_and_the_former_bank_comes_back_fenced(
    primary: Bank, standby: Bank, stack: Stack, record_property: Callable[[str, object], None]
) -> None:
    assert standby.condition()["reason"] == "Following"
    assert FACT in standby.recall(QUESTION)
    began = time.monotonic()
    primary.remember("The crane of the south quay is oiled in June.")
    stack.wait("it arrived", lambda: len(standby.recall(QUESTION)) == 2, seconds=SECONDS)
    record_property("seconds from a write to a read there", round(time.monotonic() - began, 1))
    with standby.http() as client:
        refused = client.post("/v1/memories", json={"content": "Nothing is written here."})
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "read_only"
    stack.wait(
        "followed", lambda: standby.condition("Following").get("status") == "True",
        describe=lambda: standby.condition("Following"),
    )  # fmt: skip
    told = (standby.get() or {})["status"]
    assert told["standby"]["source"].endswith(f"/{primary.namespace}/{primary.name}")
    assert told["standby"]["epoch"] == (primary.get() or {})["status"]["backup"]["epoch"]
    assert 0 < told["standby"]["lagSeconds"] <= 60
    assert "backup" not in told

    cut_off(primary)
    record_property("seconds from promotion to a write", round(promote(standby), 1))
    standby.wait_ready()
    assert standby.condition()["reason"] == "CanaryPassed"
    assert FACT in standby.recall(QUESTION)
    assert len(standby.recall(QUESTION)) >= 2
    wait_backed_up(standby)
    told = (standby.get() or {})["status"]
    assert told["standby"]["promoted"] is True
    assert told["backup"]["origin"] == "restored"
    assert not standby.condition("Following")
    events = stack.kubectl(
        "-n", standby.namespace, "get", "events", "-o", "jsonpath={.items[*].reason}"
    )
    assert "Promoted" in events.split()

    primary.apply()  # its cluster is back, and its volume with it
    told_of = primary.wait_not_ready("Fenced", seconds=SECONDS)
    assert f"{standby.namespace}/{standby.name}" in told_of["message"]
    answer = asked(primary, "POST", "/v1/memories", json={"content": "Nobody looks for this."})
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "fenced"
    assert asked(primary, "POST", "/v1/search", json={"query": QUESTION}).is_success

    again = stack.kubectl(
        "-n", standby.namespace, "patch", "mb", standby.name, "--type=merge",
        "-p", '{"spec":{"standby":{"enabled":true}}}', check=False,
    )  # fmt: skip
    assert (standby.get() or {})["spec"]["standby"]["enabled"] is False, again

    stack.kubectl(
        "-n", primary.namespace, "exec", f"deploy/{primary.name}", "-c", "memorybank", "--",
        "memorybank", "backup", "lift-fence", "--config", "/etc/memorybank/config.yaml",
    )  # fmt: skip
    primary.wait_ready()
    primary.remember("Two banks know of the crane now.")


def test_a_standby_says_when_what_it_follows_is_away(
    primary: Bank, standby: Bank, store: ObjectStore, stack: Stack
) -> None:
    stack.wait("followed", lambda: standby.condition("Following").get("status") == "True")
    with store.down():
        stack.wait(
            "told", lambda: standby.condition("Following").get("status") == "False",
            seconds=SECONDS, describe=lambda: standby.condition("Following"),
        )  # fmt: skip
        assert standby.condition("Following")["reason"] == "SourceUnreachable"
        assert FACT in [
            each["memory"]["content"]
            for each in asked(standby, "POST", "/v1/search", json={"query": QUESTION}).json()[
                "results"
            ]
        ]
    stack.wait("followed again", lambda: standby.condition("Following").get("status") == "True")
