"""A small world to plan in: objects as an API server and its controllers would leave them.

It stands in for neither in what they refuse or fill in; tests/integration does that with the real
one. Here every state can be had in a line, and thousands of them.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.update import Made, RolloutStatus
from memorybank_operator.reconcile.observed import (
    BackupReading,
    CanaryResult,
    ChildKey,
    Disk,
    FollowReading,
    KubeObject,
    Observed,
)
from memorybank_operator.reconcile.plan import plan
from memorybank_operator.reconcile.steps import Apply, Create, Delete, Mark, Plan, Problem, Share
from memorybank_operator.resources import names
from memorybank_operator.resources.backend import OLLAMA
from memorybank_operator.resources.context import RenderSettings
from memorybank_operator.resources.image import image_of
from memorybank_operator.resources.postgres_cluster import address_secret
from memorybank_operator.status.reduce import reduce
from memorybank_operator.status.serving import serving

SETTINGS = RenderSettings(
    app_image="localhost/memorybank-app:dev",
    cluster_domain="cluster.local",
    installed=frozenset({"HTTPRoute", "Cluster", "ServiceMonitor", "PrometheusRule"}),
)
KEY = "mb_" + "k" * 43
OTHER_KEY = "mb_" + "o" * 43
RING = json.dumps({"active": "first", "keys": {"first": base64.b64encode(b"r" * 32).decode()}})
OTHER_RING = RING.replace("first", "other").replace("cnJy", "b29v")
NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
DEADLINE = timedelta(seconds=600)

CLASSES: dict[str, KubeObject] = {
    "standard": {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "standard",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "allowVolumeExpansion": True,
    },
    "rigid": {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "rigid"},
    },
}
DATABASE_URL = "postgresql://bank:p-not-a-secret@db.data.svc:5432/memories"
IN_POSTGRES: dict[str, Any] = {
    "storage": {
        "engine": "postgres",
        "postgres": {"urlSecretRef": {"name": "database", "key": "url"}},
    }
}
"""The spec of a bank whose database is that of `named_secrets`."""
POINTS_OF_POSTGRES: dict[str, Any] = IN_POSTGRES | {
    "backup": {
        "destination": {"volume": {"claimName": "backups", "path": "banks"}},
        "points": {"schedule": "0 * * * *", "expireAfter": "48h"},
    }
}
"""The spec of one that has recovery points."""
CERTIFICATE = "-----BEGIN CERTIFICATE-----\neA==\n-----END CERTIFICATE-----\n"
BUCKET_KEYS = {
    "accessKeyId": "AKIA-not-a-secret",
    "secretAccessKey": "s-not-a-secret",
    "ca.crt": CERTIFICATE,
    "customerKey": base64.b64encode(b"not a secret, but 32 bytes long.").decode(),
}
BACKED_UP: dict[str, Any] = {
    "backup": {
        "destination": {
            "s3": {
                "bucket": "memories",
                "endpoint": "https://s3.data.svc:9000",
                "secretRef": {"name": "bucket"},
                "caSecretRef": {"name": "bucket"},
                "encryption": {"customerKeySecretRef": {"name": "bucket"}},
            }
        }
    }
}
"""The spec of a bank whose backups are in a bucket that `named_secrets` opens."""
FOLLOWING: dict[str, Any] = BACKED_UP | {
    "standby": {"fromBank": {"name": "notes", "namespace": "production"}}
}
"""The spec of a standby of a bank whose backups are there, too."""


def secret_with(name: str, **entries: str) -> dict[str, Any]:
    """A Secret with these entries."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in entries.items()}
    return {"kind": "Secret", "metadata": {"name": name, "uid": name}, "data": data}


