"""The Secrets that a spec names and the pod mounts: somebody else's, read and never changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from memorybank_operator.api.v1alpha1.service import SecretReference
from memorybank_operator.api.v1alpha1.spec import Spec
from memorybank_operator.configfiles.secret_files import FILE, Mounted


@dataclass(frozen=True, slots=True)
class NamedSecret:
    """One entry of a Secret."""

    use: Mounted
    path: str
    """The field that names it, for people."""
    name: str
    key: str


def named_secrets(spec: Spec) -> tuple[NamedSecret, ...]:
    """Return what the spec names, except the admin key, which is copied and not mounted."""
    return tuple(_named(spec))


def build_volumes(spec: Spec) -> list[dict[str, Any]]:
    """Build a volume for each of them."""
    return [
        {
            "name": each.use.value,
            "secret": {
                "secretName": each.name,
                "items": [{"key": each.key, "path": FILE}],
                "defaultMode": 0o440,
            },
        }
        for each in named_secrets(spec)
    ]


def build_mounts(spec: Spec) -> list[dict[str, Any]]:
    """Build the mounts of these volumes."""
    return [
        {"name": each.use.value, "mountPath": each.use.folder, "readOnly": True}
        for each in named_secrets(spec)
    ]


def _named(spec: Spec) -> Iterator[NamedSecret]:
    jwt, embedding, encryption = spec.auth.jwt, spec.embedding, spec.encryption
    if jwt is not None and jwt.secret_ref is not None:
        yield _of(Mounted.JWT_SECRET, "spec.auth.jwt.secretRef", jwt.secret_ref)
    if embedding.provider == "openai" and embedding.openai.key_secret_ref is not None:
        path = "spec.embedding.openai.keySecretRef"
        yield _of(Mounted.EMBEDDING_KEY, path, embedding.openai.key_secret_ref)
    if encryption.enabled and encryption.key_secret_ref is not None:
        yield _of(Mounted.KEY_RING, "spec.encryption.keySecretRef", encryption.key_secret_ref)


def _of(use: Mounted, path: str, reference: SecretReference) -> NamedSecret:
    return NamedSecret(use, path, reference.name, reference.key)
