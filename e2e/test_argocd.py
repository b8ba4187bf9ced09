"""The health checks and actions for Argo CD, asked by its own command line as it is configured by
gitops/argocd/argocd-cm.yaml.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster.binaries import ensure
from e2e.cluster.paths import ROOT
from tests.gitops.argocd import CUSTOMIZATIONS, tables

pytestmark = pytest.mark.full

SECRET = """\
apiVersion: v1
kind: Secret
metadata:
  name: argocd-secret
  namespace: argocd
  labels: {app.kubernetes.io/name: argocd-secret, app.kubernetes.io/part-of: argocd}
"""
ACTIONS = tables("action_test.yaml")

Ask = Callable[..., str]


@pytest.fixture
def operator_log_has_no_traceback() -> None:
    """There is no operator: these tests need Argo CD's program, and no cluster."""


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    secret = tmp_path / "secret.yaml"
    secret.write_text(SECRET)

    def run(verb: str, folder: str, file: str, *arguments: str) -> str:
        done = subprocess.run(
            [
                str(ensure("argocd")), "admin", "settings", "resource-overrides", verb,
                str(CUSTOMIZATIONS / folder / file), *arguments,
                "--argocd-cm-path", str(ROOT / "gitops/argocd/argocd-cm.yaml"),
                "--argocd-secret-path", str(secret),
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize(
    ("folder", "case"),
    tables("health_test.yaml"),
    ids=lambda each: each if isinstance(each, str) else Path(each["inputPath"]).stem,
)
def test_argo_cd_tells_the_health_by_its_sentence(
    ask: Ask, folder: str, case: dict[str, Any]
) -> None:
    said = case["healthStatus"]
    told = ask("health", folder, case["inputPath"])
    assert told.split("\n")[:2] == [f"STATUS: {said['status']}", f"MESSAGE: {said['message']}"]


@pytest.mark.parametrize(
    ("folder", "case"), [each for each in ACTIONS if "result" in each[1]], ids=str
)
def test_argo_cd_offers_the_actions(ask: Ask, folder: str, case: dict[str, Any]) -> None:
    [_, *lines] = ask("list-actions", folder, case["inputPath"]).splitlines()
    offered = dict(line.split() for line in lines)
    assert offered == {each["name"]: str(each["disabled"]).lower() for each in case["result"]}


@pytest.mark.parametrize(
    ("folder", "case"), [each for each in ACTIONS if "action" in each[1]], ids=str
)
def test_argo_cd_runs_the_actions(ask: Ask, folder: str, case: dict[str, Any]) -> None:
    told = ask("run-action", folder, case["inputPath"], case["action"])
    made = case["action"] in ("backup", "verify")
    assert ("resource was created" if made else "fields have been changed") in told
