"""Argo CD's way with scripts of resources: a real Lua 5.1, with no more in it than Argo CD gives.

Which libraries a script has: util/lua of Argo CD opens base, table and package, and an `os` that
knows the time. Every script stands alone, and sees the resource as the global `obj`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from lupa.lua51 import LuaRuntime, lua_type  # type: ignore[import-untyped]

from e2e.cluster.paths import ROOT
from tests.operator.world import NOW

CUSTOMIZATIONS = ROOT / "gitops/argocd/resource_customizations/memorybank.dev"
_SANDBOX = """
function(seconds)
  local date = os.date
  local clock = {
    date = function(format) return date(format, seconds) end,
    time = function() return seconds end,
  }
  for _, name in ipairs({
    "io", "string", "math", "debug", "coroutine", "os", "loadstring", "load", "loadfile", "dofile",
    "module", "python", "print", "getfenv", "setfenv",
  }) do
    _G[name] = nil
  end
  require = function(name)
    if name == "os" then return clock end
    error("there is no library " .. name)
  end
end
"""


def run(script: Path, resource: Mapping[str, Any], *, now: datetime = NOW) -> Any:
    """Return what a script returns for a resource, which it may have changed."""
    lua = LuaRuntime(unpack_returned_tuples=True, register_eval=False)
    lua.eval(_SANDBOX)(int(now.timestamp()))
    lua.globals()["obj"] = lua.table_from(copy.deepcopy(dict(resource)), recursive=True)
    return _plain(lua.execute(script.read_text()))


def health(resource: Mapping[str, Any]) -> dict[str, str]:
    """Return status and message, as Argo CD shows them."""
    if resource["metadata"].get("deletionTimestamp"):  # before any script is asked
        return {"status": "Progressing", "message": "Pending deletion"}
    return dict(run(CUSTOMIZATIONS / resource["kind"] / "health.lua", resource))


def actions(resource: Mapping[str, Any]) -> dict[str, bool]:
    """Return the actions that a resource offers, and whether each can be chosen now."""
    found = run(CUSTOMIZATIONS / resource["kind"] / "actions/discovery.lua", resource)
    return {name: not each.get("disabled", False) for name, each in found.items()}


def acted(resource: Mapping[str, Any], action: str, *, now: datetime = NOW) -> Any:
    """Return the resource after an action, or what is made by it."""
    script = CUSTOMIZATIONS / resource["kind"] / "actions" / action / "action.lua"
    return run(script, resource, now=now)


def tables(file: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the cases of all files of this name, as Argo CD's own tests read them: each with the
    folder that its paths begin at.
    """
    found = []
    for path in sorted(CUSTOMIZATIONS.rglob(file)):
        said = yaml.safe_load(path.read_text())
        folder = str(path.parent.relative_to(CUSTOMIZATIONS))
        for key in ("tests", "discoveryTests", "actionTests"):
            found += [(folder, each) for each in said.get(key, ())]
    return found


def manifest(folder: str, path: str) -> Any:
    """Return what is in a file of test data."""
    return yaml.safe_load((CUSTOMIZATIONS / folder / path).read_text())


def _plain(value: Any) -> Any:
    """Return a table as a list where its keys are 1, 2, ..., and as a dict otherwise."""
    if lua_type(value) != "table":
        return value
    items = {key: _plain(each) for key, each in value.items()}
    if items and list(items) == list(range(1, len(items) + 1)):
        return list(items.values())
    return items
