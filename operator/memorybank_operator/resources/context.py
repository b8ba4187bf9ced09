"""What the builders build from: everything is decided before them."""

from __future__ import annotations

from dataclasses import dataclass

from memorybank_operator.api.defaults import NO_DEFAULTS, Defaults
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.constants import CHROMA_IMAGE, OLLAMA_IMAGE
from memorybank_operator.resources.database import Database


@dataclass(frozen=True, slots=True)
class RenderSettings:
    """The operator's settings that show in a bank's objects."""

    app_image: str
    """Image of banks that name none themselves."""
    cluster_domain: str
    """DNS domain of the cluster."""
    defaults: Defaults = NO_DEFAULTS
    """What banks get that leave it out: the cluster-wide defaults that are in force."""
    operator_namespace: str = ""
    """Namespace of the operator's own pods; empty when it runs outside of the cluster."""
    chroma_image: str = CHROMA_IMAGE
    """Image of Chroma servers for which nobody names another one."""
    ollama_image: str = OLLAMA_IMAGE
    """Image of Ollama servers, likewise."""
    installed: frozenset[str] = frozenset()
    """Kinds of other projects that the API server serves, such as HTTPRoute."""


@dataclass(frozen=True, slots=True)
class BuildContext:
    """One bank and what was decided about it."""

    bank: MemoryBank
    """With the defaults in force for what its spec leaves out."""
    settings: RenderSettings
    admin_key: str | None
    """The key that goes into the Secret and opens the bank; None while there is none."""
    volume_size: str | None
    """What the volume claim asks for: the spec's size, or more where the volume has more; None
    while no volume can be had, and of a bank that has none.
    """
    storage_class: str | None = None
    """Storage class that the volume claim asks for where the spec names none; None when that is
    left to the cluster.
    """
    grown_from: str = ""
    """Size of the file system in bytes when the volume was asked to grow last; empty when unknown
    or never.
    """
    secrets: str | None = ""
    """Fingerprint of the Secrets that the spec names for the service; empty when it names none,
    None while one of them cannot be used.
    """
    database: Database | None = None
    """The PostgreSQL database that the Secret names; None for a bank without, and while that Secret
    cannot be used.
    """
    backup_keys: str = ""
    """Fingerprint of the Secrets that the bank is replicated with; empty when there are none."""
    begins_with_vector: bool = False
    """Whether the bank's own servers of PostgreSQL begin with the extension pgvector in their
    database.
    """
    addresses: tuple[str, ...] = ()
    """What the bank's load balancer is reached at; empty for a bank that has none, and while it was
    given no address.
    """
    reads: bool = False
    """Whether it is the bank as its read replicas have it."""
    takes_changes: bool = True
    """Whether the service takes changed settings and Secrets while it runs, and tells; else the
    revision of its pod covers all of them.
    """
