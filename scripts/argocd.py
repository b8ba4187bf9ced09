"""Writes gitops/argocd/argocd-cm.yaml from the scripts beside it, or tells whether it is current.

Argo CD takes health checks and actions from its ConfigMap argocd-cm until it carries them itself,
which it would in the layout of gitops/argocd/resource_customizations.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parents[1] / "gitops/argocd"
CONFIG_MAP = FOLDER / "argocd-cm.yaml"
HEAD = """\
# Written by `make generate` from resource_customizations/. It belongs into Argo CD's own ConfigMap:
#   kubectl patch configmap argocd-cm -n argocd --patch-file gitops/argocd/argocd-cm.yaml
"""


class _Scripts(yaml.SafeDumper):
    """Writes texts of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Scripts.add_representer(str, _text)


def config_map() -> str:
    """Return the file."""
    data: dict[str, str] = {}
    for group in sorted((FOLDER / "resource_customizations").iterdir()):
        for kind in sorted(group.iterdir()):
            name = f"{group.name}_{kind.name}"
            data[f"resource.customizations.health.{name}"] = (kind / "health.lua").read_text()
            actions = _actions(kind / "actions")
            if actions is not None:
                data[f"resource.customizations.actions.{name}"] = _yaml(actions)
    # Argo CD looks for its configuration by this label.
    labels = {"app.kubernetes.io/name": "argocd-cm", "app.kubernetes.io/part-of": "argocd"}
    metadata = {"name": "argocd-cm", "namespace": "argocd", "labels": labels}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    return HEAD + _yaml(body)


def _actions(folder: Path) -> dict[str, Any] | None:
    if not folder.exists():
        return None
    scripts = sorted(folder.glob("*/action.lua"))
    return {
        "discovery.lua": (folder / "discovery.lua").read_text(),
        "definitions": [
            {"name": each.parent.name, "action.lua": each.read_text()} for each in scripts
        ],
    }


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Scripts, sort_keys=False, width=1_000)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.argocd", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail on a difference")
    if parser.parse_args(arguments).check:
        if CONFIG_MAP.exists() and CONFIG_MAP.read_text() == config_map():
            return 0
        sys.stderr.write("gitops/argocd/argocd-cm.yaml is not current: run `make generate`\n")
        return 1
    CONFIG_MAP.write_text(config_map())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
