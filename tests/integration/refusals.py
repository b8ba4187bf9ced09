"""What people write wrong, and the words by which the API server must refuse it.

`python -m tests.integration.refusals` shows docs/reference/refusals.md as an API server of its own
makes it; `--write` writes it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from e2e.cluster import apiserver
from e2e.cluster.apiserver import ApiServer
from memorybank_operator import constants
from memorybank_operator.api import crd
from memorybank_operator.kube.connection import from_kubeconfig
from scripts.reference import markdown
from tests.support.apiserver import establish

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/refusals.md"
WRITER = "python -m tests.integration.refusals --write"
INTRODUCTION = """
Each line was sent to a Kubernetes API server, which answered so; nothing of it is stored. kubectl
puts the name of the bank before it and, with some of them, that other rules were not looked at.
What an API server cannot know, such as a Secret that is not there, is told by the condition
[Ready](conditions.md).
""".strip()


def manifest(spec: dict[str, Any] | None, *, name: str = "agents") -> dict[str, Any]:
    """Return a bank as a user writes it."""
    body: dict[str, Any] = {
        "apiVersion": constants.API_VERSION,
        "kind": constants.KIND,
        "metadata": {"name": name},
    }
    return body if spec is None else body | {"spec": spec}


class Refused(Exception):
    """The API server did not take it; the text is its message."""


@contextmanager
def api(server: ApiServer) -> Iterator[httpx.Client]:
    """The plain API with our CRD, so that a refusal is seen as every client gets it."""
    connection = from_kubeconfig(server.kubeconfig)
    with httpx.Client(
        base_url=connection.server, verify=connection.ssl, trust_env=False, timeout=30
    ) as client:
        establish(client, crd.build())
        yield client


class Banks:
    """MemoryBanks of one namespace, as a user with the right to do everything sees them."""

    def __init__(self, http: httpx.Client, namespace: str) -> None:
        self._http = http
        self._root = f"/apis/{constants.API_VERSION}/namespaces/{namespace}/{crd.PLURAL}"

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """Create a bank as `kubectl create` does. Raises Refused."""
        return self._send("POST", "", body, "application/json")

    def create_spec(self, spec: dict[str, Any] | None, *, name: str = "agents") -> dict[str, Any]:
        """Create a bank of this spec. Raises Refused."""
        return self.create(manifest(spec, name=name))

    def change(self, path: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Merge changes into a bank, or into its scale or status. Raises Refused."""
        return self._send("PATCH", f"/{path}", changes, "application/merge-patch+json")

    def delete(self, name: str) -> dict[str, Any]:
        """Delete a bank, as far as its finalizers let it go; return what is there of it then."""
        return self._send("DELETE", f"/{name}", {}, "application/json")

    def table(self) -> dict[str, Any]:
        """Return what `kubectl get` shows."""
        accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        return dict(self._http.get(self._root, headers=accept).json())

    def _send(self, verb: str, path: str, body: dict[str, Any], media: str) -> dict[str, Any]:
        answer = self._http.request(
            verb,
            self._root + path,
            params={"fieldValidation": "Strict"},  # as kubectl does
            content=json.dumps(body),
            headers={"Content-Type": media},
        )
        if answer.status_code in (400, 422):
            raise Refused(answer.json()["message"])
        assert answer.is_success, answer.text
        return dict(answer.json())


def own_ollama(managed: dict[str, Any]) -> dict[str, Any]:
    """A bank with an Ollama of its own."""
    return manifest({"embedding": {"ollama": {"managed": managed}}})


def gateways(*parents: dict[str, Any]) -> dict[str, Any]:
    """A bank behind these Gateways."""
    route = {"parentRefs": parents, "hostnames": ["memory.example.org"]}
    return manifest({"expose": {"gateway": route}})


ADDRESS = {"urlSecretRef": {"name": "database", "key": "url"}}
POSTGRES = {"engine": "postgres", "postgres": ADDRESS}
OWN_POSTGRES = {"engine": "postgres", "postgres": {"cluster": {}}}
CHROMA = {"provider": "chroma", "chroma": {"url": "http://chroma:8000"}}
JWT = {"issuer": "i", "audience": ["a"], "jwksUrl": "https://login.example.org/keys"}
BUCKET = {"s3": {"bucket": "memories"}}


def backed_up(destination: dict[str, Any] = BUCKET, **more: Any) -> dict[str, Any]:
    """Return a bank with backups."""
    return manifest({"backup": {"destination": destination, **more}})


def in_bucket(**more: Any) -> dict[str, Any]:
    """Return a bank with backups in a bucket, of which this is said."""
    return backed_up({"s3": {"bucket": "memories", **more}})


def begun_with(**restore: Any) -> dict[str, Any]:
    """Return a bank that begins with this backup."""
    return manifest({"backup": {"destination": BUCKET}, "bootstrap": {"restore": restore}})


LONG_NAME = "a-name-of-forty-one-characters-is-too-long"

