"""`kubectl memorybank` by the real kubectl, on a real API server without any operator."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from e2e.cluster import apiserver
from e2e.cluster.apiserver import ApiServer
from e2e.cluster.binaries import ensure
from e2e.cluster.paths import ROOT
from tests.integration.refusals import Banks, api
from tests.operator.status.states import STATES, seen
from tests.support.apiserver import establish

Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]


@pytest.fixture(scope="module")
def http(api_server: ApiServer) -> Iterator[httpx.Client]:
    with api(api_server) as client:
        for each in sorted(ROOT.glob("crds/memorybank.dev_*.yaml")):
            establish(client, yaml.safe_load(each.read_text()))
        yield client


@pytest.fixture
def banks(http: httpx.Client, namespace: str) -> Banks:
    return Banks(http, namespace)


@pytest.fixture
def environment(api_server: ApiServer) -> dict[str, str]:
    """That of a user who has the operator's package installed."""
    programs = Path(sys.executable).parent
    return os.environ | {
        "KUBECONFIG": str(api_server.kubeconfig),
        "PATH": f"{programs}:{ensure('kubectl').parent}:{os.environ['PATH']}",
    }


@pytest.fixture
def run(environment: dict[str, str], namespace: str) -> Run:
    def start(*words: str, **changes: str) -> Done:
        command = [str(ensure("kubectl")), "memorybank", *words]
        if not {"-A", "-n"} & set(words):
            command += ["-n", namespace]
        return subprocess.run(  # noqa: S603 - the tool that is tested
            command, capture_output=True, text=True, check=False, env=environment | changes
        )

    return start


def tell(banks: Banks, name: str, state: str) -> None:
    """Have a bank that was told to be in a state."""
    made = banks.create_spec({}, name=name)
    status = seen(STATES[state])["status"]
    generation = made["metadata"]["generation"]
    conditions = [each | {"observedGeneration": generation} for each in status["conditions"]]
    told = status | {"observedGeneration": generation, "conditions": conditions}
    banks.change(f"{name}/status", {"status": told})


def test_one_that_is_ready_ends_with_0_and_one_that_is_not_with_1(banks: Banks, run: Run) -> None:
    tell(banks, "good", "running")
    banks.create_spec({}, name="new")
    good, new = run("status", "good"), run("status", "new")
    assert (good.returncode, new.returncode) == (0, 1), good.stderr + new.stderr
    assert "/good is ready" in good.stdout
    assert "does not run" in new.stdout or "see whether it runs" in " ".join(new.stdout.split())
    listed = run("list")
    assert listed.returncode == 1
    assert [line.split()[:2] for line in listed.stdout.splitlines()] == [
        ["NAME", "READY"],
        ["good", "True"],
        ["new", "Unknown"],
    ]


def test_every_form_of_output_is_there(banks: Banks, run: Run, namespace: str) -> None:
    tell(banks, "good", "running")
    assert json.loads(run("list", "-o", "json").stdout)["items"][0]["kind"] == "MemoryBank"
    assert yaml.safe_load(run("status", "good", "-o", "yaml").stdout)["ready"] is True
    assert "MESSAGE" in run("list", "-o", "wide").stdout
    assert f"{namespace}   good" in re.sub(" +", "   ", run("list", "-A").stdout)
    facts = json.loads(run("info", "good", "-o", "json").stdout)
    assert facts["On deletion"] == "Retain"
    assert "Embedding" in run("info", "good").stdout


def test_a_name_that_is_not_there_gets_the_nearest_ones(banks: Banks, run: Run) -> None:
    banks.create_spec({}, name="agents")
    done = run("status", "agent")
    assert (done.returncode, done.stdout) == (4, "")
    assert "did you mean agents?" in done.stderr


def test_where_to_look_is_said_before_the_command_or_after_it(
    banks: Banks, run: Run, namespace: str
) -> None:
    banks.create_spec({}, name="agents")
    for words in (("-n", namespace, "list"), ("-n", "none", "list", "-n", namespace)):
        assert "agents" in run(*words).stdout
    assert "agents" not in run("-n", "none", "list").stdout


