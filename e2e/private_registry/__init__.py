"""A real registry that gives images to nobody without a password, built from its Go module, while a
test needs it.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from e2e import servers
from e2e.images import engines
from e2e.namespaces import restricted_namespace
from e2e.stack import Stack

MANIFEST = Path(__file__).parent / "manifest.yaml"
POD, PORT = "registry", 5000


@dataclass(frozen=True)
class Registry:
    """The registry, and who may use it."""

    stack: Stack
    namespace: str
    user: str
    password: str = field(repr=False)

    def push(self, image: str, name: str) -> str:
        """Give it an image of this machine by a name; return the reference by which the cluster's
        node finds it there.
        """
        with (
            self.stack.port_forward(f"pod/{POD}", PORT, self.namespace) as port,
            tempfile.TemporaryDirectory() as folder,
        ):
            login = Path(folder) / "config.json"
            login.write_text(self.login(self.password, port))
            engines.find().push(image, f"localhost:{port}/{name}", login)
        return f"localhost:{PORT}/{name}"

    def login(self, password: str, port: int = PORT) -> str:
        """Return what a file for logins, and a Secret of the type kubernetes.io/dockerconfigjson,
        say of it.
        """
        pair = base64.b64encode(f"{self.user}:{password}".encode()).decode()
        return json.dumps({"auths": {f"localhost:{port}": {"auth": pair}}})


@contextmanager
def private_registry(stack: Stack) -> Iterator[Registry]:
    """Run it until the block ends."""
    image = servers.load_built(stack, "distribution")
    with restricted_namespace(stack, "registry") as namespace:
        # It is on the node's network, so that the node finds it at `localhost`.
        stack.kubectl(
            "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=privileged",
            "--overwrite",
        )  # fmt: skip
        manifest = servers.filled(MANIFEST, NAMESPACE=namespace, IMAGE=image, PORT=str(PORT))
        stack.kubectl("apply", "-f", "-", stdin=manifest)
        stack.kubectl(
            "-n", namespace, "wait", f"pod/{POD}", "--for=condition=Ready", "--timeout=300s"
        )
        said = [
            json.loads(line)
            for line in stack.kubectl("-n", namespace, "logs", POD).splitlines()
            if "password" in line
        ]
        [told] = said
        yield Registry(stack, namespace, told["user"], told["password"])