def bank_body(
    spec: Mapping[str, Any] | None = None,
    *,
    status: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> dict[str, Any]:
    """A MemoryBank as the API server shows it."""
    return {
        "apiVersion": constants.API_VERSION,
        "kind": constants.KIND,
        "metadata": {"name": "agents", "namespace": "team", "uid": "uid-1", "generation": 1}
        | metadata,
        "spec": dict(spec or {}),
        "status": dict(status or {"observedGeneration": -1}),
    }


def bank(
    spec: Mapping[str, Any] | None = None,
    *,
    status: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> MemoryBank:
    """The same, parsed."""
    return MemoryBank.parse(bank_body(spec, status=status, **metadata))


def that_takes_none(of: MemoryBank) -> MemoryBank:
    """The bank whose service is known to take no changes: its pod is made for all that it has, as
    every pod was before operators knew of others.
    """
    made = Made(
        revision="unknown", generation=of.generation, since=NOW,
        image=image_of(of.spec, SETTINGS), takes_changes=False,
    )  # fmt: skip
    status = of.status.model_copy(update={"rollout": RolloutStatus(current=made)})
    return of.model_copy(update={"status": status})


@dataclass
class World:
    """What exists around one bank. Changing it is what tests do."""

    children: dict[ChildKey, dict[str, Any]] = field(default_factory=dict)
    pods: list[dict[str, Any]] = field(default_factory=list)
    storage_classes: dict[str, KubeObject] = field(default_factory=lambda: dict(CLASSES))
    admin_key_secret: dict[str, Any] | None = None
    named_secrets: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "database": secret_with("database", url=DATABASE_URL),
            "bucket": secret_with("bucket", **BUCKET_KEYS),
        }
    )
    tls_secret: dict[str, Any] | None = None
    canary: CanaryResult | None = None
    disk: Disk | None = None
    complaint: str = ""
    degraded: tuple[tuple[str, str], ...] = ()
    backup: BackupReading | None = None
    follow: FollowReading | None = None
    readers: FollowReading | None = None
    read_pods: list[dict[str, Any]] = field(default_factory=list)
    jobs: dict[str, KubeObject] = field(default_factory=dict)
    job_pods: tuple[KubeObject, ...] = ()
    backups: tuple[KubeObject, ...] = ()
    halted: str = ""
    growth_refused: str = ""
    settings: RenderSettings = SETTINGS
    shared: dict[str, Any] = field(default_factory=dict)
    """Fields of the Deployment's spec that stay when we do not ask for them any more."""
    made: int = 0

    def observed(self) -> Observed:
        return Observed(
            children=copy.deepcopy(self.children),
            pods=tuple(copy.deepcopy(self.pods)),
            storage_classes=self.storage_classes,
            admin_key_secret=self.admin_key_secret,
            named_secrets=self.named_secrets,
            tls_secret=self.tls_secret,
            canary=self.canary,
            disk=self.disk,
            complaint=self.complaint,
            degraded=self.degraded,
            backup=self.backup,
            follow=self.follow,
            readers=self.readers,
            read_pods=tuple(copy.deepcopy(self.read_pods)),
            growth_refused=self.growth_refused,
            jobs=self.jobs,
            job_pods=self.job_pods,
            backups=self.backups,
            halted=self.halted,
        )

    def plan(self, of: MemoryBank, *, key: str = KEY, ring: str = RING) -> Plan:
        return plan(of, self.observed(), self.settings, lambda: key, lambda: ring)

    def status(
        self,
        of: MemoryBank,
        *,
        now: datetime = NOW,
        failure: Problem | None = None,
        deadline: timedelta = DEADLINE,
    ) -> dict[str, Any]:
        return reduce(
            of, self.observed(), self.plan(of), failure=failure, now=now, progress_deadline=deadline
        )

    def execute(self, planned: Plan) -> None:
        for step in planned.steps:
            match step:
                case Apply(body):
                    self._put(body)
                case Create(body):
                    if _key(body) not in self.children:
                        self._put(body)
                case Mark(key, version, changes):
                    metadata = self.children[key]["metadata"]
                    assert metadata.get("resourceVersion", "") == version
                    metadata |= copy.deepcopy(
                        {
                            name: {**metadata.get(name, {}), **value} if name == "labels" else value
                            for name, value in changes.items()
                        }
                    )
                case Share(body):
                    live = self.children[_key(body)]
                    assert live["metadata"]["uid"] == body["metadata"]["uid"]
                    self.shared = body["spec"]
                case Delete(key, uid):
                    assert self.children.pop(key)["metadata"]["uid"] == uid

    def converge(self, of: MemoryBank, *, key: str = KEY, ring: str = RING) -> Plan:
        """Plan and execute until nothing is left to do; return the last plan."""
        for _ in range(5):
            planned = self.plan(of, key=key, ring=ring)
            if not planned.steps:
                return planned
            self.execute(planned)
        raise AssertionError(f"the plan does not get empty: {planned.steps}")

    def _put(self, body: KubeObject) -> None:
        key, applied = _key(body), copy.deepcopy(dict(body))
        self.made += 1
        before = self.children.get(
            key, {"metadata": {"uid": f"child-{self.made}", "generation": 0}}
        )
        if "storageClassName" in before.get("spec", {}):  # by the API server, for the default
            applied["spec"] = {"storageClassName": before["spec"]["storageClassName"]} | dict(
                applied["spec"]
            )
        if body["kind"] == "Deployment" and "replicas" not in applied["spec"]:
            autoscaled = constants.ANNOTATION_AUTOSCALED in before["metadata"].get(
                "annotations", {}
            )
            kept = before["spec"]["replicas"] if autoscaled else self.shared.get("replicas", 1)
            applied["spec"]["replicas"] = kept
        changed = before.get("spec") != applied.get("spec")
        generation = before["metadata"]["generation"] + int(changed)
        server = {"uid": before["metadata"]["uid"], "generation": generation}
        applied["metadata"] |= server
        if "status" in before:
            applied["status"] = before["status"]
        self.children[key] = applied

    def load_model(self, of: MemoryBank) -> None:
        """Let the bank's own Ollama, if it has one, start and load its model."""
        server = self.children.get(OLLAMA.server(of))
        if server is not None:
            count = server["spec"]["replicas"]
            revision = f"agents-ollama-{server['metadata']['generation']}"
            server["status"] = {
                "observedGeneration": server["metadata"]["generation"],
                "currentRevision": revision,
                "updateRevision": revision,
                **(dict.fromkeys(("replicas", "readyReplicas"), count) if count else {}),
            }

    def start_database(self, of: MemoryBank) -> None:
        """Let CloudNativePG start the bank's own servers of PostgreSQL, if it has any."""
        cluster = self.children.get(names.postgres_cluster(of))
        if cluster is not None:
            cluster["status"] = {
                "phase": "Cluster in healthy state",
                "conditions": [{"type": "Ready", "status": "True"}],
            }
            name = address_secret(of)
            self.named_secrets = {**self.named_secrets, name: secret_with(name, uri=DATABASE_URL)}

    def start_servers(self, of: MemoryBank) -> None:
        """Let all servers of the bank's own come to what they are for, and its load balancer."""
        self.load_model(of)
        self.start_database(of)
        self.give_address(of)

    def converge_with_servers(self, of: MemoryBank) -> Plan:
        """The same, and on once the bank's own servers are there and have its model."""
        self.converge(of)
        self.start_servers(of)
        return self.converge(of)

    def run(self, of: MemoryBank) -> None:
        """Let the controllers of Deployment and volume do their work, and the canary pass."""
        deployment = self.deployment(of)
        if of.spec.storage.has_volume:
            claim = self.volume_claim(of)
            claim["spec"].setdefault("storageClassName", "standard")
            size = claim["spec"]["resources"]["requests"]["storage"]
            claim["status"] = {"phase": "Bound", "capacity": {"storage": size}}
        count, template = deployment["spec"]["replicas"], deployment["spec"]["template"]
        counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
        deployment["status"] = {
            "observedGeneration": deployment["metadata"]["generation"],
            **(dict.fromkeys(counts, count) if count else {}),
        }
        self.pods = [running_pod(template, f"pod-{number}") for number in range(1, count + 1)]
        self.canary = self.passed(of)

    def give_address(self, of: MemoryBank, *ingress: dict[str, str]) -> None:
        """Let the bank's load balancer, if it has one, be reached at an address."""
        if of.spec.expose.load_balancer is not None:
            given = list(ingress or [{"ip": "203.0.113.7"}])
            service = self.children[names.external_service(of)]
            service["status"] = {"loadBalancer": {"ingress": given}}

    def passed(self, of: MemoryBank, **changes: Any) -> CanaryResult:
        """The result of a canary that passed for the bank as it is now."""
        result = CanaryResult(
            ok=True,
            generation=of.generation,
            revision=self.plan(of).revision,
            serving=serving(self.pods),
            configuration=self.configuration(of),
            checked_at=NOW,
            version="0.1.0",
        )
        return replace(result, **changes)

    def configuration(self, of: MemoryBank) -> str:
        """The fingerprint of what the pod is to run by."""
        wanted = self.plan(of).configuration
        return "" if wanted is None else wanted.fingerprint

    def deployment(self, of: MemoryBank) -> dict[str, Any]:
        return self.children[names.deployment(of)]

    def volume_claim(self, of: MemoryBank) -> dict[str, Any]:
        return self.children[names.volume_claim(of)]

    def ring(self, of: MemoryBank) -> dict[str, Any]:
        return self.children[names.key_ring(of)]

    def secret(self, of: MemoryBank) -> dict[str, Any]:
        return self.children[names.key_secret(of)]