WRONG: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "unknown field": (manifest({"engine": "sqlite"}), ('unknown field "spec.engine"',)),
    "misspelt field": (
        manifest({"storage": {"volume": {"sice": "2Gi"}}}),
        ('unknown field "spec.storage.volume.sice"',),
    ),
    "wrong type": (manifest({"replicas": "three"}), ("spec.replicas", "integer")),
    "text for a switch": (manifest({"paused": "yes"}), ("spec.paused", "boolean")),
    "bad quantity": (
        manifest({"storage": {"volume": {"size": "lots"}}}),
        ("spec.storage.volume.size", "such as 1Gi"),
    ),
    "tiny volume": (
        manifest({"storage": {"volume": {"size": "1Ki"}}}),
        ("spec.storage.volume.size", "at least 10Mi"),
    ),
    "negative volume": (
        manifest({"storage": {"volume": {"size": "-1Gi"}}}),
        ("spec.storage.volume.size", "at least 10Mi"),
    ),
    "growth without an end": (
        manifest({"storage": {"volume": {"autoGrow": {"enabled": True}}}}),
        ("spec.storage.volume.autoGrow", "at the most, such as 20Gi"),
    ),
    "growth to less than there is": (
        manifest({"storage": {"volume": {"autoGrow": {"enabled": True, "maxSize": "512Mi"}}}}),
        ("spec.storage.volume.autoGrow.maxSize", "raise it, or lower the size"),
    ),
    "growth by no step": (
        manifest({"storage": {"volume": {"autoGrow": {"step": "0%"}}}}),
        ("spec.storage.volume.autoGrow.step", "from 1% to 100%"),
    ),
    "growth of a disk that is full": (
        manifest({"storage": {"volume": {"autoGrow": {"thresholdPercent": 100}}}}),
        ("spec.storage.volume.autoGrow.thresholdPercent", "95"),
    ),
    "replicas on sqlite": (
        manifest({"replicas": 3}),
        ("spec.replicas", "set it to 1, or to 0 to stop the bank", "storage.engine postgres"),
    ),
    "negative replicas": (
        manifest({"replicas": -1}),
        ("spec.replicas", "greater than or equal to 0"),
    ),
    "other engine": (
        manifest({"storage": {"engine": "oracle"}}),
        ("spec.storage.engine", 'supported values: "sqlite", "postgres"'),
    ),
    "postgres without a database": (
        manifest({"storage": {"engine": "postgres"}}),
        ("spec.storage.engine", "spec.storage.postgres must say which database"),
    ),
    "postgres without its address": (
        manifest({"storage": {"engine": "postgres", "postgres": {"readers": 8}}}),
        ("spec.storage.postgres", "name one of both", "cluster: {}"),
    ),
    "postgres at an address and of its own": (
        manifest({"storage": POSTGRES | {"postgres": ADDRESS | {"cluster": {}}}}),
        ("spec.storage.postgres", "name one of both"),
    ),
    "no server of postgres": (
        manifest({"storage": POSTGRES | {"postgres": {"cluster": {"instances": 0}}}}),
        ("spec.storage.postgres.cluster.instances", "greater than or equal to 1"),
    ),
    "servers of postgres without a size": (
        manifest({"storage": POSTGRES | {"postgres": {"cluster": {"size": "large"}}}}),
        ("spec.storage.postgres.cluster.size", "write a quantity of at least 10Mi"),
    ),
    "address of postgres in no entry": (
        manifest(
            {"storage": POSTGRES | {"postgres": {"urlSecretRef": {"name": "db", "key": "a/b"}}}}
        ),
        ("spec.storage.postgres.urlSecretRef.key", "write the key of an entry"),
    ),
    "database of postgres on sqlite": (
        manifest({"storage": {"postgres": ADDRESS}}),
        ("spec.storage.postgres", "set that, or remove it"),
    ),
    "volume beside postgres": (
        manifest({"storage": POSTGRES | {"volume": {"size": "20Gi"}}}),
        ("spec.storage.volume", "is for storage.engine sqlite", "remove it"),
    ),
    "growing volume beside postgres": (
        manifest(
            {"storage": POSTGRES | {"volume": {"autoGrow": {"enabled": True, "maxSize": "9Gi"}}}}
        ),
        ("spec.storage.volume", "is for storage.engine sqlite"),
    ),
    "postgres with no connection to read": (
        manifest({"storage": POSTGRES | {"postgres": ADDRESS | {"readers": 0}}}),
        ("spec.storage.postgres.readers", "greater than or equal to 1"),
    ),
    "statements without an end": (
        manifest({"storage": POSTGRES | {"postgres": ADDRESS | {"statementSeconds": 7200}}}),
        ("spec.storage.postgres.statementSeconds", "less than or equal to 3600"),
    ),
    "encryption on postgres": (
        manifest({"storage": POSTGRES, "encryption": {"enabled": True}}),
        ("spec.encryption.enabled", "encrypt the disk of the database's server"),
    ),
    "autoscaling on sqlite": (
        manifest({"autoscaling": {"maxReplicas": 3}}),
        ("spec.autoscaling", "needs storage.engine postgres", "remove it"),
    ),
    "autoscaling without an end": (
        manifest({"storage": POSTGRES, "autoscaling": {"minReplicas": 2}}),
        ("spec.autoscaling.maxReplicas", "Required value"),
    ),
    "autoscaling to fewer than there are": (
        manifest({"storage": POSTGRES, "autoscaling": {"minReplicas": 5, "maxReplicas": 3}}),
        ("spec.autoscaling.maxReplicas", "raise it, or lower minReplicas"),
    ),
    "autoscaling by nothing": (
        manifest(
            {
                "storage": POSTGRES,
                "autoscaling": {
                    "maxReplicas": 3,
                    "targetCPUUtilization": 0,
                    "targetMemoryUtilization": 0,
                },
            }
        ),
        ("spec.autoscaling.targetCPUUtilization", "or nothing decides"),
    ),
    "autoscaling beside replicas": (
        manifest({"storage": POSTGRES, "replicas": 3, "autoscaling": {"maxReplicas": 3}}),
        ("spec.replicas", "set spec.autoscaling.minReplicas"),
    ),
    "autoscaling by a share of no request": (
        manifest(
            {
                "storage": POSTGRES,
                "autoscaling": {"maxReplicas": 3},
                "resources": {"requests": {"memory": "1Gi"}},
            }
        ),
        ("spec.resources", "spec.resources.requests.cpu must be set"),
    ),
    "autoscaling by a share of no memory": (
        manifest(
            {
                "storage": POSTGRES,
                "autoscaling": {"maxReplicas": 3},
                "resources": {"requests": {"cpu": 1}},
            }
        ),
        ("spec.resources", "spec.resources.requests.memory must be set"),
    ),
    "autoscaling at an unknown speed": (
        manifest(
            {
                "storage": POSTGRES,
                "autoscaling": {
                    "maxReplicas": 3,
                    "behavior": {"scaleUp": {"selectPolicy": "Fast"}},
                },
            }
        ),
        ("spec.autoscaling.behavior.scaleUp.selectPolicy", '"Max"'),
    ),
    "chroma on postgres": (
        manifest({"storage": POSTGRES, "vector": CHROMA}),
        ("spec.vector.provider", "several pods would fill the same Chroma"),
    ),
    "pgvector on sqlite": (
        manifest({"vector": {"provider": "pgvector"}}),
        ("spec.vector.provider", "needs storage.engine postgres", "write embedded"),
    ),
    "vectors in something else": (
        manifest({"vector": {"provider": "qdrant"}}),
        ("spec.vector.provider", 'supported values: "embedded", "chroma", "pgvector"'),
    ),
    "empty image": (
        manifest({"image": ""}),
        ("spec.image", "leave it out for the operator's default"),
    ),
    "image with a space": (manifest({"image": "a b"}), ("spec.image", "registry.example/")),
    "version and image": (
        manifest({"image": "a:1", "version": "1"}),
        ("spec.version", "remove one of them"),
    ),
    "version that is no tag": (manifest({"version": "a/b"}), ("spec.version", "such as 0.1.0")),
    "too long a name": (manifest(None, name=LONG_NAME), ("metadata.name", "at most 40 characters")),
    "name that begins with a digit": (
        manifest(None, name="1bank"),
        ("metadata.name", "begin with a letter"),
    ),
    "name with a dot": (
        manifest(None, name="team.bank"),
        ("metadata.name", "letters, digits and '-'"),
    ),
    "empty storage class": (
        manifest({"storage": {"volume": {"storageClassName": ""}}}),
        ("spec.storage.volume.storageClassName", "write the name of an object"),
    ),
    "access mode for many nodes": (
        manifest({"storage": {"volume": {"accessMode": "ReadWriteMany"}}}),
        ("spec.storage.volume.accessMode", '"ReadWriteOnce"'),
    ),
    "key reference to the operator's own Secret": (
        manifest({"auth": {"adminKeySecretRef": {"name": "agents-key"}}}),
        ("spec.auth.adminKeySecretRef", "another name"),
    ),
    "key reference without a name": (
        manifest({"auth": {"adminKeySecretRef": {"key": "token"}}}),
        ("spec.auth.adminKeySecretRef.name", "Required value"),
    ),
    "body limit of nothing": (
        manifest({"limits": {"maxBodyBytes": 0}}),
        ("spec.limits.maxBodyBytes", "greater than or equal to 1024"),
    ),
    "burst of no rate": (
        manifest({"limits": {"burst": 5}}),
        ("spec.limits.burst", "set requestsPerMinute as well"),
    ),
    "burst of no tenant's rate": (
        manifest({"limits": {"requestsPerMinute": 9, "tenantBurst": 5}}),
        ("spec.limits.tenantBurst", "set tenantRequestsPerMinute as well"),
    ),
    "origin with a path": (
        manifest({"cors": {"allowedOrigins": ["https://notes.example.org/app"]}}),
        ("spec.cors.allowedOrigins[0]", "without a path"),
    ),
    "host with a port": (
        manifest({"security": {"allowedHosts": ["memory.example.org:8080"]}}),
        ("spec.security.allowedHosts[0]", "without port"),
    ),
    "public address with a path": (
        manifest({"security": {"publicUrl": "https://example.org/memory"}}),
        ("spec.security.publicUrl", "without a path"),
    ),
    "tokens of nobody": (
        manifest({"auth": {"jwt": {"audience": ["a"], "jwksUrl": "https://a.example/keys"}}}),
        ("spec.auth.jwt.issuer", "Required value"),
    ),
    "tokens for nobody": (
        manifest({"auth": {"jwt": JWT | {"audience": []}}}),
        ("spec.auth.jwt.audience", "at least 1 items"),
    ),
    "keys of a provider at no address": (
        manifest({"auth": {"jwt": JWT | {"jwksUrl": "login.example.org"}}}),
        ("spec.auth.jwt.jwksUrl", "write http:// or https://"),
    ),
    "tokens by two means": (
        manifest({"auth": {"jwt": JWT | {"secretRef": {"name": "a", "key": "b"}}}}),
        ("spec.auth.jwt", "set either spec.auth.jwt.jwksUrl"),
    ),
    "model for the built-in embedder": (
        manifest({"embedding": {"model": "other"}}),
        ("spec.embedding.provider", "are for the providers ollama and openai"),
    ),
    "embedding service without a model": (
        manifest({"embedding": {"provider": "openai"}}),
        ("spec.embedding.provider", "must name the model"),
    ),
    "ollama without an address": (
        manifest({"embedding": {"provider": "ollama", "model": "m"}}),
        ("spec.embedding.provider", "spec.embedding.ollama must say which Ollama"),
    ),
    "ollama of nobody": (
        manifest({"embedding": {"ollama": {"keepAlive": "5m"}}}),
        ("spec.embedding.ollama", "name one of both: url of an Ollama server"),
    ),
    "ollama of two": (
        manifest({"embedding": {"ollama": {"url": "http://ollama:11434", "managed": {}}}}),
        ("spec.embedding.ollama", "name one of both: url of an Ollama server"),
    ),
    "own ollama without a model": (
        manifest({"embedding": {"provider": "ollama", "ollama": {"managed": {}}}}),
        ("spec.embedding.provider", "must name the model"),
    ),
    "volume of ollama that is too small": (
        own_ollama({"storage": {"size": "1Mi"}}),
        ("spec.embedding.ollama.managed.storage.size", "at least 10Mi"),
    ),
    "image of ollama that is none": (
        own_ollama({"image": "ollama 0.17"}),
        ("spec.embedding.ollama.managed.image", "write the reference of an image"),
    ),
    "model file from nowhere": (
        own_ollama({"modelFile": {}}),
        ("spec.embedding.ollama.managed.modelFile", "name one of both: volume"),
    ),
    "model file from two places": (
        own_ollama(
            {
                "modelFile": {
                    "volume": {"claimName": "models", "path": "a.gguf"},
                    "image": {"reference": "models:1", "path": "/a.gguf"},
                }
            }
        ),
        ("spec.embedding.ollama.managed.modelFile", "name one of both: volume"),
    ),
    "model file outside of its volume": (
        own_ollama({"modelFile": {"volume": {"claimName": "models", "path": "../a.gguf"}}}),
        ("spec.embedding.ollama.managed.modelFile.volume.path", "within the volume"),
    ),
    "model file in an image, by a path that begins anywhere": (
        own_ollama({"modelFile": {"image": {"reference": "models:1", "path": "a.gguf"}}}),
        ("spec.embedding.ollama.managed.modelFile.image.path", "in the image"),
    ),
    "chroma without an address": (
        manifest({"vector": {"provider": "chroma"}}),
        ("spec.vector.provider", "spec.vector.chroma must say which Chroma"),
    ),
    "chroma of nobody": (
        manifest({"vector": {"chroma": {"collections": "notes"}}}),
        ("spec.vector.chroma", "name one of both: url of a Chroma server"),
    ),
    "chroma of two": (
        manifest({"vector": {"chroma": {"url": "http://chroma:8000", "managed": {}}}}),
        ("spec.vector.chroma", "name one of both: url of a Chroma server"),
    ),
    "volume of chroma that is too small": (
        manifest({"vector": {"chroma": {"managed": {"storage": {"size": "1Mi"}}}}}),
        ("spec.vector.chroma.managed.storage.size", "at least 10Mi"),
    ),
    "image of chroma that is none": (
        manifest({"vector": {"chroma": {"managed": {"image": "chroma 1.5"}}}}),
        ("spec.vector.chroma.managed.image", "write the reference of an image"),
    ),
    "collections of chroma that it would not name so": (
        manifest({"vector": {"chroma": {"url": "http://chroma:8000", "collections": "a.b"}}}),
        ("spec.vector.chroma.collections", "write letters, digits"),
    ),
    "clear vectors of an encrypted bank": (
        manifest({"vector": CHROMA, "encryption": {"enabled": True}}),
        ("spec.vector.provider", "must be embedded in an encrypted bank"),
    ),
    "backups to nowhere": (
        manifest({"backup": {}}),
        ("spec.backup.destination", "Required value"),
    ),
    "backups at no destination": (
        backed_up({}),
        ("spec.backup.destination", "name one of both: s3 with the bucket"),
    ),
    "backups at two": (
        backed_up({**BUCKET, "volume": {"claimName": "backups"}}),
        ("spec.backup.destination", "name one of both: s3 with the bucket"),
    ),
    "backups in a bucket of no name": (
        in_bucket(bucket="Our_Backups"),
        ("spec.backup.destination.s3.bucket", "3 to 63 lower-case letters"),
    ),
    "backups in a folder above": (
        in_bucket(path="../others"),
        ("spec.backup.destination.s3.path", "such as memory/production"),
    ),
    "backups at an endpoint that is no address": (
        in_bucket(endpoint="s3.example.org"),
        ("spec.backup.destination.s3.endpoint", "write http:// or https:// and a host"),
    ),
    "credentials of a bucket within its address": (
        in_bucket(endpoint="https://key:secret@s3.example.org"),
        ("spec.backup.destination.s3.endpoint", "credentials into the Secret of secretRef"),
    ),
    "a bucket's folder within its address": (
        in_bucket(endpoint="https://s3.example.org/memories"),
        ("spec.backup.destination.s3.endpoint", "a folder goes into path"),
    ),
    "backups in a region of no name": (
        in_bucket(region="Central Europe"),
        ("spec.backup.destination.s3.region", "such as eu-central-1"),
    ),
    "backups encrypted by no key": (
        in_bucket(encryption={}),
        ("spec.backup.destination.s3.encryption", "name one of both: kmsKeyId"),
    ),
    "backups encrypted by two keys": (
        in_bucket(encryption={"kmsKeyId": "k", "customerKeySecretRef": {"name": "k"}}),
        ("spec.backup.destination.s3.encryption", "name one of both: kmsKeyId"),
    ),
    "backups encrypted by a key of no name": (
        in_bucket(encryption={"kmsKeyId": "the key"}),
        ("spec.backup.destination.s3.encryption.kmsKeyId", "the id, the ARN or the alias"),
    ),
    "a key that goes to a bucket in clear": (
        in_bucket(
            endpoint="http://s3.data.svc:9000", encryption={"customerKeySecretRef": {"name": "k"}}
        ),
        ("spec.backup.destination.s3.endpoint", "must be of https://"),
    ),
    "backups on the bank's own volume": (
        backed_up({"volume": {"claimName": "agents-data"}}),
        ("must not name the bank's own volume", "name the claim of another volume"),
    ),
    "backups in a folder of a volume that begins anywhere": (
        backed_up({"volume": {"claimName": "backups", "path": "/memories"}}),
        ("spec.backup.destination.volume.path", "neither beginning nor ending with /"),
    ),
    "backups of a bank in postgres at no time": (
        manifest({"storage": POSTGRES, "backup": {"destination": BUCKET}}),
        ("spec.backup.points.schedule must be set", "say when they are taken"),
    ),
    "replicated backups of a bank in postgres": (
        manifest(
            {
                "storage": POSTGRES,
                "backup": {
                    "destination": BUCKET,
                    "points": {"schedule": "0 2 * * *"},
                    "durability": "replicated",
                },
            }
        ),
        ("spec.backup.durability, syncInterval", "remove them"),
    ),
    "backups more often than they are made": (
        backed_up(syncInterval="0s"),
        ("spec.backup.syncInterval", "a span of time from 1s to 1h"),
    ),
    "backups by parts of seconds": (
        backed_up(syncInterval="100ms"),
        ("spec.backup.syncInterval", "a number and s, m or h"),
    ),
    "backups that are hardly ever made": (
        backed_up(syncInterval="2h"),
        ("spec.backup.syncInterval", "a span of time from 1s to 1h"),
    ),
    "snapshots at odd times": (
        backed_up(snapshotInterval="90m"),
        ("spec.backup.snapshotInterval", "whole hours from 1h to 720h"),
    ),
    "backups kept for less than an hour": (
        backed_up(retention="30m"),
        ("spec.backup.retention", "whole hours from 1h to 87600h"),
    ),
    "copies too often": (
        backed_up(copyInterval="0s"),
        ("spec.backup.copyInterval", "from 1s to 1h"),
    ),
    "a copy without a place": (
        backed_up(copies=[{"name": "far-away"}]),
        ("spec.backup.copies[0]", "name one of both: s3 with the bucket"),
    ),
    "a copy by another name than tools know": (
        backed_up(copies=[{"name": "Far away", "volume": {"claimName": "copies"}}]),
        ("spec.backup.copies[0].name", "lower case letters, digits and '-'"),
    ),
    "two copies at one place": (
        backed_up(copies=[{"name": each, "volume": {"claimName": "copies"}} for each in "ab"]),
        ("spec.backup.copies", "name another bucket, path or volume"),
    ),
    "resources of what makes no copies": (
        backed_up(copyResources={"limits": {"memory": "256Mi"}}),
        ("spec.backup.copyResources", "remove it, or name copies"),
    ),
    "more copies than a pod makes": (
        backed_up(copies=[{"name": each, "volume": {"claimName": each}} for each in "abcd"]),
        ("spec.backup.copies", "must have at most 3 items"),
    ),
    "recovery points at no time": (
        backed_up(BUCKET, points={"schedule": "each night"}),
        ("spec.backup.points.schedule", "write the five fields of cron", "in UTC"),
    ),
    "recovery points at an hour that no day has": (
        backed_up(BUCKET, points={"schedule": "0 24 * * *"}),
        ("spec.backup.points.schedule", "such as `30 2 * * *`"),
    ),
    "recovery points that are kept for a minute": (
        backed_up(BUCKET, points={"schedule": "30 2 * * *", "expireAfter": "1m"}),
        ("spec.backup.points.expireAfter must be whole hours from 1h to 87600h",),
    ),
    "unknown format of an export": (
        backed_up(BUCKET, points={"schedule": "30 2 * * *", "export": "CSV"}),
        ("spec.backup.points.export", '"JSONL"'),
    ),
    "recovery points without a schedule": (
        backed_up(BUCKET, points={}),
        ("spec.backup.points.schedule", "Required value"),
    ),
    "backups tried each second": (
        backed_up(BUCKET, verify={"schedule": "* * * * * *"}),
        ("spec.backup.verify.schedule", "write the five fields of cron"),
    ),
    "a restore of a recovery point at a moment": (
        begun_with(backup="agents-1", timestamp="2026-11-22T15:00:00Z"),
        ("spec.bootstrap.restore.backup", "remove timestamp and epoch, or remove backup"),
    ),
    "a restore of a recovery point of no name": (
        begun_with(backup="Agents"),
        ("spec.bootstrap.restore.backup", "up to 63 lower-case letters"),
    ),
    "backups gone before the next snapshot": (
        backed_up(retention="12h"),
        ("spec.backup.retention", "at least as long as spec.backup.snapshotInterval"),
    ),
    "a way with writes that do not wait": (
        backed_up(whenUnreachable="acknowledge"),
        ("spec.backup.whenUnreachable", "set that, or remove it"),
    ),
    "an unknown durability": (
        backed_up(durability="eternal"),
        ("spec.backup.durability", '"async", "replicated"'),
    ),
    "a restore without backups": (
        manifest({"bootstrap": {"restore": {"fromBank": {"name": "other"}}}}),
        ("spec.bootstrap.restore needs spec.backup", "say where to"),
    ),
    "read replicas without backups": (
        manifest({"readReplicas": {}}),
        ("spec.readReplicas needs spec.backup", "say where to"),
    ),
    "read replicas of a bank in PostgreSQL": (
        manifest({"backup": {"destination": BUCKET}, "readReplicas": {}, "storage": POSTGRES}),
        ("spec.readReplicas is for storage.engine sqlite", "raise spec.replicas"),
    ),
    "read replicas with vectors in Chroma": (
        manifest(
            {
                "backup": {"destination": BUCKET},
                "readReplicas": {},
                "vector": {"provider": "chroma", "chroma": {"url": "http://chroma:8000"}},
            }
        ),
        ("spec.vector.provider must be embedded with spec.readReplicas",),
    ),
    "read replicas of a standby": (
        manifest({"backup": {"destination": BUCKET}, "readReplicas": {}, "standby": {}}),
        ("spec.readReplicas", "remove it while spec.standby.enabled is true"),
    ),
    "too many read replicas": (
        manifest({"backup": {"destination": BUCKET}, "readReplicas": {"replicas": 11}}),
        ("spec.readReplicas.replicas", "10"),
    ),
    "a standby without backups": (
        manifest({"standby": {"fromBank": {"name": "notes"}}}),
        ("spec.standby needs spec.backup", "say where to"),
    ),
    "a standby of a bank in PostgreSQL": (
        manifest({"backup": {"destination": BUCKET}, "standby": {}, "storage": POSTGRES}),
        ("spec.standby is for storage.engine sqlite",),
    ),
    "a standby that begins with something": (
        manifest(
            {
                "backup": {"destination": BUCKET},
                "bootstrap": {"restore": {"fromBank": {"name": "other"}}},
                "standby": {"fromBank": {"name": "notes"}},
            }
        ),
        ("spec.bootstrap", "remove one of them"),
    ),
    "a standby with vectors in Chroma": (
        manifest(
            {
                "backup": {"destination": BUCKET},
                "standby": {},
                "vector": {"provider": "chroma", "chroma": {"url": "http://chroma:8000"}},
            }
        ),
        ("spec.vector.provider must be embedded with spec.standby",),
    ),
    "a standby with keys of its own": (
        manifest(
            {"backup": {"destination": BUCKET}, "standby": {}, "encryption": {"enabled": True}}
        ),
        ("spec.encryption.keySecretRef", "key ring of the bank that spec.standby follows"),
    ),
    "a standby that may be late for days": (
        manifest({"backup": {"destination": BUCKET}, "standby": {"maxLag": "48h"}}),
        ("spec.standby.maxLag must be a span of time from 5s to 24h",),
    ),
    "a restore from nobody": (
        begun_with(fromBank={}),
        ("spec.bootstrap.restore.fromBank.name", "Required value"),
    ),
    "a restore from two places": (
        begun_with(destination={**BUCKET, "volume": {"claimName": "backups"}}),
        ("spec.bootstrap.restore.destination", "name one of both: s3 with the bucket"),
    ),
    "a restore to a time of no zone": (
        begun_with(timestamp="2026-11-22T15:00:00"),
        ("spec.bootstrap.restore.timestamp", "such as 2026-11-22T15:00:00Z"),
    ),
    "a restore of an epoch that cannot be": (
        begun_with(epoch="3"),
        ("spec.bootstrap.restore.epoch", "such as 00000003-5be90a13"),
    ),
    "a restore from a bank of no uid": (
        begun_with(fromBank={"name": "other", "uid": "../.."}),
        ("spec.bootstrap.restore.fromBank.uid", "write the metadata.uid of that bank"),
    ),
    "key of an embedding service within its address": (
        manifest({"embedding": {"openai": {"baseUrl": "https://user:key@models.example.org/v1"}}}),
        ("spec.embedding.openai.baseUrl", "without user"),
    ),
    "role that every bank has": (
        manifest({"auth": {"roles": {"admin": ["read"]}}}),
        ("spec.auth.roles", "name yours differently"),
    ),
    "role with a strange name": (
        manifest({"auth": {"roles": {"The Boss": ["read"]}}}),
        ("spec.auth.roles", "lower-case letters"),
    ),
    "role with an unknown right": (
        manifest({"auth": {"roles": {"curator": ["own"]}}}),
        ("spec.auth.roles.curator[0]", '"read", "write", "delete", "admin"'),
    ),
    "audit of an unknown event": (
        manifest({"audit": {"events": ["everything"]}}),
        ("spec.audit.events[0]", '"auth"'),
    ),
    "threshold that forgets everything": (
        manifest({"forgetting": {"threshold": 0.9}}),
        ("spec.forgetting.threshold", "below 0.2"),
    ),
    "half-life of an unknown type": (
        manifest({"forgetting": {"halfLifeDays": {"dream": 3}}}),
        ("spec.forgetting.halfLifeDays", "error_solution"),
    ),
    "job that never rests": (
        manifest({"forgetting": {"intervalHours": 0}}),
        ("spec.forgetting.intervalHours", "greater than or equal to 1"),
    ),
    "consolidation without a schedule": (
        manifest({"consolidation": {"schedule": "each night"}}),
        ("spec.consolidation.schedule", "write the five fields of cron", "in UTC"),
    ),
    "unknown job": (
        manifest({"consolidation": {"jobs": ["summarize"]}}),
        ("spec.consolidation.jobs[0]", '"merge_duplicates"'),
    ),
    "no job at all": (
        manifest({"consolidation": {"jobs": []}}),
        ("spec.consolidation.jobs", "at least 1 items"),
    ),
    "job that is named twice": (
        manifest({"consolidation": {"jobs": ["merge_duplicates", "merge_duplicates"]}}),
        ("spec.consolidation.jobs must name each job once",),
    ),
    "unknown way with secrets": (
        manifest({"writeGate": {"secrets": "hide"}}),
        ("spec.writeGate.secrets", '"mask"'),
    ),
    "stop without an end": (
        manifest({"lifecycle": {"shutdownSeconds": 7200}}),
        ("spec.lifecycle.shutdownSeconds", "less than or equal to 3600"),
    ),
    "spread over nothing": (
        manifest({"topologySpreadConstraints": [{"topologyKey": "a zone"}]}),
        ("spec.topologySpreadConstraints[0].topologyKey", "topology.kubernetes.io/zone"),
    ),
    "a budget of two kinds": (
        manifest({"podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": 0}}),
        ("spec.podDisruptionBudget", "set either minAvailable or maxUnavailable"),
    ),
    "a budget of nothing": (
        manifest({"podDisruptionBudget": {}}),
        ("spec.podDisruptionBudget", "set either minAvailable or maxUnavailable"),
    ),
    "a budget of less than nobody": (
        manifest({"podDisruptionBudget": {"minAvailable": -1}}),
        ("spec.podDisruptionBudget.minAvailable", "greater than or equal to 0"),
    ),
    "an address for a host": (
        manifest({"expose": {"ingress": {"host": "https://memory.example.org"}}}),
        ("spec.expose.ingress.host", "without scheme, port, path and '*'"),
    ),
    "an ingress at no host": (
        manifest({"expose": {"ingress": {"className": "nginx"}}}),
        ("spec.expose.ingress.host", "Required value"),
    ),
    "an ingress with an issuer of another kind": (
        manifest(
            {
                "expose": {
                    "ingress": {
                        "host": "a.example",
                        "tls": {"issuerRef": {"name": "a", "kind": "Vault"}},
                    }
                }
            }
        ),
        ("spec.expose.ingress.tls.issuerRef.kind", '"ClusterIssuer"'),
    ),
    "an ingress that waits for ever": (
        manifest({"expose": {"ingress": {"host": "a.example", "timeoutSeconds": 0}}}),
        ("spec.expose.ingress.timeoutSeconds", "greater than or equal to 1"),
    ),
    "an annotation of the operator": (
        manifest(
            {"expose": {"ingress": {"host": "a.example", "annotations": {"memorybank.dev/x": "y"}}}}
        ),
        ("spec.expose.ingress.annotations", "are the operator's"),
    ),
    "a gateway that nobody names": (
        manifest({"expose": {"gateway": {"parentRefs": [], "hostnames": ["a.example"]}}}),
        ("spec.expose.gateway.parentRefs", "should have at least 1 items"),
    ),
    "a gateway named twice": (
        gateways({"name": "a"}, {"name": "a", "port": 8443}),
        ("spec.expose.gateway.parentRefs", "once, or several of its listeners"),
    ),
    "a gateway and one of its listeners": (
        gateways({"name": "a"}, {"name": "a", "sectionName": "https"}),
        ("spec.expose.gateway.parentRefs", "each by another sectionName"),
    ),
    "a gateway for any host": (
        manifest(
            {"expose": {"gateway": {"parentRefs": [{"name": "a"}], "hostnames": ["*.example.org"]}}}
        ),
        ("spec.expose.gateway.hostnames", "without scheme, port, path and '*'"),
    ),
    "a service of a kind that is not for it": (
        manifest({"expose": {"service": {"type": "NodePort"}}}),
        ("spec.expose.service.type", '"LoadBalancer"'),
    ),
    "a load balancer's settings without one": (
        manifest({"expose": {"service": {"annotations": {"example.org/internal": "true"}}}}),
        ("spec.expose.service", "write type: LoadBalancer, or remove them"),
    ),
    "a load balancer at no port": (
        manifest({"expose": {"service": {"type": "LoadBalancer", "port": 0}}}),
        ("spec.expose.service.port", "greater than or equal to 1"),
    ),
    "a load balancer of no class": (
        manifest({"expose": {"service": {"type": "LoadBalancer", "loadBalancerClass": "a b"}}}),
        ("spec.expose.service.loadBalancerClass", "such as example.org/internal"),
    ),
    "a load balancer for one address of a network": (
        manifest(
            {
                "expose": {
                    "service": {
                        "type": "LoadBalancer",
                        "loadBalancerSourceRanges": ["192.0.2.7/24"],
                    }
                }
            }
        ),
        ("spec.expose.service.loadBalancerSourceRanges[0]", "write a network"),
    ),
    "a peer that is nobody": (
        manifest({"networkPolicy": {"allowFrom": [{"namespaceLabels": {}}]}}),
        ("spec.networkPolicy.allowFrom[0]", "say who is let in"),
    ),
    "a peer in a namespace of two kinds": (
        manifest(
            {"networkPolicy": {"allowFrom": [{"namespace": "a", "namespaceLabels": {"b": "c"}}]}}
        ),
        ("spec.networkPolicy.allowFrom[0]", "remove one of them"),
    ),
    "a peer that is addresses and pods": (
        manifest(
            {"networkPolicy": {"allowFrom": [{"cidr": "10.0.0.0/8", "podLabels": {"b": "c"}}]}}
        ),
        ("spec.networkPolicy.allowFrom[0]", "make two entries of it"),
    ),
    "a peer at no network": (
        manifest({"networkPolicy": {"allowFrom": [{"cidr": "10.20.0.7"}]}}),
        ("spec.networkPolicy.allowFrom[0].cidr", "or one address, such as 10.20.0.7/32"),
    ),
    "a peer at a network with an address of its own": (
        manifest({"networkPolicy": {"allowFrom": [{"cidr": "10.20.0.7/16"}]}}),
        ("spec.networkPolicy.allowFrom[0].cidr", "such as 10.20.0.0/16"),
    ),
    "a peer in a namespace of no name": (
        manifest({"networkPolicy": {"allowFrom": [{"namespace": "Team A"}]}}),
        ("spec.networkPolicy.allowFrom[0].namespace", "lower-case letters"),
    ),
    "a peer by labels that are none": (
        manifest({"networkPolicy": {"allowFrom": [{"podLabels": {"a b": "c"}}]}}),
        ("spec.networkPolicy.allowFrom[0].podLabels", "write keys as name or prefix/name"),
    ),
    "a peer at a port of no name": (
        manifest({"networkPolicy": {"allowFrom": [{"namespace": "a", "ports": ["8080"]}]}}),
        ("spec.networkPolicy.allowFrom[0].ports[0]", '"http", "metrics"'),
    ),
    "a peer at no port": (
        manifest({"networkPolicy": {"allowFrom": [{"namespace": "a", "ports": []}]}}),
        ("spec.networkPolicy.allowFrom[0].ports", "at least 1 items"),
    ),
    "unknown log level": (
        manifest({"logging": {"level": "loud"}}),
        ("spec.logging.level", '"warning"'),
    ),
    "request above its limit": (
        manifest({"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}),
        ("spec.resources", "lower the one or raise the other"),
    ),
    "cpu that is no quantity": (
        manifest({"resources": {"limits": {"cpu": "fast"}}}),
        ("spec.resources.limits", "such as 250m"),
    ),
    "variable of the operator": (
        manifest({"env": [{"name": "MEMORY_BANK_REVISION", "value": "1"}]}),
        ("spec.env[0].name", "remove the variable"),
    ),
    "variable twice": (
        manifest({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}),
        ("spec.env[1]", "Duplicate value"),
    ),
    "variable with two values": (
        manifest(
            {
                "env": [
                    {
                        "name": "A",
                        "value": "1",
                        "valueFrom": {"secretKeyRef": {"name": "b", "key": "c"}},
                    }
                ]
            }
        ),
        ("spec.env[0]", "set either value or valueFrom"),
    ),
    "variable from two sources": (
        manifest(
            {
                "env": [
                    {
                        "name": "A",
                        "valueFrom": {
                            "secretKeyRef": {"name": "b", "key": "c"},
                            "configMapKeyRef": {"name": "b", "key": "c"},
                        },
                    }
                ]
            }
        ),
        ("spec.env[0].valueFrom", "set either secretKeyRef or configMapKeyRef"),
    ),
    "variable with a strange name": (
        manifest({"env": [{"name": "A-B", "value": "1"}]}),
        ("spec.env[0].name", "letters, digits and '_'"),
    ),
    "label of the operator": (
        manifest({"podLabels": {"memorybank.dev/bank": "other"}}),
        ("spec.podLabels", "the operator's: use others"),
    ),
    "label that is none": (
        manifest({"podLabels": {"team": "not a label"}}),
        ("spec.podLabels", "write a label value"),
    ),
    "annotation with a strange key": (
        manifest({"podAnnotations": {"a key": "x"}}),
        ("spec.podAnnotations", "prefix/name"),
    ),
    "toleration of everything by mistake": (
        manifest({"tolerations": [{"effect": "NoSchedule"}]}),
        ("spec.tolerations[0]", "must have operator Exists"),
    ),
    "toleration with a value too many": (
        manifest({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}),
        ("spec.tolerations[0]", "has no value"),
    ),
    "toleration for a while of a lasting effect": (
        manifest({"tolerations": [{"key": "a", "tolerationSeconds": 5, "effect": "NoSchedule"}]}),
        ("spec.tolerations[0]", "needs effect NoExecute"),
    ),
    "approval of something": (
        manifest({"updatePolicy": {"mode": "Supervised", "approved": "yes"}}),
        ("spec.updatePolicy.approved", "must be the id of a plan"),
    ),
    "unknown update policy": (
        manifest({"updatePolicy": {"mode": "Manual"}}),
        ("spec.updatePolicy.mode", '"Automatic", "Supervised"'),
    ),
    "unknown deletion policy": (
        manifest({"deletionPolicy": "Keep"}),
        ("spec.deletionPolicy", '"Retain", "Snapshot", "Delete"'),
    ),
    "last recovery point without backups": (
        manifest({"deletionPolicy": "Snapshot"}),
        ("spec.deletionPolicy", "Snapshot needs spec.backup"),
    ),
    "a last recovery point of a bank in postgres": (
        manifest(
            {
                "storage": POSTGRES,
                "deletionPolicy": "Snapshot",
                "backup": {"destination": BUCKET, "points": {"schedule": "0 2 * * *"}},
            }
        ),
        ("spec.deletionPolicy Snapshot is for storage.engine sqlite", "write Retain"),
    ),
}


class Change(NamedTuple):
    """A bank as it is, and what somebody makes of it."""

    before: dict[str, Any]
    """Its spec."""
    after: dict[str, Any]
    """What is merged into the spec."""
    words: str
    of: str = "agents"
    """The path of what is changed."""
    status: dict[str, Any] | None = None
    """What has become of the bank meanwhile."""


RING = {"enabled": True, "keySecretRef": {"name": "ring", "key": "ring.json"}}
OLLAMA = {"provider": "ollama", "model": "m", "ollama": {"url": "http://ollama:11434"}}
OWN_OLLAMA = {"provider": "ollama", "model": "m", "ollama": {"managed": {}}}

FOLLOWED = {"fromBank": {"name": "notes", "namespace": "production"}}
STANDBY = {"backup": {"destination": BUCKET}, "standby": FOLLOWED}

CHANGES: dict[str, Change] = {
    "a promotion taken back": Change(
        STANDBY | {"standby": FOLLOWED | {"enabled": False}},
        {"standby": {"enabled": True}},
        "spec.standby.enabled cannot become true",
    ),
    "a standby of a bank that has memories": Change(
        {"backup": {"destination": BUCKET}},
        {"standby": FOLLOWED},
        "spec.standby.enabled cannot become true",
    ),
    "a standby that follows no more": Change(
        STANDBY, {"standby": None}, "promote it by spec.standby.enabled false first"
    ),
    "a smaller volume": Change(
        {"storage": {"volume": {"size": "2Gi"}}},
        {"storage": {"volume": {"size": "1900Mi"}}},
        "spec.storage.volume.size cannot be smaller than the volume is",
    ),
    "a growth taken back that has happened": Change(
        {"storage": {"volume": {"size": "3Gi"}}},
        {"storage": {"volume": {"size": "1Gi"}}},
        "see status.storage.capacity",
        status={"storage": {"capacity": "3Gi"}},
    ),
    "another storage class": Change(
        {"storage": {"volume": {"storageClassName": "a"}}},
        {"storage": {"volume": {"storageClassName": "b"}}},
        "spec.storage.volume.storageClassName cannot change once it is set",
    ),
    "the storage class removed": Change(
        {"storage": {"volume": {"storageClassName": "a"}}},
        {"storage": {"volume": {"storageClassName": None}}},
        "spec.storage.volume.storageClassName cannot change once it is set",
    ),
    "another access mode": Change(
        {},
        {"storage": {"volume": {"accessMode": "ReadWriteOncePod"}}},
        "spec.storage.volume.accessMode cannot change",
    ),
    "another engine": Change({}, {"storage": POSTGRES}, "spec.storage.engine cannot change"),
    "the other engine again": Change(
        {"storage": POSTGRES},
        {"storage": {"engine": None, "postgres": None}},
        "spec.storage.engine cannot change",
    ),
    "the database taken away": Change(
        {"storage": POSTGRES},
        {"storage": {"postgres": None}},
        "spec.storage.postgres must say which database",
    ),
    "servers of its own in place of the address": Change(
        {"storage": POSTGRES},
        {"storage": {"postgres": {"urlSecretRef": None, "cluster": {}}}},
        "spec.storage.postgres.cluster cannot be added or removed",
    ),
    "an address in place of its own servers": Change(
        {"storage": OWN_POSTGRES},
        {"storage": {"postgres": ADDRESS | {"cluster": None}}},
        "spec.storage.postgres.cluster cannot be added or removed",
    ),
    "smaller servers of postgres": Change(
        {"storage": OWN_POSTGRES},
        {"storage": {"postgres": {"cluster": {"size": "9Gi"}}}},
        "spec.storage.postgres.cluster.size cannot become smaller",
    ),
    "another storage class of servers of postgres": Change(
        {"storage": OWN_POSTGRES},
        {"storage": {"postgres": {"cluster": {"storageClassName": "fast"}}}},
        "spec.storage.postgres.cluster.storageClassName cannot change",
    ),
    "a number of pods by kubectl scale, against the autoscaler": Change(
        {"storage": POSTGRES, "autoscaling": {"maxReplicas": 3}},
        {"replicas": 3},
        "set spec.autoscaling.minReplicas",
        of="agents/scale",
        status={"selector": "a=b", "replicas": 2},
    ),
    "another class of load balancer": Change(
        {"expose": {"service": {"type": "LoadBalancer"}}},
        {"expose": {"service": {"loadBalancerClass": "example.org/internal"}}},
        "loadBalancerClass cannot change while there is a load balancer",
    ),
    "encryption switched on": Change(
        {}, {"encryption": RING}, "spec.encryption.enabled cannot change"
    ),
    "encryption switched off": Change(
        {"encryption": RING},
        {"encryption": {"enabled": False}},
        "spec.encryption.enabled cannot change",
    ),
    "one replica more": Change({}, {"replicas": 2}, "set it to 1, or to 0 to stop the bank"),
    "one replica more by kubectl scale": Change(
        {},
        {"replicas": 2},
        "set it to 1, or to 0 to stop the bank",
        of="agents/scale",
        status={"selector": "a=b", "replicas": 1},
    ),
    "an image beside the version": Change(
        {"version": "0.1.0"}, {"image": "registry.example/app:1"}, "remove one of them"
    ),
    "a limit below what is requested": Change(
        {"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}},
        {"resources": {"limits": {"memory": "512Mi"}}},
        "lower the one or raise the other",
    ),
    "the rate removed, and its burst left": Change(
        {"limits": {"requestsPerMinute": 60, "burst": 10}},
        {"limits": {"requestsPerMinute": None}},
        "set requestsPerMinute as well",
    ),
    "another embedder, without a model": Change(
        {}, {"embedding": {"provider": "openai"}}, "must name the model"
    ),
    "the address of the embedder removed": Change(
        {"embedding": OLLAMA}, {"embedding": {"ollama": None}}, "spec.embedding.ollama must say"
    ),
    "another volume for ollama": Change(
        {"embedding": OWN_OLLAMA},
        {"embedding": {"ollama": {"managed": {"storage": {"size": "30Gi"}}}}},
        "spec.embedding.ollama.managed.storage cannot change",
    ),
    "the address of chroma removed": Change(
        {"vector": CHROMA}, {"vector": {"chroma": None}}, "spec.vector.chroma must say which"
    ),
    "another volume for chroma": Change(
        {"vector": {"provider": "chroma", "chroma": {"managed": {}}}},
        {"vector": {"chroma": {"managed": {"storage": {"size": "3Gi"}}}}},
        "spec.vector.chroma.managed.storage cannot change",
    ),
    "the built-in embedder, and the model of the other one left": Change(
        {"embedding": OLLAMA},
        {"embedding": {"provider": "builtin"}},
        "are for the providers ollama and openai",
    ),
    "a second source of the provider's keys": Change(
        {"auth": {"jwt": JWT}},
        {"auth": {"jwt": {"secretRef": {"name": "a", "key": "b"}}}},
        "set either spec.auth.jwt.jwksUrl",
    ),
    "the Secret that the operator makes, for one's own key": Change(
        {}, {"auth": {"adminKeySecretRef": {"name": "agents-key"}}}, "another name"
    ),
    "a variable of the operator": Change(
        {"env": [{"name": "TZ", "value": "UTC"}]},
        {"env": [{"name": "MEMORY_BANK_REVISION", "value": "1"}]},
        "remove the variable",
    ),
    "a field that there is not": Change(
        {}, {"storage": {"volume": {"sizeLimit": "2Gi"}}}, "spec.storage.volume.sizeLimit"
    ),
    "text for a switch": Change({"hibernate": True}, {"hibernate": "off"}, "boolean"),
}


def make(banks: Banks, change: Change) -> None:
    """Make a bank and change it. Raises Refused."""
    banks.create_spec(change.before)
    if change.status:
        banks.change("agents/status", {"status": change.status})
    banks.change(change.of, {"spec": change.after})


def page(http: httpx.Client) -> str:
    """Return the page on all refusals, as this API server words them."""
    wrong = [
        (case, _written(body), _answer(http, f"wrong-{number}", body))
        for number, (case, (body, _)) in enumerate(WRONG.items())
    ]
    changes = [
        (case, _json(change.after), _answer(http, f"change-{number}", change))
        for number, (case, change) in enumerate(CHANGES.items())
    ]
    return markdown.page(
        "What is refused, and how",
        INTRODUCTION,
        "## A new bank",
        markdown.table(("Case", "Written", "Answer"), wrong),
        "## A change of a bank",
        markdown.table(("Case", "Changed in the spec", "Answer"), changes),
        by=WRITER,
    )


def _written(body: dict[str, Any]) -> str:
    # What is wrong without a spec is the name.
    return _json({"spec": body["spec"]} if body.get("spec") else {"metadata": body["metadata"]})


def _json(value: Any) -> str:
    return markdown.code(json.dumps(value).replace("|", "\\|"))


def _answer(http: httpx.Client, namespace: str, tried: dict[str, Any] | Change) -> str:
    created = http.post("/api/v1/namespaces", json={"metadata": {"name": namespace}})
    assert created.is_success, created.text
    banks = Banks(http, namespace)
    try:
        make(banks, tried) if isinstance(tried, Change) else banks.create(tried)
    except Refused as refused:
        said = (markdown.cell(each).replace("<", "&lt;") for each in errors(str(refused)))
        return "<br>".join(said)
    raise AssertionError(f"{tried} was taken")


def errors(message: str) -> list[str]:
    """Take a message of the API server apart: one text for each thing that is wrong, in the order
    of the alphabet, since the server's changes.
    """
    _, strict, text = message.rpartition("strict decoding error: ")
    if strict:
        return [text]
    _, _, text = message.partition(" is invalid: ")
    each = re.split(r", (?=(?:\.?spec|metadata|<nil>)[^ ]*: [A-Z])", text.strip("[]"))
    # That other rules were not looked at helps nobody who has a sentence to go by.
    return sorted(
        one.removeprefix('<nil>: Invalid value: "object": ')
        for one in each
        if "some validation rules were not checked" not in one
    )


def main() -> int:
    """Write or show the page; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.integration.refusals")
    parser.add_argument("--write", action="store_true", help="write it where it belongs")
    arguments = parser.parse_args()
    with apiserver.api_server() as server, api(server) as http:
        text = page(http)
    if arguments.write:
        PAGE.write_text(text)
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
