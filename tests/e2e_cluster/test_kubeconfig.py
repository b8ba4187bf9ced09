"""A kubeconfig is one file with all that a client needs."""

from __future__ import annotations

import base64

import yaml

from e2e.cluster.kubeconfig import Kubeconfig
from e2e.cluster.pki import KeyPair


def test_a_kubeconfig_carries_server_trust_and_identity() -> None:
    text = Kubeconfig(
        cluster="memorybank-dev",
        server="https://10.130.0.2:6443",
        authority=b"authority",
        user="admin",
        client=KeyPair(b"certificate", b"key"),
    ).render()
    document = yaml.safe_load(text)
    context = document["contexts"][0]["context"]
    assert document["current-context"] == document["contexts"][0]["name"] == "memorybank-dev"
    assert context == {"cluster": "memorybank-dev", "user": "admin"}
    cluster, user = document["clusters"][0], document["users"][0]
    assert (cluster["name"], user["name"]) == (context["cluster"], context["user"])
    assert cluster["cluster"]["server"] == "https://10.130.0.2:6443"
    decoded = [
        base64.b64decode(data)
        for data in (
            cluster["cluster"]["certificate-authority-data"],
            user["user"]["client-certificate-data"],
            user["user"]["client-key-data"],
        )
    ]
    assert decoded == [b"authority", b"certificate", b"key"]
