"""A real server of S3 (versitygw) on the cluster, built from its Go module, as tests need it."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from e2e import servers
from e2e.namespaces import restricted_namespace
from e2e.processes import frozen
from e2e.stack import Stack

MANIFEST = Path(__file__).parent / "manifest.yaml"
NAME, PORT = "s3", 7070
_KEPT = "persistentVolumeClaim: {claimName: s3}"
_IN_MEMORY = "emptyDir: {medium: Memory, sizeLimit: SIZE}"
_FILLER = "/data/filler"


@dataclass
class ObjectStore:
    """The server, and who may use it."""

    stack: Stack
    namespace: str
    access_key: str = "agents"
    secret_key: str = field(default="", repr=False)
    region: str = "us-east-1"

    @property
    def endpoint(self) -> str:
        """Its URL, for pods."""
        return f"http://{NAME}.{self.namespace}.svc:{PORT}"

    def make_bucket(self, name: str) -> str:
        """Make a bucket; return its name."""
        self._python(f"import os; os.mkdir('/data/{name}')")
        return name

    def files(self, bucket: str) -> list[str]:
        """The objects of a bucket, which are files."""
        return self._python(
            f"import pathlib; print(*(each.relative_to('/data/{bucket}') for each in"
            f" pathlib.Path('/data/{bucket}').rglob('*') if each.is_file()), sep='\\n')"
        ).split()

    def holds(self, bucket: str, text: str) -> bool:
        """Whether a text is in clear in any object of a bucket, or in its name."""
        found = self._python(
            f"import pathlib, sys; print(any({text!r}.encode() in each.read_bytes()"
            f" or {text!r} in str(each) for each in pathlib.Path('/data/{bucket}').rglob('*')"
            " if each.is_file()))"
        )
        return found.strip() == "True"

    def remove(self, bucket: str, within: str) -> None:
        """Remove the objects of a bucket that have a text in their names."""
        self._python(
            f"import pathlib\nfor each in pathlib.Path('/data/{bucket}').rglob('*'):\n"
            f"  if each.is_file() and {within!r} in str(each): each.unlink()"
        )

    def damage(self, bucket: str, within: str, how: str) -> None:
        """Damage all objects of a bucket that have a text in their names, since any may hold what
        others hold as well: a byte in the middle is `flipped`, or they are `truncated`, or the
        oldest one, with which all begins, is `removed`.
        """
        self._python(
            "import os, pathlib\n"
            f"found = [each for each in pathlib.Path('/data/{bucket}').rglob('*')"
            f" if each.is_file() and {within!r} in str(each)]\n"
            f"if {how!r} == 'removed':\n"
            "  first = [each for each in found if each.name.startswith('0000000000000001-')]\n"
            "  [each.unlink() for each in first]\n"
            "  found = []\n"
            "for file in found:\n"
            "  content = bytearray(file.read_bytes())\n"
            "  middle = len(content) // 2\n"
            "  content[middle] ^= 0xFF\n"
            f"  if {how!r} == 'truncated': os.truncate(file, middle)\n"
            "  else: file.open('r+b').write(content)\n"
        )

    def credentials(self, name: str, namespace: str) -> None:
        """Write the pair that opens it into a Secret of somebody who uses it."""
        self._secret(name, namespace, accessKeyId=self.access_key, secretAccessKey=self.secret_key)

    def change_keys(self) -> None:
        """Take another pair, and the former one no longer."""
        self.access_key = f"agents-{secrets.token_hex(4)}"
        self.keep_keys()
        with self.down():
            pass

    @contextmanager
    def down(self) -> Iterator[None]:
        """Stop the server while the block runs; its objects stay."""
        self._scale(0)
        try:
            yield
        finally:
            self._scale(1)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Have it take connections and answer nothing while the block runs."""
        uid = self.stack.kubectl(
            "-n", self.namespace, "get", "pods", "-l", f"app={NAME}",
            "-o", "jsonpath={.items[0].metadata.uid}",
        )  # fmt: skip
        with frozen(uid):
            yield

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Have nothing that is sent to its port arrive while the block runs."""
        metadata = {"name": "nobody", "namespace": self.namespace}
        nobody = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": []}
        self.stack.apply(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": metadata,
                "spec": nobody,
            }
        )
        try:
            yield
        finally:
            self.stack.kubectl("-n", self.namespace, "delete", "networkpolicy", "nobody")

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no room on its disk while the block runs; for one that has a size."""
        self._python(
            f"with open({_FILLER!r}, 'wb', buffering=0) as file:\n"
            "  for size in (1 << 20, 1 << 12):\n"
            "    try:\n"
            "      while file.write(bytes(size)) == size: pass\n"
            "    except OSError: pass"
        )
        try:
            yield
        finally:
            self._python(f"import os; os.unlink({_FILLER!r})")

    def keep_keys(self) -> None:
        """Make a secret key, and write the pair down for the server's next start."""
        self.secret_key = secrets.token_hex(20)
        self._secret(
            NAME, self.namespace, ROOT_ACCESS_KEY=self.access_key, ROOT_SECRET_KEY=self.secret_key
        )

    def _secret(self, name: str, namespace: str, **values: str) -> None:
        self.stack.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": namespace},
                "data": {k: base64.b64encode(v.encode()).decode() for k, v in values.items()},
            }
        )

    def _scale(self, count: int) -> None:
        deployment = f"deployment/{NAME}"
        self.stack.kubectl("-n", self.namespace, "scale", deployment, f"--replicas={count}")
        if count:
            self.wait_ready()
        else:
            self.stack.kubectl(
                "-n", self.namespace, "wait", "pod", "-l", f"app={NAME}", "--for=delete",
                "--timeout=120s",
            )  # fmt: skip

    def wait_ready(self) -> None:
        """Wait until it serves."""
        self.stack.kubectl(
            "-n", self.namespace, "rollout", "status", f"deployment/{NAME}", "--timeout=300s"
        )

    def _python(self, code: str) -> str:
        return self.stack.kubectl(
            "-n", self.namespace, "exec", f"deployment/{NAME}", "--",
            "/opt/memorybank/bin/python", "-c", code,
        )  # fmt: skip


@contextmanager
def object_store(stack: Stack, size: str | None = None) -> Iterator[ObjectStore]:
    """Run it until the block ends. Its objects outlive its pod; with a `size`, such as 64Mi, they
    do not, and its disk has an end.
    """
    volume = _KEPT if size is None else _IN_MEMORY.replace("SIZE", size)
    image = servers.load_built(stack, "versitygw")
    with restricted_namespace(stack, "buckets") as namespace:
        made = ObjectStore(stack, namespace)
        made.keep_keys()
        stack.kubectl(
            "apply", "-f", "-",
            stdin=servers.filled(
                MANIFEST, NAMESPACE=namespace, IMAGE=image, PORT=str(PORT), VOLUME=volume
            ),
        )  # fmt: skip
        made.wait_ready()
        yield made
