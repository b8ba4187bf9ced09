"""The whole product on one cluster: images, operator, banks; for the demo and for the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from e2e.images import engines
from e2e.images.build import DIGEST_LABEL

ROOT = Path(__file__).resolve().parent.parent
OPERATOR_NAMESPACE = "memorybank-system"
POLL_SECONDS = 0.25
T = TypeVar("T")
IMAGES = ("localhost/memorybank-app", "localhost/memorybank-operator")


class CommandFailed(RuntimeError):
    """A command ended with another code than 0; the message holds what it said."""


class Timeout(RuntimeError):
    """What was waited for did not come; the message says what was seen last."""


@dataclass(frozen=True)
class Stack:
    """One named cluster and the tools to use it."""

    cluster: str
    kubeconfig: Path
    kubectl_binary: Path
    helm_binary: Path
    tag: str = "dev"

    @classmethod
    def up(cls, cluster: str, *, tag: str = "dev", cluster_options: tuple[str, ...] = ()) -> Stack:
        """Bring the cluster up (a running one is taken as it is) and load both images into it."""
        run_module("e2e.images", "build", "--tag", tag)
        run_module("e2e.cluster", "up", "--name", cluster, *cluster_options)
        stack = cls.attach(cluster, tag=tag)
        run_module("e2e.cluster", "load", "--name", cluster, *(f"{i}:{tag}" for i in IMAGES))
        return stack

    @classmethod
    def attach(cls, cluster: str, *, tag: str = "dev") -> Stack:
        """Use a cluster that is up."""
        return cls(
            cluster=cluster,
            kubeconfig=Path(read_module("e2e.cluster", "kubeconfig", "--name", cluster)),
            kubectl_binary=Path(read_module("e2e.cluster", "binary", "kubectl")),
            helm_binary=Path(read_module("e2e.cluster", "binary", "helm")),
            tag=tag,
        )

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which kubectl and helm mean this cluster."""
        return os.environ | {"KUBECONFIG": str(self.kubeconfig)}

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl; return what it printed."""
        return self._run([str(self.kubectl_binary), *arguments], stdin=stdin, check=check)

    def helm(self, *arguments: str) -> str:
        """Run helm; return what it printed."""
        return self._run([str(self.helm_binary), *arguments])

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        """Read one object; None when there is none."""
        text = self.kubectl("-n", namespace, "get", kind, name, "-o", "json", "--ignore-not-found")
        return dict(json.loads(text)) if text.strip() else None

    def apply(self, *objects: dict[str, Any]) -> str:
        """Apply objects as a user would."""
        return self.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))

    def install_operator(
        self, *values: str, checkout: Path = ROOT, wave: int | None = None
    ) -> None:
        """Install or upgrade the operator from a checkout's chart; returns when it is available.
        `wave` is how many banks it updates at a time, unless as many as the chart says.
        """
        name = IMAGES[1]
        chart = checkout / "charts/memorybank-operator"
        made_from = (engines.find().labels(f"{name}:{self.tag}") or {}).get(DIGEST_LABEL, "")
        settings = (
            f"image.repository={name}",
            f"image.tag={self.tag}",
            # The tag stays when the image changes: this rolls the pod then, and only then.
            f"podAnnotations.memorybank\\.dev/image-inputs={made_from[:16]}",
            f"appImage={IMAGES[0]}:{self.tag}",
            *values,
        )
        self.helm(
            "upgrade", "--install", "memorybank-operator", str(chart),
            "--namespace", OPERATOR_NAMESPACE, "--create-namespace", "--wait", "--timeout", "10m",
            *(word for setting in settings for word in ("--set-string", setting)),
            *(() if wave is None else ("--set", f"updateWave={wave}")),
        )  # fmt: skip

    def leader(self) -> str:
        """Name the operator that writes: its pod, and which start of it; empty for nobody."""
        return str(self.lease().get("holderIdentity") or "")

    def lease(self) -> dict[str, Any]:
        """Return what the operators' Lease says."""
        text = self.kubectl(
            "-n", OPERATOR_NAMESPACE, "get", "lease", "memorybank-operator", "-o", "json"
        )
        return dict(json.loads(text)["spec"])

    def leading_pod(self) -> str:
        """Return the uid of the pod whose operator writes."""
        name = self.leader().rpartition("_")[0]
        return self.kubectl(
            "-n", OPERATOR_NAMESPACE, "get", "pod", name, "-o", "jsonpath={.metadata.uid}"
        )

    def wait(
        self,
        what: str,
        probe: Callable[[], T],
        *,
        seconds: float = 180,
        describe: Callable[[], object] = str,
    ) -> T:
        """Poll until `probe` answers something true; return that answer.

        Raises Timeout with what `describe` says of the state then.
        """
        deadline = time.monotonic() + seconds
        while not (answer := probe()):
            if time.monotonic() > deadline:
                raise Timeout(f"{what}: not within {seconds:g} s. {describe()}")
            time.sleep(POLL_SECONDS)
        return answer

    def audit_log(self) -> Path:
        """The API server's audit log, a JSON object per line.

        Raises CommandFailed where the cluster's kind offers none.
        """
        path = json.loads(read_module("e2e.cluster", "status", "--name", self.cluster, "--json"))
        if not path["audit_log"]:
            raise CommandFailed(f"cluster {self.cluster} offers no audit log")
        return Path(path["audit_log"])

    @contextmanager
    def port_forward(self, target: str, port: int, namespace: str) -> Iterator[int]:
        """Forward a local port to a Service or pod for as long as the context lasts."""
        with subprocess.Popen(
            [str(self.kubectl_binary), "-n", namespace, "port-forward", target, f":{port}"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                line = process.stdout.readline() if process.stdout else ""
                if "->" not in line:
                    raise CommandFailed(f"kubectl port-forward {target}: {line.strip()}")
                yield int(line.split("->")[0].rsplit(":", 1)[1])
            finally:
                process.terminate()

    def _run(self, command: list[str], *, stdin: str | None = None, check: bool = True) -> str:
        done = subprocess.run(
            command, env=self.environment, input=stdin, capture_output=True, text=True, check=False
        )
        if check and done.returncode != 0:
            words = " ".join(Path(command[0]).name.split() + command[1:4])
            raise CommandFailed(f"{words} ...: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout


def run_module(module: str, *arguments: str) -> None:
    """Run one of our own tools, showing what it prints."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, check=False)
    if done.returncode != 0:
        raise CommandFailed(f"{module} {arguments[0]} ended with code {done.returncode}")


def read_module(module: str, *arguments: str) -> str:
    """Run one of our own tools and return its one line of output."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise CommandFailed(f"{module} {arguments[0]} ended with code {done.returncode}")
    return done.stdout.strip().splitlines()[-1]
