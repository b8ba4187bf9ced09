"""The Ollama server that turns a bank's texts into vectors."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from memorybank_operator.api.base import ApiModel, cel, rules
from memorybank_operator.api.v1alpha1.backend import BackendVolume, BackendVolumeSize
from memorybank_operator.api.v1alpha1.pod import Resources
from memorybank_operator.api.v1alpha1.types import HttpUrl, ImageReference, ObjectName

DEFAULT_OLLAMA_RESOURCES = Resources(
    requests={"cpu": "250m", "memory": "512Mi"}, limits={"memory": "4Gi"}
)
"""Of Ollama servers for which nobody says anything else."""


class ModelVolume(ApiModel):
    """A volume with the file of a model."""

    claim_name: ObjectName
    """The PersistentVolumeClaim, in the bank's namespace. It is mounted read-only, and has to be
    on the node of the server, or on any.
    """
    path: Annotated[
        str,
        Field(
            max_length=512,
            json_schema_extra=rules(
                cel(
                    "self.matches('^[A-Za-z0-9_][A-Za-z0-9_./+-]*$') && !self.contains('..')",
                    "write the path of the file within the volume, such as models/minilm.gguf, "
                    "without .. and not beginning with /",
                )
            ),
        ),
    ]
    """The file within the volume, such as models/minilm.gguf."""


class ModelImage(ApiModel):
    """An image with the file of a model."""

    reference: ImageReference
    """The image. It needs the command cp, by which the file is copied out of it."""
    path: Annotated[
        str,
        Field(
            max_length=512,
            json_schema_extra=rules(
                cel(
                    "self.matches('^/[A-Za-z0-9_./+-]+$') && !self.contains('..')",
                    "write the path of the file in the image, such as /models/minilm.gguf, "
                    "without ..",
                )
            ),
        ),
    ]
    """The file in the image, such as /models/minilm.gguf."""


class ModelFile(ApiModel):
    """A file in the format GGUF that the model is made of."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.volume) != has(self.image)",
                "name one of both: volume with the claim that has the file, or image with the "
                "image that has it",
            ),
        )
    )

    volume: ModelVolume | None = None
    """A volume of the bank's namespace that has the file."""
    image: ModelImage | None = None
    """An image that has the file. It is copied to the node's disk at each start of the server."""


class OllamaVolume(BackendVolume):
    """The volume of an Ollama server. What is on it can be loaded again."""

    size: BackendVolumeSize = "10Gi"
    """Size of the volume. Each model that the bank ever used is on it."""


class ManagedOllama(ApiModel):
    """An Ollama server that the operator runs for this bank alone."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.storage == oldSelf.storage",
                "spec.embedding.ollama.managed.storage cannot change: set spec.embedding.provider "
                "to builtin and leave model and managed out, then ask for another volume; the "
                "model is loaded onto it anew",
                field_path=".storage",
            ),
        )
    )

    image: ImageReference | None = None
    """Image of Ollama, whose entry point is its command. Left out, the one that the operator's own
    settings name, from the registry of its defaults.
    """
    model_file: ModelFile | None = None
    """The file of the model, for clusters that reach no registry of models. It becomes a model of
    the name spec.embedding.model, unless the server has one of that name already. Left out, the
    server pulls spec.embedding.model from the registry of Ollama, or the one that it names.
    """
    storage: OllamaVolume = OllamaVolume()
    """Its volume. It is deleted with the server, since all of it can be loaded again."""
    resources: Resources | None = None
    """Compute resources of the server. Set, it replaces the whole default: requests of 250m cpu and
    512Mi memory and a limit of 4Gi memory.
    """


class Ollama(ApiModel):
    """An Ollama server."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.url) != has(self.managed)",
                "name one of both: url of an Ollama server that runs already, such as "
                "http://ollama.models.svc:11434, or managed: {} for one of the bank's own",
            ),
        )
    )

    url: HttpUrl | None = None
    """Where a server answers that runs already, such as http://ollama.models.svc:11434."""
    managed: ManagedOllama | None = None
    """A server of the bank's own, which has the model before the bank uses it: nobody else reaches
    it, and it goes with the bank.
    """
    keep_alive: Annotated[
        str,
        Field(
            max_length=16,
            json_schema_extra=rules(
                cel(
                    "self.matches('^-?[0-9]+(ms|s|m|h)?$')",
                    "write a number and ms, s, m or h, such as 30m; -1 is for ever",
                )
            ),
        ),
    ] = "30m"
    """How long it keeps the model in memory after a request; -1 is for ever."""
    truncate: bool = True
    """Whether texts that are too long for the model are cut, instead of refused."""
