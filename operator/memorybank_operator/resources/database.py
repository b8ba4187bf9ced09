"""Where a bank's PostgreSQL database is, as the address in its Secret says it; not who may use it.

The address is of the form that libpq knows, https://www.postgresql.org/docs/current/
libpq-connect.html: several servers with commas between them, each with a port or without, or named
by parameters behind the path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from memorybank_operator.configfiles.checksum import object_checksum

PORT = 5432
_ADDRESS = re.compile(
    r"postgres(?:ql)?://(?:(?P<user>[^:@/?]*)(?::[^@/]*)?@)?"
    r"(?P<servers>[^/?]*)(?:/(?P<name>[^?]*))?(?:\?(?P<more>.*))?"
)
_SERVER = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]*)(?::(?P<port>\d{1,5})?)?")


@dataclass(frozen=True, slots=True)
class Database:
    """A database, on one server or on one of several."""

    servers: tuple[tuple[str, int], ...]
    """Host and port of each. A host that begins with `/` is the folder of a socket."""
    name: str

    @property
    def fingerprint(self) -> str:
        """Return what tells it from others."""
        return object_checksum([self.servers, self.name])


def read_address(text: str) -> Database | None:
    """Read the address of a database, None when it is none or names no server."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return None
    try:
        more = parse_qs(found["more"] or "", strict_parsing=bool(found["more"]))
    except ValueError:
        return None
    named = [_SERVER.fullmatch(each) for each in unquote(found["servers"]).split(",")]
    hosts = [each["host"].strip("[]") if each else "" for each in named]
    ports = [(each["port"] or "") if each else "?" for each in named]
    hosts = _parameter(more, "hostaddr") or _parameter(more, "host") or hosts
    ports = _parameter(more, "port") or ports
    ports = ports * len(hosts) if len(ports) == 1 else ports
    name = unquote(found["name"] or "") or "".join(more.get("dbname", ())[-1:])
    name = name or unquote(found["user"] or "")
    if not name or not all(hosts) or len(ports) != len(hosts):
        return None
    if not all(_is_port(each) for each in ports):
        return None
    servers = zip(hosts, ports, strict=True)
    return Database(tuple((host, int(port or PORT)) for host, port in servers), name)


def _parameter(more: dict[str, list[str]], name: str) -> list[str]:
    return more[name][-1].split(",") if name in more else []


def _is_port(text: str) -> bool:
    return not text or (text.isdecimal() and 0 < int(text) < 65_536)
