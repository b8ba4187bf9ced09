"""Writes gitops/kustomize/operator.yaml, the chart with its defaults as plain manifests, or tells
whether it is current. With --install, the whole base as one file instead.

It asks Helm, and kubectl for the whole, which are built from source where they are missing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from e2e.cluster import binaries

ROOT = Path(__file__).resolve().parents[1]
BASE = ROOT / "gitops/kustomize"
CHART = ROOT / "charts/memorybank-operator"
NAME, NAMESPACE = "memorybank-operator", "memorybank-system"
HEAD = "# Written by `make manifests` from charts/memorybank-operator.\n"
_OF_HELM = ("helm.sh/chart", "app.kubernetes.io/managed-by")


def operator() -> str:
    """Return the file. Raises CalledProcessError when Helm refuses the chart."""
    rendered = _output(
        binaries.ensure("helm"), "template", NAME, str(CHART), "--namespace", NAMESPACE,
        "--set", "crds.install=false", "--kube-version", "1.34.0", "--skip-tests",
    )  # fmt: skip
    documents = [_without_helm(each) for each in yaml.safe_load_all(rendered) if each]
    return HEAD + yaml.safe_dump_all(documents, sort_keys=False, width=120)


def install() -> str:
    """Return everything in one file. Raises CalledProcessError when kubectl refuses the base."""
    return _output(binaries.ensure("kubectl"), "kustomize", str(BASE))


def _without_helm(document: Any) -> Any:
    """Return a manifest, at any depth, without the labels that say that Helm looks after it."""
    if isinstance(document, dict):
        return {key: _without_helm(value) for key, value in document.items() if key not in _OF_HELM}
    return [_without_helm(each) for each in document] if isinstance(document, list) else document


def _output(program: Path, *arguments: str) -> str:
    return subprocess.run(
        [str(program), *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.kustomize_base", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail on a difference")
    parser.add_argument("--install", type=Path, metavar="FILE", help="write the whole base there")
    asked = parser.parse_args(arguments)
    file = BASE / "operator.yaml"
    if asked.install is not None:
        asked.install.parent.mkdir(parents=True, exist_ok=True)
        asked.install.write_text(install())
    elif not asked.check:
        file.write_text(operator())
    elif not file.exists() or file.read_text() != operator():
        sys.stderr.write(f"{file.relative_to(ROOT)} is not current: run `make manifests`\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
