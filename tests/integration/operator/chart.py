"""Renders the chart with the real helm."""

from __future__ import annotations

import subprocess
from typing import Any

import yaml

from e2e.cluster.binaries import DEFAULT_KUBERNETES, ensure
from tests.repo.checkout import ROOT

CHART = ROOT / "charts" / "memorybank-operator"
NAMESPACE = "memorybank-system"


class ChartRefused(Exception):
    """helm does not render it; the text is what it says."""


def helm(*arguments: str) -> str:
    """Run helm; return what it prints. Raises ChartRefused."""
    done = subprocess.run(
        [str(ensure("helm")), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ChartRefused(done.stderr)
    return done.stdout


def template(*values: str, release: str = "limited-operator") -> list[dict[str, Any]]:
    """Return what the chart makes with these values (`key=value`)."""
    settings = [word for value in values for word in ("--set", value)]
    output = helm(
        "template", release, str(CHART),
        "--namespace", NAMESPACE, "--kube-version", DEFAULT_KUBERNETES, *settings,
    )  # fmt: skip
    return [document for document in yaml.safe_load_all(output) if document]