def test_a_wrong_command_line_ends_with_2(run: Run) -> None:
    assert run("stratus").returncode == 2


def test_without_a_cluster_it_says_so(run: Run, tmp_path: Path, api_server: ApiServer) -> None:
    config = yaml.safe_load(api_server.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    done = run("list", "--kubeconfig", str(tmp_path / "config"))
    assert done.returncode == 3
    assert "the API server does not answer" in done.stderr


def test_without_rights_it_says_which_one_is_missing(
    http: httpx.Client, run: Run, api_server: ApiServer, namespace: str, tmp_path: Path
) -> None:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    assert http.post(path, json={"metadata": {"name": "guest"}}).status_code == 201
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = http.post(f"{path}/guest/token", json=body).json()["status"]["token"]
    config = yaml.safe_load(api_server.kubeconfig.read_text())
    for each in config["users"]:
        each["user"] = {"token": token}
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    done = run("status", "agents", "--kubeconfig", str(tmp_path / "config"))
    assert done.returncode == 3
    assert "you lack this right" in done.stderr
    assert token not in done.stderr


def test_completion_offers_commands_options_and_banks(
    banks: Banks, environment: dict[str, str], namespace: str
) -> None:
    banks.create_spec({}, name="agents")

    def completed(*words: str) -> list[str]:
        done = subprocess.run(  # noqa: S603 - the tool that is tested
            [str(ensure("kubectl")), "__complete", "memorybank", *words],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        *found, last = done.stdout.splitlines()
        assert last == ":4"
        return found

    assert completed("sta") == ["stats", "status"]
    assert completed("status", "-n", namespace, "") == ["agents"]
    assert completed("list", "-o", "j") == ["json"]
    assert "--namespace" in completed("list", "--")
    assert completed("nonsense", "") == []


def get(http: httpx.Client, namespace: str, plural: str, name: str = "") -> dict[str, Any]:
    path = f"/apis/memorybank.dev/v1alpha1/namespaces/{namespace}/{plural}/{name}"
    return dict(http.get(path.rstrip("/")).json())


def test_a_bank_is_made_at_its_domain_and_its_key_is_not_printed(
    http: httpx.Client, run: Run, namespace: str, tmp_path: Path
) -> None:
    own = tmp_path / "key"
    own.write_text("mb_" + "x" * 43)
    words = ("create", "agents", "--domain", "example.org", "--key-file", str(own), "-o", "json")
    done = run(*words, "--no-wait")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tenant"] == "agents"
    assert own.read_text() not in done.stdout + done.stderr
    spec = get(http, namespace, "memorybanks", "agents")["spec"]
    assert spec["expose"]["ingress"]["host"] == "agents.example.org"
    assert spec["auth"]["adminKeySecretRef"] == {"name": "agents-admin-key", "key": "key"}
    again = run(*words)
    assert again.returncode == 3
    assert "is there already" in again.stderr
    assert "kubectl delete secret agents-admin-key" in run("delete", "agents").stdout


def test_a_key_of_ones_own_that_no_bank_takes_is_refused_before_anything_is_made(
    http: httpx.Client, run: Run, namespace: str, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("hunter2")
    done = run("create", "agents", "--key-file", str(tmp_path / "key"))
    assert done.returncode == 2
    assert "--key-file: a key is `mb_` and 43" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert http.get(f"/api/v1/namespaces/{namespace}/secrets/agents-admin-key").status_code == 404


def test_a_key_that_is_not_made_yet_is_not_shown_as_empty(
    http: httpx.Client, run: Run, namespace: str
) -> None:
    done = run("create", "agents", "--no-wait", "--show-key")
    assert (done.returncode, done.stdout) == (2, "")
    assert "leave out --no-wait" in done.stderr
    assert get(http, namespace, "memorybanks")["items"] == []


def test_who_waits_sees_progress_and_gets_1_when_it_is_not_in_time(run: Run) -> None:
    done = run("create", "agents", "--timeout", "1s")
    assert done.returncode == 1
    assert "the operator has not looked at it yet" in done.stderr
    assert "not in 1s; it goes on" in done.stderr


def test_a_protected_bank_is_deleted_by_force_alone(
    http: httpx.Client, banks: Banks, run: Run, namespace: str
) -> None:
    banks.create_spec({"deletionProtection": True}, name="agents")
    refused = run("delete", "agents")
    assert refused.returncode == 3
    assert "--force takes the protection off" in refused.stderr
    done = run("delete", "agents", "--force")
    assert done.returncode == 0, done.stderr
    assert "agents-data and its backups stay" in done.stdout
    assert get(http, namespace, "memorybanks")["items"] == []


def test_a_bank_sleeps_and_wakes_by_its_spec(
    http: httpx.Client, banks: Banks, run: Run, namespace: str
) -> None:
    banks.create_spec({}, name="agents")
    for command, wanted in (("hibernate", True), ("wake", False)):
        assert run(command, "agents", "--no-wait").returncode == 0
        assert get(http, namespace, "memorybanks", "agents")["spec"]["hibernate"] is wanted


def test_a_bank_sleeps_once_its_last_pod_has_ended(banks: Banks, run: Run) -> None:
    generation = banks.create_spec({"hibernate": True}, name="agents")["metadata"]["generation"]

    def tell(available: str) -> None:
        condition = {
            "type": "Available", "status": available, "reason": "PodAvailable", "message": "",
            "observedGeneration": generation, "lastTransitionTime": "2026-01-01T12:00:00Z",
        }  # fmt: skip
        told = {"observedGeneration": generation, "phase": "Stopped", "conditions": [condition]}
        banks.change("agents/status", {"status": told})

    tell("True")
    assert run("hibernate", "agents", "--timeout", "1s").returncode == 1
    tell("False")
    assert run("hibernate", "agents").returncode == 0


def test_keys_are_made_rotated_and_revoked(
    http: httpx.Client, banks: Banks, run: Run, namespace: str
) -> None:
    banks.create_spec({}, name="agents")
    banks.create_spec({}, name="others")
    assert run("keys", "create", "agents", "app", "--no-wait").returncode == 0
    again = run("keys", "create", "agents", "app", "--no-wait")
    assert again.returncode == 3
    assert "a key app is there already" in again.stderr
    assert run("keys", "rotate", "agents", "app", "--no-wait").returncode == 0
    assert get(http, namespace, "memorybankkeys", "app")["spec"]["rotation"]["request"]
    assert run("keys", "revoke", "others", "app").returncode == 4
    assert "developer" in run("keys", "list", "agents").stdout
    assert run("keys", "revoke", "agents", "app").returncode == 0
    assert get(http, namespace, "memorybankkeys")["items"] == []
    assert run("keys", "create", "agents").returncode == 2


def test_a_point_is_asked_for_and_a_restore_is_tried_where_there_are_backups(
    http: httpx.Client, banks: Banks, run: Run, namespace: str
) -> None:
    banks.create_spec({}, name="bare")
    refused = run("backup", "bare")
    assert refused.returncode == 3
    assert "spec.backup.destination" in refused.stderr
    destination = {"s3": {"bucket": "memories"}}
    banks.create_spec({"backup": {"destination": destination}}, name="agents")
    assert run("backup", "agents", "--point", "before", "--no-wait").returncode == 0
    assert get(http, namespace, "memorybankbackups", "before")["spec"]["bank"] == {"name": "agents"}
    assert run("restore", "agents", "--no-wait").returncode == 2
    assert run("verify", "agents", "--from", "before", "--no-wait").returncode == 0
    (tried,) = get(http, namespace, "memorybankrestores")["items"]
    assert (tried["spec"]["check"], tried["spec"]["backup"]) == (True, {"name": "before"})


def test_a_change_that_waits_is_made_by_its_id(
    http: httpx.Client, banks: Banks, run: Run, namespace: str
) -> None:
    banks.create_spec({}, name="well")
    tell(banks, "waits", "awaits approval")
    plan = get(http, namespace, "memorybanks", "waits")["status"]["plan"]["id"]
    for words in (("waits",), ("--all",)):
        banks.change("waits", {"spec": {"updatePolicy": {"approved": None}}})
        status = get(http, namespace, "memorybanks", "waits")
        told = status["status"] | {"observedGeneration": status["metadata"]["generation"]}
        banks.change("waits/status", {"status": told})
        done = run("update", *words, "--no-wait")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"waits: approved {plan}; restarts: ")
        spec = get(http, namespace, "memorybanks", "waits")["spec"]
        assert spec["updatePolicy"]["approved"] == plan
    assert run("update", "well").stdout == "Nothing waits.\n"
    assert run("update").returncode == run("update", "well", "--all").returncode == 2


def test_who_has_no_pod_has_no_log(banks: Banks, run: Run) -> None:
    banks.create_spec({}, name="agents")
    done = run("logs", "agents")
    assert done.returncode == 4
    assert "no pod with a container memorybank" in done.stderr
    assert run("logs", "agents", "--tail", "-1").returncode == 2


def test_a_client_is_told_the_address_and_gets_the_key_in_a_file_only(
    http: httpx.Client, banks: Banks, run: Run, namespace: str, tmp_path: Path
) -> None:
    banks.create_spec({}, name="agents")
    done = run("connect", "agents", "--port", "18080")
    told = json.loads(done.stdout.splitlines()[0])["mcpServers"]["agents"]
    assert told["url"] == "http://127.0.0.1:18080/mcp"
    assert done.returncode == 1, "there is no pod to forward to, as kubectl says"
    key, file = "mb_" + "k" * 43, tmp_path / "mcp.json"
    made = {"metadata": {"name": "agents-key"}, "stringData": {"token": key}}
    assert http.post(f"/api/v1/namespaces/{namespace}/secrets", json=made).is_success
    early = run("connect", "agents", "--config", str(file))
    assert early.returncode == 3
    assert not file.exists()
    banks.change("agents/status", {"status": {"binding": {"name": "agents-key"}}})
    done = run("connect", "agents", "--config", str(file))
    assert key not in done.stdout + done.stderr
    assert key in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert run("connect", "agents", "--config", str(file)).returncode == 2


def test_what_a_bank_holds_cannot_be_told_before_it_has_a_key_and_serves(
    http: httpx.Client, banks: Banks, run: Run, namespace: str
) -> None:
    banks.create_spec({}, name="agents")
    early = run("stats", "agents")
    assert (early.returncode, early.stdout) == (3, "")
    assert "agents has no key yet" in early.stderr
    key = "mb_" + "k" * 43
    made = {"metadata": {"name": "agents-key"}, "stringData": {"token": key}}
    assert http.post(f"/api/v1/namespaces/{namespace}/secrets", json=made).is_success
    banks.change("agents/status", {"status": {"binding": {"name": "agents-key"}}})
    done = run("stats", "agents", "-o", "json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "agents cannot be reached" in done.stderr
    assert key not in done.stderr
    banks.change("agents/status", {"status": {"phase": "Stopped"}})
    assert "kubectl memorybank wake agents" in run("stats", "agents").stderr


def test_the_page_of_the_documentation_is_true(
    http: httpx.Client, environment: dict[str, str], api_server: ApiServer, namespace: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    config = yaml.safe_load(api_server.kubeconfig.read_text())
    for each in config["contexts"]:
        each["context"]["namespace"] = namespace
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    page = (ROOT / "docs/banks/kubectl.md").read_text()
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```$", page, re.M | re.S))
    done = subprocess.run(  # noqa: S603 - what the page says
        ["/bin/bash", "-euxo", "pipefail", "-c", script],
        capture_output=True, text=True, check=False, cwd=ROOT,
        env=environment | {"KUBECONFIG": str(tmp_path / "config")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_our_kinds_it_says_what_to_install(run: Run) -> None:
    """On an API server of its own, where nobody installed anything."""
    with apiserver.api_server() as server:
        done = run("list", KUBECONFIG=str(server.kubeconfig))
    assert done.returncode == 3
    assert "does not know memorybanks.memorybank.dev: install" in done.stderr
