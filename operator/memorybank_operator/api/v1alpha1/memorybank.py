"""The MemoryBank resource, parsed once where it enters; below that only these models are used."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import ConfigDict, Field, ValidationError

from memorybank_operator.api.base import ApiModel, StatusModel, cel, rules
from memorybank_operator.api.v1alpha1.spec import Spec
from memorybank_operator.api.v1alpha1.status import MemoryBankStatus
from memorybank_operator.api.v1alpha1.types import ObjectName
from memorybank_operator.constants import ANNOTATION_RESYNC
from memorybank_operator.errors import InvalidSpec


class Metadata(StatusModel):
    """What this operator reads of an object's metadata."""

    name: str
    namespace: str
    uid: str
    generation: int
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    annotations: dict[str, str] = Field(default_factory=dict)


class BankReference(ApiModel):
    """Names a bank."""

    name: ObjectName
    """Name of the MemoryBank, in the same namespace."""


class MemoryBank(ApiModel):
    """A memory service for AI agents: its own data, keys, URL and resources."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra=rules(
            cel(
                "size(self.metadata.name) <= 40 && "
                "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                "metadata.name must have at most 40 characters, lower-case letters, digits and "
                "'-', begin with a letter and end with a letter or digit: the names of the bank's "
                "objects are made of it",
            ),
            # A growth that turned out to be impossible can be taken back: the volume has not grown.
            cel(
                "!isQuantity(self.spec.storage.volume.size)"
                " || !isQuantity(oldSelf.spec.storage.volume.size)"
                " || !quantity(self.spec.storage.volume.size)"
                ".isLessThan(quantity(oldSelf.spec.storage.volume.size))"
                " || (has(self.status.storage) && isQuantity(self.status.storage.capacity)"
                " && !quantity(self.spec.storage.volume.size)"
                ".isLessThan(quantity(self.status.storage.capacity)))",
                "spec.storage.volume.size cannot be smaller than the volume is, see "
                "status.storage.capacity: keep the old size or a larger one",
                field_path=".spec.storage.volume.size",
            ),
            cel(
                "!has(self.spec.auth.adminKeySecretRef)"
                " || self.spec.auth.adminKeySecretRef.name != self.metadata.name + '-key'",
                "spec.auth.adminKeySecretRef must not name the Secret <bank>-key, which the "
                "operator writes itself: keep your key in a Secret of another name",
            ),
            cel(
                "!has(self.spec.backup) || !has(self.spec.backup.destination.volume)"
                " || self.spec.backup.destination.volume.claimName != self.metadata.name + '-data'",
                "spec.backup.destination.volume.claimName must not name the bank's own volume, "
                "with which its backups would be lost: name the claim of another volume",
            ),
        ),
    )

    metadata: Metadata
    spec: Spec = Spec()
    """What the bank should be. Everything has a default; an empty spec gives a working bank."""
    status: MemoryBankStatus = MemoryBankStatus()
    """What the operator says about the bank."""

    @property
    def name(self) -> str:
        """Name of the bank."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """Namespace of the bank and of all its objects."""
        return self.metadata.namespace

    @property
    def uid(self) -> str:
        """Tells this bank from a former one of the same name."""
        return self.metadata.uid

    @property
    def generation(self) -> int:
        """Counts the changes of the spec."""
        return self.metadata.generation

    @property
    def resync(self) -> str:
        """The re-sync that was asked for last; empty when it is done, or none was."""
        wanted = self.metadata.annotations.get(ANNOTATION_RESYNC, "")
        return "" if wanted == self.status.resync else wanted

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read a resource as the API server shows it.

        Raises InvalidSpec for the first wrong field. That happens only where the API server could
        not check it, such as when the cluster has another version of the CRD.
        """
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            raise invalid_spec(error) from None


def invalid_spec(error: ValidationError) -> InvalidSpec:
    """Return what is wrong with the first wrong field."""
    details = error.errors(include_url=False, include_context=True, include_input=False)
    return InvalidSpec(_path(details[0]["loc"]), _cure(details[0]))


def _path(location: tuple[int | str, ...]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".")


def _cure(details: Mapping[str, Any]) -> str:
    if details["type"] == "extra_forbidden":
        return "this version of the operator has no such field: remove it or upgrade the operator"
    # pydantic puts these words before the messages of our own validators.
    return str(details["msg"]).removeprefix("Value error, ")
