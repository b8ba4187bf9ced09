"""`kubectl memorybank doctor` on a real API server: each broken set-up is named, with its cure, and
one that is whole is not.

No node and no controllers run here, so statuses are written as these would.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from memorybank_operator import constants
from memorybank_operator.api import crd
from tests.integration.refusals import Banks
from tests.integration.test_kubectl_plugin import Run, banks, environment, http, run, tell
from tests.operator.status.states import STATES

__all__ = ["banks", "environment", "http", "run"]

SYSTEM = "memorybank-system"
OURS = {
    constants.LABEL_MANAGED_BY: constants.FIELD_MANAGER,
    constants.LABEL_BANK: "agents",
}
IMAGE = "registry.example/app:1"
LONG_AGO = "2026-01-01T00:00:00.000000Z"


class Cluster:
    """The API server, written to as controllers and a kubelet do."""

    def __init__(self, client: httpx.Client, namespace: str) -> None:
        self.client, self.namespace = client, namespace
        self._made: list[str] = []

    def make(
        self,
        path: str,
        body: dict[str, Any],
        *,
        status: dict[str, Any] | None = None,
        goes: bool = False,
    ) -> None:
        """Make an object, which goes after the test where others would see it."""
        name = body["metadata"]["name"]
        answer = self.client.post(path, json=body)
        assert answer.is_success, answer.text
        if goes:
            self._made.append(f"{path}/{name}")
        if status is not None:
            self.change(f"{path}/{name}/status", {"status": status})

    def change(self, path: str, changes: dict[str, Any]) -> None:
        """Merge changes into an object."""
        media = {"Content-Type": "application/merge-patch+json"}
        answer = self.client.patch(path, content=json.dumps(changes), headers=media)
        assert answer.is_success, answer.text

    def clean(self) -> None:
        """Remove what others would see."""
        for path in reversed(self._made):
            self.client.delete(path)

    def operator(self, *, available: int = 1, watches: str = "") -> None:
        """Have an operator whose pods run, or do not."""
        self.client.post("/api/v1/namespaces", json={"metadata": {"name": SYSTEM}})
        variable = {"name": "MEMORYBANK_OPERATOR_NAMESPACES", "value": watches}
        labels = {"app.kubernetes.io/name": "memorybank-operator"}
        body = deployment("memorybank-operator", labels, env=[variable])
        path = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments"
        status = {"replicas": 1, "readyReplicas": available, "availableReplicas": available}
        self.make(path, body, status=status, goes=True)

    def lease(self, renewed: str) -> None:
        """Have a Lease that was renewed then."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases"
        spec = {"holderIdentity": "one", "leaseDurationSeconds": 15, "renewTime": renewed}
        self.make(path, {"metadata": {"name": "memorybank-operator"}, "spec": spec}, goes=True)

    def pod(self, *, node: str = "", **status: Any) -> None:
        """Have a pod of the bank, on a node where one is named."""
        spec: dict[str, Any] = {"containers": [{"name": "memorybank", "image": IMAGE}]}
        spec |= {"nodeName": node} if node else {}
        body = {"metadata": {"name": "agents-1", "labels": OURS}, "spec": spec}
        self.make(f"/api/v1/namespaces/{self.namespace}/pods", body, status=status)

    def container(self, *, node: str = "", **state: Any) -> None:
        """Have a pod of the bank whose container is in a state."""
        told = {
            "name": "memorybank", "image": IMAGE, "imageID": "", "ready": False, "restartCount": 1,
        }  # fmt: skip
        self.pod(node=node, containerStatuses=[told | state])


def deployment(name: str, labels: dict[str, str], *, env: Any = ()) -> dict[str, Any]:
    container = {"name": "main", "image": IMAGE, "env": list(env)}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


@pytest.fixture
def cluster(http: httpx.Client, namespace: str) -> Iterator[Cluster]:
    made = Cluster(http, namespace)
    yield made
    made.clean()


@pytest.fixture
def found(run: Run) -> Callable[..., list[dict[str, str]]]:
    """Runs it; returns what it found."""

    def examine(*words: str) -> list[dict[str, str]]:
        done = run("doctor", *words, "-o", "json")
        findings = list(json.loads(done.stdout)["findings"])
        assert done.returncode == (1 if findings else 0), done.stderr
        return findings

    return examine


Setup = Callable[[Cluster, Banks], None]


