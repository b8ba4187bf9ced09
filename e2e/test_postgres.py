"""A bank of several pods in a PostgreSQL of somebody else's: pods are lost, replaced, drained and
added under load; the database is lost, its password changed.
"""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import yaml

from e2e.asker import ASKER, asked, place_asker
from e2e.bank import Bank, timed
from e2e.cluster.paths import ROOT
from e2e.namespaces import restricted_namespace
from e2e.neighbours import Neighbour
from e2e.own_server import TOLD_SECONDS
from e2e.postgres import Postgres, name_database, postgres
from e2e.stack import Stack

EXAMPLE = ROOT / "examples/postgres.yaml"
AUTOSCALED = ROOT / "examples/autoscaled.yaml"
NAME = "bank"
"""Of the database, and of the user who owns it."""
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'bank'"
FACT = "The spare keys of the archive are in the red cabinet."
QUESTION = "Where can I get into the records room without my badge?"
TAKEN_SECONDS = 240


@pytest.fixture(scope="module")
def database(stack: Stack) -> Iterator[Postgres]:
    """A server with an empty database for the bank."""
    with postgres(stack) as server:
        yield server


@pytest.fixture(scope="module")
def bank(stack: Stack, database: Postgres) -> Iterator[Bank]:
    """The bank of the example, which waits for its Secret first."""
    manifest: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    address = database.make_database(NAME)
    with restricted_namespace(stack, "postgres") as namespace:
        made = Bank(stack, namespace, manifest["metadata"]["name"], manifest["spec"])
        made.apply()
        told = made.wait_not_ready("SecretNotFound")
        assert "spec.storage.postgres.urlSecretRef" in told["message"]
        name_database(made, address)
        made.wait_ready()
        made.remember(FACT)
        place_asker(made)
        yield made


def uids(bank: Bank) -> set[str]:
    return {each["metadata"]["uid"] for each in bank.pods()}


