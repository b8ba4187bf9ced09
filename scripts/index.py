"""Where packages come from on this machine, and whom it trusts: told to pip, meant for uv too."""

from __future__ import annotations

import configparser
import os
from pathlib import Path

SYSTEM_FILES = ("/etc/xdg/pip/pip.conf", "/etc/pip.conf")
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


def uv_environment() -> dict[str, str]:
    """The environment for uv, which reads none of pip's settings by itself.

    Its own variables win. scripts/bootstrap.sh does the same before there is a Python environment.
    """
    told = {}
    if index := pip_settings().get("index-url"):
        told["UV_DEFAULT_INDEX"] = index
    if AUTHORITIES.exists():
        told["UV_SYSTEM_CERTS"] = "1"
    return told | os.environ


def pip_settings() -> dict[str, str]:
    """What pip's files and environment variables say; as with pip, the later one wins."""
    home, variables = Path.home(), os.environ
    parser = configparser.RawConfigParser()
    parser.read(
        [
            *SYSTEM_FILES,
            home / ".pip/pip.conf",
            Path(variables.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf",
            variables.get("PIP_CONFIG_FILE", os.devnull),
        ]
    )
    found: dict[str, str] = {}
    for section in ("global", "install"):
        found |= dict(parser[section]) if section in parser else {}
    for name, value in variables.items():
        if name.startswith("PIP_") and value:
            found[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return found