def ready(cluster: Cluster, banks: Banks) -> None:
    """A bank that is well, and an operator that looks after it."""
    cluster.operator()
    cluster.lease(f"{datetime.now(UTC) + timedelta(minutes=5):%Y-%m-%dT%H:%M:%S.%fZ}")
    tell(banks, "agents", "running")


def with_spec(**spec: Any) -> Setup:
    def make(cluster: Cluster, banks: Banks) -> None:
        cluster.operator()
        banks.create_spec(spec, name="agents")

    return make


def no_operator(cluster: Cluster, banks: Banks) -> None:
    tell(banks, "agents", "running")


def operator_down(cluster: Cluster, banks: Banks) -> None:
    cluster.operator(available=0)
    tell(banks, "agents", "running")


def nobody_leads(cluster: Cluster, banks: Banks) -> None:
    cluster.operator()
    cluster.lease(LONG_AGO)
    tell(banks, "agents", "running")


def secret_without_the_key(cluster: Cluster, banks: Banks) -> None:
    path = f"/api/v1/namespaces/{cluster.namespace}/secrets"
    cluster.make(path, {"metadata": {"name": "mine"}, "stringData": {"other": "hidden-value"}})
    with_spec(auth={"adminKeySecretRef": {"name": "mine", "key": "token"}})(cluster, banks)


def claim_pending(cluster: Cluster, banks: Banks) -> None:
    ready(cluster, banks)
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    body = {"metadata": {"name": "agents-data", "labels": OURS}, "spec": spec}
    path = f"/api/v1/namespaces/{cluster.namespace}/persistentvolumeclaims"
    cluster.make(path, body, status={"phase": "Pending"})


def pod_refused(cluster: Cluster, banks: Banks) -> None:
    ready(cluster, banks)
    message = 'pods "agents-1" is forbidden: violates PodSecurity "restricted:latest"'
    condition = {
        "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message,
    }  # fmt: skip
    path = f"/apis/apps/v1/namespaces/{cluster.namespace}/deployments"
    cluster.make(path, deployment("agents", OURS), status={"conditions": [condition]})


def pod_with(**state: Any) -> Setup:
    def make(cluster: Cluster, banks: Banks) -> None:
        ready(cluster, banks)
        cluster.container(**state)

    return make


def unschedulable(cluster: Cluster, banks: Banks) -> None:
    ready(cluster, banks)
    message = "0/3 nodes are available: 3 Insufficient memory."
    condition = {
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
    }  # fmt: skip
    cluster.pod(phase="Pending", conditions=[condition])


def one_host_for_two(cluster: Cluster, banks: Banks) -> None:
    ready(cluster, banks)
    for name in ("first", "second"):
        banks.create_spec({"expose": {"ingress": {"host": "memory.example.org"}}}, name=name)


def bucket_refused(cluster: Cluster, banks: Banks) -> None:
    ready(cluster, banks)
    generation = banks.create_spec({}, name="backed")["metadata"]["generation"]
    conditions = [
        {
            "type": kind, "status": status, "reason": reason, "message": message,
            "observedGeneration": generation, "lastTransitionTime": "2026-01-01T12:00:00Z",
        }
        for kind, status, reason, message in (
            ("Ready", "True", "CanaryPassed", "found"),
            ("BackupHealthy", "False", "BackupFailing", "the bucket memories refuses: 403"),
        )
    ]  # fmt: skip
    told = {"observedGeneration": generation, "conditions": conditions}
    banks.change("backed/status", {"status": told})


def key_expired(cluster: Cluster, banks: Banks) -> None:
    ready(cluster, banks)
    path = f"/apis/{constants.API_VERSION}/namespaces/{cluster.namespace}/{crd.KEYS_PLURAL}"
    body = {
        "apiVersion": constants.API_VERSION, "kind": constants.KEY_KIND,
        "metadata": {"name": "app"}, "spec": {"bankRef": {"name": "agents"}},
    }  # fmt: skip
    message = "spec.expiresAt: the key ended at 2026-01-01T00:00:00Z: name a later moment"
    conditions = [
        {
            "type": kind, "status": status, "reason": "KeyExpired", "message": message,
            "observedGeneration": 1, "lastTransitionTime": "2026-01-01T12:00:00Z",
        }
        for kind, status in (("Ready", "False"), ("Stalled", "True"))
    ]  # fmt: skip
    cluster.make(path, body, status={"observedGeneration": 1, "conditions": conditions})


