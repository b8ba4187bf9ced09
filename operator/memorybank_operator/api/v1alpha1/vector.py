"""Where a bank's vectors are compared."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from memorybank_operator.api.base import ApiModel, cel, rules
from memorybank_operator.api.v1alpha1.backend import BackendVolume, BackendVolumeSize
from memorybank_operator.api.v1alpha1.pod import Resources
from memorybank_operator.api.v1alpha1.types import HttpUrl, ImageReference

DEFAULT_CHROMA_RESOURCES = Resources(
    requests={"cpu": "100m", "memory": "256Mi"}, limits={"memory": "2Gi"}
)
"""Of Chroma servers for which nobody says anything else."""


class ChromaVolume(BackendVolume):
    """The volume of a Chroma server. What is on it is a copy."""

    size: BackendVolumeSize = "2Gi"
    """Size of the volume. 100,000 vectors of 384 dimensions are 154 MB of numbers alone."""


class ManagedChroma(ApiModel):
    """A Chroma server that the operator runs for this bank alone."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.storage == oldSelf.storage",
                "spec.vector.chroma.managed.storage cannot change: set spec.vector.provider to "
                "embedded and leave managed out, then ask for another volume; it is filled from "
                "the database",
                field_path=".storage",
            ),
        )
    )

    image: ImageReference | None = None
    """Image of Chroma 1.x, whose entry point is its command. Left out, the one that the operator's
    own settings name, from the registry of its defaults.
    """
    storage: ChromaVolume = ChromaVolume()
    """Its volume. It is deleted with the server, since all of it can be made again."""
    resources: Resources | None = None
    """Compute resources of the server. Set, it replaces the whole default: requests of 100m cpu and
    256Mi memory and a limit of 2Gi memory.
    """


class Chroma(ApiModel):
    """A Chroma server, 1.0 or newer."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.url) != has(self.managed)",
                "name one of both: url of a Chroma server that runs already, such as "
                "http://chroma.vectors.svc:8000, or managed: {} for one of the bank's own",
            ),
        )
    )

    url: HttpUrl | None = None
    """Where a server answers that runs already, such as http://chroma.vectors.svc:8000."""
    managed: ManagedChroma | None = None
    """A server of the bank's own: nobody else reaches it, and it goes with the bank."""
    collections: (
        Annotated[
            str,
            Field(
                max_length=130,
                json_schema_extra=rules(
                    cel(
                        "self.matches('^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$')",
                        "write letters, digits, - and _, such as team_notes",
                    )
                ),
            ),
        ]
        | None
    ) = None
    """What the names of the bank's collections begin with; each bank on a server needs another one.
    Left out, NAMESPACE_NAME of the bank. On a server of a url they stay when the bank is deleted.
    """


class VectorIndex(ApiModel):
    """Where vectors are compared."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.provider != 'chroma' || has(self.chroma)",
                "spec.vector.chroma must say which Chroma: url of one that runs already, such as "
                "http://chroma.vectors.svc:8000, or managed: {} for one of the bank's own",
                field_path=".provider",
            ),
        )
    )

    provider: Literal["embedded", "chroma", "pgvector"] = "embedded"
    """embedded keeps all vectors in the pod's memory. With chroma they are in a Chroma server and a
    thirtieth of them in memory; while it is down, searches compare meanings roughly and say so.
    With pgvector, for storage.engine postgres, vectors and words are searched inside the database,
    which needs the extension pgvector 0.8 or newer, and pods keep none of them in memory.
    """
    chroma: Chroma | None = None
    """The Chroma server, with provider chroma. It has no authentication: let only banks reach it.
    One that is managed is reached by nobody else where network policies are enforced.
    """

    @property
    def managed_chroma(self) -> ManagedChroma | None:
        """The Chroma server that the operator is to run, None when there is to be none."""
        if self.provider != "chroma" or self.chroma is None:
            return None
        return self.chroma.managed
