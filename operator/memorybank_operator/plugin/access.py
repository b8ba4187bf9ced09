"""Whom we ask and as whom: kubeconfig files as kubectl reads them, several in $KUBECONFIG included.

Unlike the operator this may run the program that a kubeconfig names for credentials, since it is
the user's own command line that asks for it.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from memorybank_operator.kube.connection import (
    SERVICE_ACCOUNT_FOLDER,
    Connection,
    ConnectionConfigError,
    connect,
    from_config,
)

LISTS = ("contexts", "clusters", "users")
PATHS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
CREDENTIAL_SECONDS = 60
"""A program for credentials may have to ask its user."""


@dataclass(frozen=True)
class Access:
    """One API server, and the namespace that is meant when none is named."""

    connection: Connection
    namespace: str


def find(
    kubeconfig: str = "", context: str = "", environment: Mapping[str, str] | None = None
) -> Access:
    """Find the API server by a kubeconfig file, $KUBECONFIG, the pod that this runs in or
    ~/.kube/config. Raises ConnectionConfigError with the cure.
    """
    environment = os.environ if environment is None else environment
    named = kubeconfig or environment.get("KUBECONFIG", "")
    files = [Path(each) for each in named.split(os.pathsep) if each]
    if not files and environment.get("KUBERNETES_SERVICE_HOST"):
        namespace = SERVICE_ACCOUNT_FOLDER / "namespace"
        found = namespace.read_text().strip() if namespace.exists() else "default"
        return Access(connect(environment), found)
    if not files:
        files = [Path(environment.get("HOME", "/")) / ".kube" / "config"]
    present = [each for each in files if each.exists()]
    if not present:
        raise ConnectionConfigError(
            f"no cluster is known: {', '.join(map(str, files))} is not there; "
            "name a kubeconfig file by --kubeconfig or KUBECONFIG"
        )
    config = _merged(present)
    if context:
        config["current-context"] = context
    if not config.get("current-context"):
        raise ConnectionConfigError(
            f"kubeconfig {present[0]} has no current context; choose one by --context or "
            "`kubectl config use-context`"
        )
    chosen = _entry(config, "contexts", config["current-context"]).get("context") or {}
    user = _entry(config, "users", chosen.get("user")).get("user") or {}
    if "exec" in user:
        cluster = _entry(config, "clusters", chosen.get("cluster")).get("cluster") or {}
        user.update(_credential(user.pop("exec"), cluster))
    return Access(from_config(config, present[0]), chosen.get("namespace") or "default")


def _merged(files: list[Path]) -> dict[str, Any]:
    """Return what the files say together; of what several name, the first one counts."""
    result: dict[str, Any] = {each: [] for each in LISTS}
    for file in files:
        try:
            config = yaml.safe_load(file.read_text())
        except (OSError, yaml.YAMLError) as error:
            raise ConnectionConfigError(f"kubeconfig {file} cannot be read: {error}") from error
        if not isinstance(config, Mapping):
            raise ConnectionConfigError(f"kubeconfig {file} is empty or not a mapping")
        result.setdefault("current-context", config.get("current-context") or "")
        result["current-context"] = result["current-context"] or config.get("current-context")
        for section in LISTS:
            known = {each.get("name") for each in result[section]}
            added = [each for each in config.get(section) or () if each.get("name") not in known]
            result[section] += [_absolute(each, file.resolve().parent) for each in added]
    return result


def _absolute(entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    for part in (entry.get("cluster"), entry.get("user")):
        if not isinstance(part, dict):
            continue
        for field in PATHS:
            if part.get(field):
                part[field] = str(folder / part[field])
        program = (part.get("exec") or {}).get("command") or ""
        if os.sep in program:
            part["exec"]["command"] = str(folder / program)
    return entry


def _entry(config: Mapping[str, Any], section: str, name: object) -> dict[str, Any]:
    return next((each for each in config[section] if each.get("name") == name), {})


def _credential(asked: Mapping[str, Any], cluster: Mapping[str, Any]) -> dict[str, str]:
    """Run the program that a kubeconfig names and return the fields of a user that it gives."""
    program = str(asked.get("command") or "")
    spec: dict[str, Any] = {"interactive": False}
    if asked.get("provideClusterInfo"):
        spec["cluster"] = cluster
    request = {"apiVersion": asked.get("apiVersion"), "kind": "ExecCredential", "spec": spec}
    environment = os.environ | {each["name"]: each["value"] for each in asked.get("env") or ()}
    try:
        done = subprocess.run(  # noqa: S603 - the user's own kubeconfig names it
            [program, *map(str, asked.get("args") or ())],
            env=environment | {"KUBERNETES_EXEC_INFO": json.dumps(request)},
            stdout=subprocess.PIPE, timeout=CREDENTIAL_SECONDS, check=True,
        )  # fmt: skip
        status = json.loads(done.stdout)["status"]
        fields = {"token": status.get("token")}
        for ours, theirs in (
            ("client-certificate-data", "clientCertificateData"),
            ("client-key-data", "clientKeyData"),
        ):
            if status.get(theirs):
                fields[ours] = base64.b64encode(status[theirs].encode()).decode()
    except (OSError, subprocess.SubprocessError) as error:
        kind = type(error).__name__
        raise ConnectionConfigError(
            f"the program {program!r}, which the kubeconfig names for credentials, failed "
            f"({kind}): {asked.get('installHint') or 'run it by hand, or log in again'}"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConnectionConfigError(
            f"the program {program!r}, which the kubeconfig names for credentials, did not answer "
            "with an ExecCredential"
        ) from None
    return {name: value for name, value in fields.items() if value}