def running(of: MemoryBank) -> World:
    """A world in which the bank runs and proved it."""
    world = World()
    world.converge_with_servers(of)
    world.run(of)
    return world


def running_pod(template: KubeObject, uid: str = "pod-1") -> dict[str, Any]:
    """A pod of that template that serves."""
    metadata = copy.deepcopy(dict(template["metadata"]))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata | {"name": f"agents-{uid}", "namespace": "team", "uid": uid},
        "spec": copy.deepcopy(template["spec"]),
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "Ready", "status": "True"},
            ],
            "containerStatuses": [
                {
                    "name": "memorybank",
                    "image": template["spec"]["containers"][0]["image"],
                    "containerID": "containerd://1",
                    "ready": True,
                    "started": True,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": "2026-01-01T11:59:00Z"}},
                    "lastState": {},
                }
            ],
        },
    }


def unready(pod: dict[str, Any], state: Mapping[str, Any], **changes: Any) -> None:
    """Make a pod one whose container is in another state and does not serve."""
    for condition in pod["status"]["conditions"]:
        if condition["type"] == "Ready":
            condition["status"] = "False"
    pod["status"]["containerStatuses"][0] |= {
        "ready": False,
        "started": False,
        "state": dict(state),
        **changes,
    }


def _key(body: KubeObject) -> ChildKey:
    return ChildKey(body["kind"], body["metadata"]["name"])
