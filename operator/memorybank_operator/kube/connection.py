"""Where the API server is and how we prove who we are: a pod's service account, or a kubeconfig.

A token is read from its file again when the file is new (a kubelet rotates it hourly), so that no
session outlives its credentials. Exec plugins and auth providers are refused: they would run
other programs inside the operator.
"""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse

from memorybank_operator import __version__

SERVICE_ACCOUNT_FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CONNECT_SECONDS = 5.0
MAX_CONNECTIONS = 32
UNSUPPORTED_USER_FIELDS = ("exec", "auth-provider", "username", "password")


class ConnectionConfigError(Exception):
    """The configuration does not say how to reach the API server; the message says what to
    change.
    """


class Token:
    """A bearer token: fixed, or the content of a file that somebody else rotates."""

    def __init__(self, *, value: str = "", file: Path | None = None) -> None:
        self._value = value
        self._file = file
        self._stamp: tuple[int, int] | None = None

    def read(self) -> str:
        """Return the token, empty when there is none. Raises OSError when its file is gone."""
        if self._file is not None:
            seen = self._file.stat()
            stamp = (seen.st_mtime_ns, seen.st_ino)
            if stamp != self._stamp:
                self._value = self._file.read_text().strip()
                self._stamp = stamp
        return self._value

    def forget(self) -> None:
        """Read the file again before the next request, though its time stamp may be the same."""
        self._stamp = None


@dataclass(frozen=True)
class Connection:
    """How to reach one API server."""

    server: str
    """Base URL without a trailing slash."""
    ssl: ssl.SSLContext
    token: Token

    def session(
        self, *middlewares: ClientMiddlewareType, connections: int = MAX_CONNECTIONS
    ) -> aiohttp.ClientSession:
        """Open a session that authenticates each request. The caller closes it.

        `connections` at most are open at a time, 0 stands for as many as are asked for.
        """
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, ssl=self.ssl),
            middlewares=(*middlewares, self._authenticate),
            headers={"User-Agent": f"memorybank-operator/{__version__}"},
        )

    async def _authenticate(
        self, request: ClientRequest, handler: ClientHandlerType
    ) -> ClientResponse:
        token = self.token.read()
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        response = await handler(request)
        if response.status == 401:
            self.token.forget()
        return response


def connect(environment: Mapping[str, str] | None = None) -> Connection:
    """Find the API server: in a pod by its service account, else by $KUBECONFIG or ~/.kube/config.

    Raises ConnectionConfigError with the cure.
    """
    environment = os.environ if environment is None else environment
    if environment.get("KUBECONFIG"):
        return from_kubeconfig(Path(environment["KUBECONFIG"]))
    if environment.get("KUBERNETES_SERVICE_HOST"):
        return _in_cluster(environment)
    default = Path(environment.get("HOME", "/")) / ".kube" / "config"
    if default.exists():
        return from_kubeconfig(default)
    raise ConnectionConfigError(
        "no API server is known: run in a pod with a service account, "
        "or set KUBECONFIG to a kubeconfig file"
    )


def _in_cluster(environment: Mapping[str, str]) -> Connection:
    host = environment["KUBERNETES_SERVICE_HOST"]
    port = environment.get("KUBERNETES_SERVICE_PORT", "443")
    token = SERVICE_ACCOUNT_FOLDER / "token"
    if not token.exists():
        raise ConnectionConfigError(
            f"{token} is missing: the pod needs automountServiceAccountToken: true"
        )
    return Connection(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        ssl=ssl.create_default_context(cafile=SERVICE_ACCOUNT_FOLDER / "ca.crt"),
        token=Token(file=token),
    )


def from_kubeconfig(file: Path) -> Connection:
    """Read the current context of a kubeconfig file. Raises ConnectionConfigError with the cure."""
    try:
        config = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConnectionConfigError(f"kubeconfig {file} cannot be read: {error}") from error
    if not isinstance(config, Mapping):
        raise ConnectionConfigError(f"kubeconfig {file} is empty or not a mapping")
    return from_config(config, file)


def from_config(config: Mapping[str, Any], file: Path) -> Connection:
    """Take the current context of what a kubeconfig file says, whose relative paths are those of
    this file. Raises ConnectionConfigError with the cure.
    """
    try:
        return _current_context(config, file)
    except KeyError as error:
        raise ConnectionConfigError(f"kubeconfig {file}: {error} is missing") from error
    except (ValueError, OSError) as error:
        raise ConnectionConfigError(
            f"kubeconfig {file}: a certificate, key or file it names cannot be read: {error}"
        ) from error


def _current_context(config: Mapping[str, Any], file: Path) -> Connection:
    context = _named(config, "contexts", str(config.get("current-context") or ""), file)["context"]
    cluster = _named(config, "clusters", context["cluster"], file)["cluster"]
    user = _named(config, "users", context["user"], file)["user"] or {}
    for field in UNSUPPORTED_USER_FIELDS:
        if field in user:
            raise ConnectionConfigError(
                f"kubeconfig {file}: user {context['user']!r} uses {field}, not supported here: "
                "use a token, a tokenFile or a client certificate, for example of a service account"
            )
    folder = file.parent
    return Connection(
        server=str(cluster["server"]).rstrip("/"),
        ssl=_tls(cluster, user, folder),
        token=_token(user, folder),
    )


def _named(config: Mapping[str, Any], section: str, name: str, file: Path) -> Mapping[str, Any]:
    for entry in config.get(section) or ():
        if entry.get("name") == name:
            found: Mapping[str, Any] = entry
            return found
    raise ConnectionConfigError(
        f"kubeconfig {file}: {section} has no entry named {name!r}; "
        "choose one with `kubectl config use-context`"
    )


def _token(user: Mapping[str, Any], folder: Path) -> Token:
    if user.get("tokenFile"):
        return Token(file=folder / user["tokenFile"])
    return Token(value=str(user.get("token") or ""))


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any], folder: Path) -> ssl.SSLContext:
    authority = _pem(cluster, "certificate-authority", folder)
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    certificate = _pem(user, "client-certificate", folder)
    key = _pem(user, "client-key", folder)
    if certificate and key:
        # Python's ssl loads a key from a file only; this one is private and gone a moment later.
        with tempfile.NamedTemporaryFile() as both:
            both.write(certificate + b"\n" + key)
            both.flush()
            context.load_cert_chain(both.name)
    return context


def _pem(entry: Mapping[str, Any], field: str, folder: Path) -> bytes | None:
    if entry.get(f"{field}-data"):
        return base64.b64decode(str(entry[f"{field}-data"]))
    if entry.get(field):
        return (folder / str(entry[field])).read_bytes()
    return None
