"""The keys of a common deployment guide's config.yaml, in terms of our own settings.

Whoever comes with such a file can keep it. A key that means one of our settings becomes it; a
wish that holds here anyway is granted; a knob without a counterpart has no effect, and that is
told; what would be a promise that nobody keeps is refused, with what to do instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from memorybank.domain.keys import Role

Path = tuple[str, ...]


@dataclass(slots=True)
class Translated:
    """A file's content in terms of our own settings."""

    values: dict[str, Any]
    written: dict[str, str] = field(default_factory=dict)
    """How a setting was written in the file, by its path here."""
    unused: list[str] = field(default_factory=list)
    """What has no effect here, and why, in sentences."""
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    """What cannot be: path, what is wrong with it, what to do instead."""

    def as_written(self, path: str) -> str:
        """Return the path of a setting, or of a part of it, as the file has it."""
        for ours, theirs in self.written.items():
            if path == ours or path.startswith(f"{ours}."):
                return theirs + path.removeprefix(ours)
        return path


def translate(content: Mapping[str, Any]) -> Translated:
    """Return the content of a configuration file with the guide's keys replaced; never raises."""
    done = Translated(_copy(content))
    for name, rule in RULES.items():
        path = tuple(name.split("."))
        value = _taken(done.values, path)
        if value is not _ABSENT:
            rule(done, name, value)
    for section in _SECTIONS:
        _drop_empty(done.values, section)
    return done


class _Absent:
    """There is no such key."""


_ABSENT = _Absent()
Rule = Callable[[Translated, str, Any], None]


def _becomes(target: str, convert: Callable[[Any], Any] = lambda value: value) -> Rule:
    """Write the value under our name, unless our name is there, too."""

    def rule(done: Translated, name: str, value: Any) -> None:
        path = tuple(target.split("."))
        inner: Any = done.values
        for part in path[:-1]:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):  # refused as what it is
                return
        if path[-1] in inner:
            done.refused.append(
                (name, f"is the same as {target}, which is there, too", "remove one of the two")
            )
            return
        try:
            inner[path[-1]] = convert(value)
        except ValueError as error:
            done.refused.append((name, str(error), "correct the value"))
        else:
            done.written[target] = name

    return rule


def _only(values: tuple[Any, ...], cure: str) -> Rule:
    """Accept what holds here anyway, and nothing else."""

    def rule(done: Translated, name: str, value: Any) -> None:
        if value not in values:
            shown = " or ".join(str(each).lower() for each in values)
            done.refused.append((name, f"can only be {shown} here", cure))

    return rule


def _no_effect(why: str) -> Rule:
    def rule(done: Translated, name: str, value: Any) -> None:
        done.unused.append(f"{name} has no effect: {why}")

    return rule


def _refused(said: str, cure: str) -> Rule:
    def rule(done: Translated, name: str, value: Any) -> None:
        done.refused.append((name, said, cure))

    return rule


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _seconds(value: Any) -> Any:
    """Read `30s`; anything else is left to the setting's own check."""
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value)
    if found is None:
        raise ValueError("should be a number and a unit, such as 500ms, 30s or 2m")
    return float(found[1]) * _SECONDS[found[2]]


_EVENTS = {"create": "write", "update": "write", "delete": "delete", "search": "read"}


