"""Kubeconfig files whose certificates are inside, so that one file is all a client needs."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import yaml

from e2e.cluster.pki import KeyPair


@dataclass(frozen=True)
class Kubeconfig:
    """Access of one user to one cluster."""

    cluster: str
    server: str
    authority: bytes
    user: str
    client: KeyPair

    def render(self) -> str:
        """Return the file's text."""
        context = {"cluster": self.cluster, "user": self.user}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": self.cluster,
                    "cluster": {
                        "server": self.server,
                        "certificate-authority-data": _data(self.authority),
                    },
                }
            ],
            "users": [
                {
                    "name": self.user,
                    "user": {
                        "client-certificate-data": _data(self.client.certificate),
                        "client-key-data": _data(self.client.key),
                    },
                }
            ],
            "contexts": [{"name": self.cluster, "context": context}],
            "current-context": self.cluster,
        }
        return yaml.safe_dump(document, sort_keys=False)


def _data(content: bytes) -> str:
    return base64.b64encode(content).decode()
