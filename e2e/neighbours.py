"""Pods that do nothing by themselves, by which tests try who reaches whom."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from e2e.stack import Stack

TRY_SECONDS = 3
"""A connection that nothing drops is there within milliseconds; a busy machine takes longer."""
CONNECT = f"""
import json, socket, sys
def tried(target):
    try:
        socket.create_connection(tuple(target), {TRY_SECONDS}).close()
    except TimeoutError:
        return "blocked"
    except OSError as error:
        return str(error)
    return "open"
print(json.dumps([tried(each) for each in json.loads(sys.argv[1])]))
"""
IDLE = "import time; time.sleep(86400)"


@dataclass(frozen=True)
class Neighbour:
    """A pod that tries to connect."""

    stack: Stack
    namespace: str
    name: str

    def python(self, program: str, *arguments: str, interpreter: str = "python3") -> str:
        """Run a program in the pod; return what it prints."""
        return self.stack.kubectl(
            "-n", self.namespace, "exec", self.name, "--", interpreter, "-c", program, *arguments
        ).strip()

    def connects(self, *targets: tuple[str, int]) -> list[str]:
        """Try to connect to each; return `open`, `blocked` or what else came of it."""
        found: list[str] = json.loads(self.python(CONNECT, json.dumps(targets)))
        return found

    def address(self) -> str:
        """Return the pod's address."""
        pod = self.stack.get("pod", self.name, self.namespace)
        if pod is None:
            raise LookupError(f"pod {self.name} does not exist")
        return str(pod["status"]["podIP"])


def pod(namespace: str, name: str, image: str, labels: dict[str, str]) -> dict[str, Any]:
    """A pod that has Python and does nothing."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "python",
                    "image": image,
                    "command": ["python3", "-c", IDLE],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