def _events(value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        return value
    return list(dict.fromkeys(_EVENTS.get(each, each) for each in value))


def _roles(done: Translated, name: str, value: Any) -> None:
    """Turn `{name: {permissions: [...]}}` into ours; the built-in ones must mean the same."""
    if not isinstance(value, dict):
        done.refused.append((name, "should name roles", "write `name: {permissions: [...]}`"))
        return
    own = {}
    for role, about in value.items():
        rights = about.get("permissions") if isinstance(about, dict) else None
        if not isinstance(rights, list) or not all(isinstance(each, str) for each in rights):
            done.refused.append(
                (f"{name}.{role}", "should have permissions", "write `permissions: [read, write]`")
            )
        elif role not in list(Role):
            own[role] = rights
        elif {f"memory:{each}" for each in rights} != {*Role(role).scopes}:
            may = ", ".join(sorted(each.removeprefix("memory:") for each in Role(role).scopes))
            done.refused.append(
                (f"{name}.{role}", f"is a role of every bank, which may {may}", "name it otherwise")
            )
    if own:
        _becomes("auth.roles")(done, name, own)


def _switch(*names: str) -> Rule:
    """Let a section count only where it is enabled."""

    def rule(done: Translated, name: str, value: Any) -> None:
        if value is False:
            above = name.rpartition(".")[0]
            for each in names:
                _taken(done.values, (*above.split("."), each))
        elif value is not True:
            done.refused.append((name, "should be true or false", "correct the value"))

    return rule


def _cache_switch(done: Translated, name: str, value: Any) -> None:
    if value is False:
        _taken(done.values, ("performance", "embedding", "cache_size"))
        _becomes("embedding.cache_entries")(done, name, 0)
    elif value is not True:
        done.refused.append((name, "should be true or false", "correct the value"))


def _provider(done: Translated, name: str, value: Any) -> None:
    if value == "mock":
        done.refused.append(
            (name, "can only be a real embedder", "write builtin-tiny, which needs next to nothing")
        )
    else:
        done.values["embedding"]["provider"] = value


_MEMORY = "the service keeps its indexes in memory, and searches take milliseconds"
_CACHE = "a text's vector never changes; those unused the longest make way"
_GATHERED = "requests that come together are embedded together by themselves"
_ONE_FILE = "one thread writes the database and a pool of its own reads it"
_HANDLED = "the web server's own limits hold"
_ROTATED = "what collects standard error keeps and rotates it"
_BACKUP = "copy the database with `memorybank backup copy` on a schedule"


def _vector_provider(value: Any) -> Any:
    return "chroma" if value == "chromadb" else value


RULES: dict[str, Rule] = {
    "database.max_connections": _no_effect(_ONE_FILE),
    "database.connection_timeout": _no_effect(_ONE_FILE),
    "database.backup_enabled": _only((False,), f"remove it, and {_BACKUP}"),
    "database.backup_interval": _no_effect(_BACKUP),
    "embedding.provider": _provider,
    "embedding.ollama.base_url": _becomes("embedding.ollama.url"),
    "embedding.ollama.model": _becomes("embedding.model"),
    "embedding.ollama.timeout": _becomes("embedding.timeout_seconds", _seconds),
    "embedding.ollama.max_retries": _becomes("embedding.retries"),
    "vector.provider": _becomes("vector.provider", _vector_provider),
    "vector.chromadb.base_url": _becomes("vector.chroma.url"),
    "vector.chromadb.collection": _becomes("vector.chroma.collections"),
    "vector.chromadb.timeout": _becomes("vector.chroma.timeout_seconds", _seconds),
    "vector.chromadb.max_retries": _no_effect("what Chroma did not get it is given again"),
    "performance.embedding.cache_enabled": _cache_switch,
    "performance.embedding.cache_size": _becomes("embedding.cache_entries"),
    "performance.embedding.cache_ttl": _no_effect(_CACHE),
    "performance.embedding.batch_size": _no_effect(_GATHERED),
    "performance.embedding.max_concurrent": _no_effect(_GATHERED),
    "performance.search.result_cache_enabled": _no_effect(_MEMORY),
    "performance.search.result_cache_size": _no_effect(_MEMORY),
    "performance.search.result_cache_ttl": _no_effect(_MEMORY),
    "performance.vector": _no_effect(_MEMORY),
    "performance.database": _no_effect(_ONE_FILE),
    "performance.http": _no_effect(_HANDLED),
    "performance.memory": _no_effect("the system bounds a process's memory, not the service"),
    "security.encryption.enabled": _becomes("encryption.enabled"),
    "security.encryption.algorithm": _only(("AES-256-GCM",), "write AES-256-GCM, or remove it"),
    "security.encryption.key_source": _only(
        ("environment", "file"),
        "give the key ring by MEMORY_BANK_ENCRYPTION_KEY_RING or encryption.key_ring_file",
    ),
    "security.audit.enabled": _becomes("audit.enabled"),
    "security.audit.events": _becomes("audit.events", _events),
    "security.audit.log_file": _refused(
        "is no place for the audit log, which is kept in the database",
        "remove it, and export the log with `memorybank audit export`",
    ),
    "security.authentication.enabled": _only((True,), "remove it: every request needs a key"),
    "security.authentication.method": _refused(
        "needs no choice: keys always work, and tokens where auth.jwt is set",
        "remove it, and describe the identity provider in auth.jwt",
    ),
    "security.authentication.jwt": _refused(
        "says too little, and may hold a secret",
        "describe the identity provider in auth.jwt; its secret is in auth.jwt.secret_file",
    ),
    "security.authorization.enabled": _only((True,), "remove it: roles always hold"),
    "security.authorization.roles": _roles,
    "security.rate_limiting.enabled": _switch("requests_per_minute", "burst"),
    "security.rate_limiting.requests_per_minute": _becomes("limits.requests_per_minute"),
    "security.rate_limiting.burst": _becomes("limits.burst"),
    "security.cors.enabled": _switch("allowed_origins", "allowed_methods", "allowed_headers"),
    "security.cors.allowed_origins": _becomes("cors.allowed_origins"),
    "security.cors.allowed_methods": _no_effect("each route allows the methods that it has"),
    "security.cors.allowed_headers": _no_effect("the headers that the service reads are allowed"),
    "logging.output": _refused(
        "is no place for logs, which go to standard error",
        "remove it: what collects standard error keeps and rotates it",
    ),
    "logging.max_size": _no_effect(_ROTATED),
    "logging.max_backups": _no_effect(_ROTATED),
    "logging.max_age": _no_effect(_ROTATED),
    "logging.compress": _no_effect(_ROTATED),
    "monitoring.metrics_enabled": _only((True,), "remove it: metrics are always there"),
    "monitoring.metrics_port": _becomes("server.metrics_port"),
    "monitoring.health_check_port": _becomes("server.port"),
}
"""What becomes of each key of the guide, in this order."""


_SECTIONS = (
    ("vector", "chromadb"),
    ("performance", "embedding"),
    ("performance", "search"),
    ("performance",),
    *(
        ("security", name)
        for name in ("encryption", "audit", "authentication", "authorization", "rate_limiting")
    ),
    ("security", "cors"),
)
"""The guide's sections that ours do not have; they vanish when nothing is left in them."""


def known_below(path: str) -> list[str]:
    """Return the guide's own names in a section that only the guide has."""
    start = f"{path}."
    if tuple(path.split(".")) not in _SECTIONS:
        return []
    return sorted(
        {name[len(start) :].partition(".")[0] for name in RULES if name.startswith(start)}
    )


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copy(inner) for name, inner in value.items()}
    return value


def _taken(values: Any, path: Path) -> Any:
    """Take a value out, `_ABSENT` if it is not there."""
    for part in path[:-1]:
        values = values.get(part) if isinstance(values, dict) else None
    if not isinstance(values, dict) or path[-1] not in values:
        return _ABSENT
    return values.pop(path[-1])


def _drop_empty(values: dict[str, Any], path: Path) -> None:
    above: Any = values
    for part in path[:-1]:
        above = above.get(part) if isinstance(above, dict) else None
    if isinstance(above, dict) and path[-1] in above and not above[path[-1]]:
        del above[path[-1]]