def told_state(state: str) -> Setup:
    def make(cluster: Cluster, banks: Banks) -> None:
        cluster.operator()
        tell(banks, "agents", state)

    return make


BROKEN: dict[str, tuple[Setup, str, str, str]] = {
    "no operator": (no_operator, "No operator runs", "no Deployment", "helm upgrade --install"),
    "operator down": (operator_down, "operator does not run", "0 of 1 pods", "kubectl logs"),
    "nobody leads": (nobody_leads, "does not lead", "nobody renewed it", "rollout restart"),
    "Secret missing": (
        with_spec(auth={"adminKeySecretRef": {"name": "mine", "key": "token"}}),
        "A Secret that a bank needs is missing",
        "spec.auth.adminKeySecretRef: Secret mine is not there",
        "kubectl create secret generic mine",
    ),
    "Secret without the key": (
        secret_without_the_key, "is missing", "Secret mine has no key token", "--from-file=token=",
    ),
    "storage class missing": (
        with_spec(storage={"volume": {"storageClassName": "fast"}}),
        "A storage class does not exist",
        "spec.storage.volume.storageClassName is fast",
        "kubectl get storageclass",
    ),
    "volume pending": (claim_pending, "Nobody provides a volume", "class fast", "storageClassName"),
    "Ingress class missing": (
        with_spec(expose={"ingress": {"host": "a.example.org", "className": "edge"}}),
        "Nobody serves the host of a bank",
        "spec.expose.ingress.className is edge",
        "spec.expose.ingress",
    ),
    "pod refused": (pod_refused, "A pod is refused", "PodSecurity", "describe quota"),
    "no node": (unschedulable, "No node takes a pod", "Insufficient memory", "spec.resources"),
    "image": (
        pod_with(state={"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}),
        "An image cannot be pulled", IMAGE, "spec.imagePullSecrets",
    ),
    "out of memory": (
        pod_with(
            state={"waiting": {"reason": "CrashLoopBackOff"}},
            lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
        ),
        "needs more memory", "OOMKilled", "spec.resources.limits.memory",
    ),
    "crash": (
        pod_with(
            state={"waiting": {"reason": "CrashLoopBackOff"}},
            lastState={"terminated": {"exitCode": 2, "message": "config: too many hosts"}},
        ),
        "ends again and again", "exit code 2: config: too many hosts", "--previous",
    ),
    "settings without a source": (
        pod_with(state={"waiting": {"reason": "CreateContainerConfigError", "message": "no x"}}),
        "lacks what its settings name", "no x", "spec.env",
    ),
    "one host for two": (one_host_for_two, "one host name", "memory.example.org", "kubectl edit"),
    "bucket refused": (bucket_refused, "BackupHealthy", "refuses: 403", "spec.backup"),
    "key expired": (key_expired, "does not open its bank", "KeyExpired", "name a later moment"),
    "name taken": (told_state("name taken"), "not ready", "NameConflict", "Delete or rename"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_set_up_is_named_with_its_cure(
    name: str, cluster: Cluster, banks: Banks, found: Callable[..., list[dict[str, str]]]
) -> None:
    setup, what, seen, cure = BROKEN[name]
    setup(cluster, banks)
    findings = found()
    fitting = [
        each
        for each in findings
        if what in each["what"] and seen in each["seen"] and cure in each["cure"]
    ]
    assert len(fitting) == 1, findings
    assert "hidden-value" not in json.dumps(findings)


def test_a_bank_that_is_well_has_no_fault(
    cluster: Cluster, banks: Banks, found: Callable[..., list[dict[str, str]]], run: Run
) -> None:
    ready(cluster, banks)
    assert found() == []
    done = run("doctor", "agents")
    assert done.returncode == 0
    assert "No faults found. Banks examined:" in done.stdout


@pytest.mark.parametrize("state", ["hibernated", "paused and fine", "awaits approval"])
def test_what_somebody_asked_for_is_no_fault(
    state: str, cluster: Cluster, banks: Banks, found: Callable[..., list[dict[str, str]]]
) -> None:
    assert STATES[state].phase in {"Stopped", "Paused", "Pending"}
    cluster.operator()
    tell(banks, "agents", state)
    assert found() == []


def test_who_is_not_there_gets_the_nearest_name(banks: Banks, run: Run) -> None:
    banks.create_spec({}, name="agents")
    done = run("doctor", "agent")
    assert done.returncode == 4
    assert "did you mean agents?" in done.stderr
