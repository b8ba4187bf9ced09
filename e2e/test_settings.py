"""What a bank's spec says of its service, as those meet it who use the bank of an example."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import yaml

from e2e.bank import Bank
from e2e.cluster.paths import ROOT
from e2e.namespaces import restricted_namespace
from e2e.stack import Stack

EXAMPLE = ROOT / "examples/shared.yaml"


@pytest.fixture(scope="module")
def shared(stack: Stack) -> Iterator[Bank]:
    with restricted_namespace(stack, "settings") as name:
        manifest = yaml.safe_load(EXAMPLE.read_text())
        bank = Bank(stack, name, manifest["metadata"]["name"], manifest["spec"])
        stack.kubectl("-n", name, "apply", "-f", str(EXAMPLE))
        bank.wait_ready()
        yield bank


def test_it_is_known_by_the_name_of_its_ingress_and_by_no_other(shared: Bank) -> None:
    for host, status in {"memory.example.org": 200, "evil.example": 421}.items():
        with shared.http(host=host) as client:
            assert client.get("/v1/memories").status_code == status


def test_a_web_page_of_the_origin_that_is_allowed_may_use_it(shared: Bank) -> None:
    with shared.http() as client:
        allowed = client.get("/v1/memories", headers={"Origin": "https://notes.example.org"})
        assert allowed.headers["access-control-allow-origin"] == "https://notes.example.org"
        refused = client.get("/v1/memories", headers={"Origin": "https://evil.example"})
        assert refused.status_code == 403


def test_clients_are_told_whose_tokens_open_it(shared: Bank) -> None:
    with shared.http() as client:
        found = client.get("/.well-known/oauth-protected-resource/mcp").json()
    jwt = shared.spec["auth"]["jwt"]
    assert found["authorization_servers"] == [jwt["issuer"]]
    assert found["resource"] == "https://memory.example.org/mcp"


def test_the_write_gate_refuses_secrets_and_masks_what_is_personal(shared: Bank) -> None:
    with shared.http() as client:
        secret = {"content": "The vault is at postgres://app:hunter2@db/vault."}
        refused = client.post("/v1/memories", json=secret)
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "write_refused")
        kept = client.post("/v1/memories", json={"content": "Ask ada@example.org for a seat."})
        assert kept.json()["content"] == "Ask [email removed] for a seat."


def test_a_role_of_its_own_may_what_the_spec_says(shared: Bank) -> None:
    with shared.http() as client:
        made = client.post("/v1/admin/keys", json={"name": "curators", "role": "curator"})
        assert made.status_code == 201, made.text
    with shared.http(made.json()["key"]) as client:
        kept = client.post("/v1/memories", json={"content": "Seats are given out on Mondays."})
        assert client.delete(f"/v1/memories/{kept.json()['id']}").status_code in (200, 204)
        assert client.get("/v1/admin/keys").status_code == 403


def test_what_nobody_uses_is_forgotten_by_the_rules_of_the_spec(shared: Bank) -> None:
    rules = shared.spec["forgetting"]
    with shared.http() as client:
        told = client.get("/v1/forgetting").json()
        kept = client.post("/v1/memories", json={"content": "The lift is out of order today."})
        ahead = client.get("/v1/forgetting/preview?days=0&days=3650").json()
    assert (told["enabled"], told["grace_days"]) == (True, rules["graceDays"])
    assert told["half_life_days"].items() >= rules["halfLifeDays"].items()
    now, then = (json.dumps(each) for each in ahead["forecasts"])
    assert kept.json()["id"] not in now
    assert kept.json()["id"] in then


def test_what_was_done_is_in_the_audit_log(shared: Bank) -> None:
    with shared.http() as client:
        client.post("/v1/memories", json={"content": "The audit log knows of this."})
        found = client.get("/v1/admin/audit?action=memory.create&limit=1").json()
    assert found["records"], found


def test_who_asks_too_often_is_told_when_to_come_back(shared: Bank) -> None:
    burst = shared.spec["limits"]["burst"]
    with shared.http() as client:

        def ask(_number: int) -> httpx.Response:
            return client.get("/v1/memories?limit=1")

        # One after the other, they may come as slowly as the limit lets them in.
        with ThreadPoolExecutor() as together:
            answers = list(together.map(ask, range(4 * burst)))
    refused = [each for each in answers if each.status_code != 200]
    assert {each.status_code for each in refused} == {429}
    assert all(int(each.headers["retry-after"]) >= 1 for each in refused)
