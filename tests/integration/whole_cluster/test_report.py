"""`kubectl memorybank report` on a real API server: what was planted anywhere is nowhere in it."""

from __future__ import annotations

import base64
import json
import secrets
import stat
import tarfile
from pathlib import Path

import httpx
import pytest

from memorybank_operator import constants
from tests.integration.refusals import Banks
from tests.integration.test_kubectl_plugin import Run, banks, environment, http, run
from tests.integration.whole_cluster.test_doctor import Cluster, cluster, ready

__all__ = ["banks", "cluster", "environment", "http", "run"]


def unpacked(file: Path) -> dict[str, str]:
    """The files of a report, by name."""
    with tarfile.open(file) as archive:
        return {
            each.name.partition("/")[2]: stream.read().decode()
            for each in archive
            if (stream := archive.extractfile(each))
        }


def test_no_secret_that_was_planted_is_in_a_report(
    cluster: Cluster, banks: Banks, http: httpx.Client, run: Run, namespace: str, tmp_path: Path
) -> None:
    planted = [secrets.token_urlsafe(24) for _ in range(6)]
    key, in_url, in_variable, in_words, in_bytes, in_map = planted
    key = f"mb_{secrets.token_urlsafe(32)}"
    path = f"/api/v1/namespaces/{namespace}"
    labels = {constants.LABEL_MANAGED_BY: constants.FIELD_MANAGER, constants.LABEL_BANK: "agents"}
    data = {"key": key, "password": in_words, "more": f"{in_bytes}\nsecond line {in_map}"}
    cluster.make(f"{path}/secrets", {"metadata": {"name": "planted"}, "stringData": data})
    ready(cluster, banks)
    banks.change(
        "agents",
        {
            "metadata": {"annotations": {"example.org/note": f"opened by {key}"}},
            "spec": {
                "env": [
                    {"name": "PROXY", "value": f"http://bank:{in_url}@proxy:3128"},
                    {"name": "SOME_TOKEN", "value": in_variable},
                ]
            },
        },
    )
    text = f"password {in_words}; {base64.b64encode(in_bytes.encode()).decode()}; {in_map}"
    body = {"metadata": {"name": "words", "labels": labels}, "data": {"config.yaml": text}}
    cluster.make(f"{path}/configmaps", body)
    event = {
        "metadata": {"name": "told"}, "message": f"refused: {key}", "reason": "Refused",
        "type": "Warning",
        "involvedObject": {
            "kind": "MemoryBank", "name": "agents", "namespace": namespace,
            "apiVersion": constants.API_VERSION,
        },
    }  # fmt: skip
    cluster.make(f"{path}/events", event)
    file = tmp_path / "report.tar.gz"
    done = run("report", "agents", "-f", str(file))
    assert done.returncode == 0, done.stderr
    files = unpacked(file)
    for each in (*planted[1:], key):
        for form in (each, base64.b64encode(each.encode()).decode().rstrip("=")):
            assert [name for name, told in files.items() if form in told] == []
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "keys:" in files[f"objects/Secret/{namespace}.planted.yaml"]
    assert f"objects/MemoryBank/{namespace}.agents.yaml" in files
    assert f"objects/ConfigMap/{namespace}.words.yaml" in files
    assert "Refused" in files["events.yaml"]
    assert "faults found" in files["doctor.txt"] or "fault found" in files["doctor.txt"]
    assert "memorybank-system" in " ".join(files), "the operator is in it as well"


def test_a_log_that_cannot_be_had_is_named_and_the_rest_is_there(
    cluster: Cluster, banks: Banks, run: Run, tmp_path: Path
) -> None:
    ready(cluster, banks)
    cluster.container(node="gone", state={"running": {}})
    file = tmp_path / "report.tar.gz"
    assert run("report", "-f", str(file)).returncode == 0
    files = unpacked(file)
    assert "memorybank.log" in files["report.yaml"], "its node is not there"
    assert [name for name in files if name.startswith("objects/Pod/")]


@pytest.mark.parametrize(
    ("name", "told"),
    [("there.tar.gz", "is there already"), ("nowhere/report.tar.gz", "there is no folder")],
)
def test_a_file_that_cannot_be_written_is_refused_first(
    name: str, told: str, banks: Banks, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "there.tar.gz").write_text("mine")
    banks.create_spec({}, name="agents")
    done = run("report", "agents", "-f", str(tmp_path / name), "-o", "json")
    assert done.returncode == 2
    assert told in done.stderr
    assert (tmp_path / "there.tar.gz").read_text() == "mine"
    assert [each.name for each in tmp_path.iterdir()] == ["there.tar.gz"]


def test_programs_are_told_what_is_in_it(banks: Banks, run: Run, tmp_path: Path) -> None:
    banks.create_spec({}, name="agents")
    done = run("report", "agents", "-f", str(tmp_path / "report.tar.gz"), "-o", "json")
    assert "report.yaml" in json.loads(done.stdout)["files"]