def serves(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def wait_pods(bank: Bank, count: int) -> None:
    """Wait until there are so many pods, all serve, and the bank says so."""

    def seen() -> tuple[list[bool], int]:
        told = (bank.get() or {})["status"].get("readyReplicas", 0)
        return [serves(each) for each in bank.pods()], told

    bank.stack.wait(
        f"{count} pods", lambda: seen() == ([True] * count, count) and bank.is_ready(),
        seconds=TAKEN_SECONDS, describe=lambda: (seen(), bank.condition()),
    )  # fmt: skip


@contextmanager
def draining(bank: Bank) -> Iterator[subprocess.Popen[str]]:
    """Drain all nodes of the bank's pods, in the background; they take pods again in the end."""
    stack = bank.stack
    command = [
        str(stack.kubectl_binary), "drain", *nodes(stack), "--delete-emptydir-data",
        "--pod-selector", f"memorybank.dev/bank={bank.name}",
    ]  # fmt: skip
    with subprocess.Popen(
        command, env=stack.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as drain:
        try:
            yield drain
        finally:
            drain.terminate()
            uncordon(stack)


def uncordon(stack: Stack) -> None:
    """Let the nodes have new pods."""
    stack.kubectl("uncordon", *nodes(stack))


def nodes(stack: Stack) -> list[str]:
    return stack.kubectl("get", "nodes", "-o", "name").split()


def test_three_pods_serve_without_a_volume_and_find_what_any_of_them_stored(bank: Bank) -> None:
    wait_pods(bank, 3)
    assert bank.child("pvc", "-data") is None
    for each in bank.pods():
        address = f"http://{each['status']['podIP']}:8080"
        found = Neighbour(bank.stack, bank.namespace, ASKER).python(
            "import json, sys, urllib.request\n"
            "request = urllib.request.Request(sys.argv[1] + '/v1/search',"
            " sys.argv[3].encode(), {'Authorization': 'Bearer ' + sys.argv[2],"
            " 'Content-Type': 'application/json', 'Host': sys.argv[4]})\n"
            "print(urllib.request.urlopen(request).read().decode())",
            address, bank.key(), json.dumps({"query": QUESTION}), bank.host,
        )  # fmt: skip
        assert FACT in found


def test_a_pod_that_is_lost_is_missed_by_nobody(
    bank: Bank, record_property: Callable[[str, object], None]
) -> None:
    wait_pods(bank, 3)
    before = uids(bank)
    victim = bank.pods()[0]["metadata"]["name"]
    with asked(bank) as counts, timed() as seconds:
        bank.stack.kubectl(
            "-n", bank.namespace, "delete", "pod", victim, "--grace-period=0", "--force"
        )
        wait_pods(bank, 3)
    assert len(before & uids(bank)) == 2
    record_property("killed, all there again in seconds", seconds[0])
    record_property("asked while killed", counts)


def test_pods_are_replaced_one_by_one_while_others_serve(
    bank: Bank, record_property: Callable[[str, object], None]
) -> None:
    wait_pods(bank, 3)
    before = uids(bank)
    with asked(bank) as counts, timed() as seconds:
        bank.apply(restart="again")
        bank.stack.wait(
            "other pods", lambda: not before & uids(bank) and bank.is_ready(),
            seconds=TAKEN_SECONDS, describe=bank.condition,
        )  # fmt: skip
    record_property("replaced in seconds", seconds[0])
    record_property("asked while replaced", counts)
    assert bank.recall(QUESTION)[0] == FACT


@pytest.mark.full
def test_a_drain_takes_one_pod_at_a_time_under_load(
    bank: Bank, record_property: Callable[[str, object], None]
) -> None:
    wait_pods(bank, 3)
    before = uids(bank)
    with asked(bank) as counts, timed() as seconds, draining(bank) as drain:
        # No node takes a new pod: the budget keeps the other two where they are.
        bank.stack.wait(
            "a pod without a node",
            lambda: any("nodeName" not in each["spec"] for each in bank.pods()),
            seconds=TAKEN_SECONDS, describe=bank.pods,
        )  # fmt: skip
        assert len(before & uids(bank)) == 2
        assert (bank.child("pdb") or {})["status"]["disruptionsAllowed"] == 0
        uncordon(bank.stack)
        said, _ = drain.communicate(timeout=TAKEN_SECONDS)
        assert drain.returncode == 0, said
        wait_pods(bank, 3)
    assert not before & uids(bank)
    assert "would violate the pod's disruption budget" in said
    record_property("drained in seconds", seconds[0])
    record_property("asked while drained", counts)
    assert bank.recall(QUESTION)[0] == FACT


def test_another_number_of_pods_restarts_none(bank: Bank) -> None:
    wait_pods(bank, 3)
    before = uids(bank)
    with asked(bank):
        bank.stack.kubectl("-n", bank.namespace, "scale", "mb", bank.name, "--replicas=4")
        wait_pods(bank, 4)
        assert before < uids(bank)
        bank.stack.kubectl("-n", bank.namespace, "scale", "mb", bank.name, "--replicas=3")
        wait_pods(bank, 3)
    assert (bank.child("pdb") or {})["spec"]["maxUnavailable"] == 1


def test_the_load_may_decide_how_many_pods_there_are(bank: Bank) -> None:
    """There is no metrics server on this cluster: a test decides in the autoscaler's place."""
    bank.apply()  # the restart that another test asked for is over
    wait_pods(bank, 3)
    before = uids(bank)
    scaled = yaml.safe_load(AUTOSCALED.read_text())["spec"]["autoscaling"]
    spec = {name: value for name, value in bank.spec.items() if name != "replicas"}
    autoscaled = Bank(bank.stack, bank.namespace, bank.name, spec | {"autoscaling": scaled})
    with asked(bank):
        autoscaled.apply()
        bank.stack.wait(
            "the autoscaler", lambda: bank.child("hpa") is not None, describe=bank.condition
        )
        wait_pods(bank, 3)
        assert uids(bank) == before, "their number is handed over"
        bank.stack.kubectl("-n", bank.namespace, "scale", "deployment", bank.name, "--replicas=4")
        wait_pods(bank, 4)
        told = bank.stack.kubectl(
            "-n", bank.namespace, "scale", "mb", bank.name, "--replicas=2", check=False
        )
        assert len(bank.pods()) == 4, told
        bank.apply()
        wait_pods(bank, 3)
    assert bank.child("hpa") is None


def test_another_password_is_taken_without_a_restart(bank: Bank, database: Postgres) -> None:
    wait_pods(bank, 3)
    before = uids(bank)
    status = (bank.get() or {})["status"]["configuration"]
    password = secrets.token_hex(16)
    with asked(bank):
        database.execute(f"ALTER ROLE {NAME} PASSWORD '{password}'")
        name_database(bank, database.url(NAME, password, NAME))
        bank.stack.kubectl(
            "-n", bank.namespace, "annotate", "mb", bank.name, "memorybank.dev/resync=password"
        )
        bank.stack.wait(
            "the password in effect",
            lambda: bank.hurry_kubelet()
            and bank.is_ready()
            and (bank.get() or {})["status"]["configuration"] != status,
            seconds=TAKEN_SECONDS, describe=bank.condition,
        )  # fmt: skip
    database.execute(CUT)
    bank.wait_ready()
    assert bank.recall(QUESTION)[0] == FACT
    assert uids(bank) == before
    assert password not in str(bank.events()) + str(bank.get())


@pytest.mark.parametrize(
    ("lost", "words"),
    [(Postgres.crashed, "store: the database"), (Postgres.frozen, "store: ")],
    ids=["it crashes", "it says nothing"],
)
def test_a_database_that_is_lost_is_told_and_everything_heals(
    bank: Bank,
    database: Postgres,
    lost: Callable[[Postgres], AbstractContextManager[None]],
    words: str,
    record_property: Callable[[str, object], None],
) -> None:
    wait_pods(bank, 3)
    before = uids(bank)
    with lost(database):
        with timed() as seconds:
            told = bank.wait_not_ready("ServiceFailing", TOLD_SECONDS)
        record_property("seconds until the status says so", seconds[0])
        assert words in told["message"]
    wait_pods(bank, 3)
    assert bank.recall(QUESTION)[0] == FACT
    assert uids(bank) == before, "no pod was restarted for it"


def test_nobody_but_those_who_are_named_is_reached(bank: Bank, database: Postgres) -> None:
    [own, *_] = bank.pods()
    mine = Neighbour(bank.stack, bank.namespace, own["metadata"]["name"])
    server = (f"db.{database.namespace}.svc", 5432)
    api = ("kubernetes.default.svc", 443)
    assert mine.connects(server, api) == ["open", "blocked"]


def test_a_bank_that_is_made_again_finds_what_the_former_one_stored(bank: Bank) -> None:
    stack, namespace = bank.stack, bank.namespace
    bank.apply(deletionPolicy="Delete")
    stack.kubectl("-n", namespace, "delete", "mb", bank.name, "--timeout=180s")
    stack.wait("no pods", lambda: not bank.pods(), describe=bank.pods)
    bank.apply()
    bank.wait_ready()
    assert bank.recall(QUESTION)[0] == FACT
