"""What all kinds have in common: metadata, and how a resource enters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import ConfigDict, Field, ValidationError

from memorybank_operator.api.base import ApiModel, StatusModel
from memorybank_operator.api.v1alpha1.types import ObjectName
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
    labels: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()


class BankReference(ApiModel):
    """Names a bank."""

    name: ObjectName
    """Name of the MemoryBank, in the same namespace."""


class Resource(ApiModel):
    """A resource of one of the kinds."""

    model_config = ConfigDict(extra="ignore")

    metadata: Metadata

    @property
    def name(self) -> str:
        """Name of the resource."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """Namespace of the resource and of all its objects."""
        return self.metadata.namespace

    @property
    def uid(self) -> str:
        """Tells this resource from a former one of the same name."""
        return self.metadata.uid

    @property
    def generation(self) -> int:
        """Counts the changes of the spec."""
        return self.metadata.generation

    @property
    def is_leaving(self) -> bool:
        """Whether somebody deleted it."""
        return self.metadata.deletion_timestamp is not None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read a resource as the API server shows it.

        Raises InvalidSpec for the first wrong field. That happens only where the API server could
        not check it, such as when the cluster has another version of the CRD.
        """
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            raise _invalid_spec(error) from None


def _invalid_spec(error: ValidationError) -> InvalidSpec:
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
