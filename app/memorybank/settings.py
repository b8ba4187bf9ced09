"""What can be configured. configuration.py says where the values come from."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from typing_extensions import override

from memorybank.auth import tokens
from memorybank.auth.limits import Rate, RateLimiter
from memorybank.backup.chain import EPOCH_NAME
from memorybank.backup.point import POINT_NAME
from memorybank.domain import cron
from memorybank.domain.audit import EventKind
from memorybank.domain.consolidation.rules import Job, Rules
from memorybank.domain.forgetting import Policy
from memorybank.domain.gate import Action, GatePolicy
from memorybank.domain.keys import Role, Roles, Scope
from memorybank.domain.memory import MemoryType
from memorybank.domain.work.episodes import StepBatching
from memorybank.errors import ConfigurationError
from memorybank.logs import LogFormat, LogLevel

PREFIX = "MEMORY_BANK_"
DATABASE_NAME = "memory_bank.db"

_HOST = re.compile(r"\*|[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\]")

_ORIGIN = re.compile(
    r"\*|https?://[A-Za-z0-9.-]+(:\d{1,5})?|https?://\[[0-9A-Fa-f:.]+\](:\d{1,5})?"
)

_FOLDER = r"^([A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)?$"

_MIN_SECRET_BYTES = 64
"""RFC 7518 section 3.2: as many as HS512's digest has, so that a secret fits every algorithm."""


def _comma_separated(value: object) -> object:
    """Read a list from one environment variable."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return value


def _host(value: object) -> object:
    if isinstance(value, str) and not _HOST.fullmatch(value):
        raise PydanticCustomError(
            "host", "should be a host name or address without port, or * for any"
        )
    return value


def _origin(value: object) -> object:
    if isinstance(value, str) and not _ORIGIN.fullmatch(value):
        raise PydanticCustomError(
            "origin", "should be https://host or https://host:port without a path, or * for any"
        )
    return value


Host = Annotated[str, BeforeValidator(_host)]
Origin = Annotated[str, BeforeValidator(_origin)]
PerMinute = Annotated[int, Field(ge=1, le=1_000_000)]
Port = Annotated[int, Field(ge=0, le=65_535)]


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise PydanticCustomError(
            "home", "begins with ~ and names no user of this machine"
        ) from None


LocalPath = Annotated[Path, AfterValidator(_expanded)]
"""A path that may begin with ~, as in a shell."""


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise PydanticCustomError("absolute", "should be a path that begins with /")
    return path


class Section(BaseModel):
    """A part of the configuration; unknown settings in it are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatabaseSettings(Section):
    """Where the memories are."""

    engine: Literal["sqlite", "postgres"] = Field(
        "sqlite",
        description="`sqlite` is a file, of one process alone; `postgres` a database on a server.",
    )
    path: LocalPath | None = Field(
        None, description="SQLite file; default memory_bank.db under `data`."
    )
    checkpoints: Literal["service", "litestream"] = Field(
        "service",
        description="Who moves the write-ahead log into the database: this service, or Litestream,"
        " which must run then, or the log grows without end; with `backup` always Litestream.",
    )
    url_file: LocalPath | None = Field(
        None,
        description="A file that holds the address of the PostgreSQL database, with user and"
        " password: `postgresql://user:password@host:5432/name`. It is read for each connection.",
    )
    readers: int = Field(
        4,
        ge=1,
        le=64,
        description="How many reads PostgreSQL is asked at once, each on a connection of its own;"
        " writes have one more.",
    )
    connect_seconds: int = Field(
        5, ge=2, le=60, description="How long PostgreSQL may take to accept a connection."
    )
    statement_seconds: int = Field(
        30, ge=1, le=3_600, description="How long PostgreSQL may take for a statement."
    )

    @model_validator(mode="after")
    def _of_one_engine(self) -> Self:
        sqlite, postgres = {"path", "checkpoints"}, {
            "url_file", "readers", "connect_seconds", "statement_seconds",
        }  # fmt: skip
        strange = {
            name
            for name in (postgres if self.engine == "sqlite" else sqlite)
            # What `config init` writes says all that holds anyway.
            if getattr(self, name) != type(self).model_fields[name].default
        }
        if strange:
            raise PydanticCustomError(
                "other_engine",
                "should have no {name} with the engine {engine}",
                {"name": min(strange), "engine": self.engine},
            )
        return self


HttpUrl = Annotated[
    str,
    Field(
        pattern=r"^https?://[^/?#@\s]+(/[^?#@\s]*)?$",
        description="http:// or https://, without credentials, query and fragment.",
    ),
]


class OllamaSettings(Section):
    """Ollama, with provider `ollama`."""

    url: HttpUrl = Field("http://localhost:11434", description="Where it answers.")
    keep_alive: str = Field(
        "30m",
        pattern=r"^-?[0-9]+(ms|s|m|h)?$",
        description="How long it keeps the model loaded after a request; -1 for ever.",
    )
    truncate: bool = Field(
        True, description="Cut texts that are too long for the model, instead of refusing them."
    )


class OpenAiSettings(Section):
    """A service that speaks like OpenAI's, with provider `openai`."""

    base_url: HttpUrl = Field(
        "https://api.openai.com/v1", description="What comes before /embeddings."
    )
    key_file: LocalPath | None = Field(
        None, description="A file that holds the key; none is sent without it."
    )


class EmbeddingSettings(Section):
    """What turns texts into vectors."""

    provider: Literal["builtin", "builtin-tiny", "ollama", "openai"] = Field(
        "builtin",
        description="`builtin` is MiniLM in this process, `builtin-tiny` a table of word vectors,"
        " for tests and very small pods; the others are services.",
    )
    model: str | None = Field(
        None,
        max_length=200,
        pattern=r"^[\w./:@+-]+$",  # not {1,200}: \w two hundred times is 18 MiB of automaton
        description="Name of the model; for services, which have no default.",
    )
    dimensions: int | None = Field(
        None,
        ge=1,
        le=8_192,
        description="Length of the vectors to ask a service for; without it, the model's own.",
    )
    ollama: OllamaSettings = OllamaSettings()
    openai: OpenAiSettings = OpenAiSettings()
    timeout_seconds: float = Field(
        30.0, gt=0, le=600, description="How long a service may take to answer a request."
    )
    retries: int = Field(
        2, ge=0, le=10, description="How often a request that failed is sent again."
    )
    breaker_failures: int = Field(
        5, ge=1, le=1_000, description="Failed requests in a row after which a service is let be."
    )
    breaker_seconds: float = Field(
        5.0, gt=0, le=60, description="For how long; doubled up to a minute while it fails."
    )
    cache_entries: int = Field(
        4_096,
        ge=0,
        le=1_000_000,
        description="Texts whose vectors are remembered, about 1.7 KB each; 0 remembers none.",
    )

    @property
    def builtin(self) -> bool:
        """Whether it is in this process."""
        return self.provider.startswith("builtin")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.builtin:
            for name in ("model", "dimensions"):
                if getattr(self, name) is not None:
                    raise PydanticCustomError(
                        "builtin_model",
                        f"{name} should be left out with the provider {self.provider}",
                    )
        elif self.model is None:
            raise PydanticCustomError(
                "no_model", "model should be given with the providers ollama and openai"
            )
        return self


class ChromaSettings(Section):
    """A Chroma server, with provider `chroma`."""

    url: HttpUrl = Field("http://localhost:8000", description="Where it answers.")
    collections: str = Field(
        "memorybank",
        max_length=130,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$",
        description="What the names of this bank's collections begin with; of the banks that share"
        " a server each needs one of its own.",
    )
    timeout_seconds: float = Field(2.0, gt=0, le=60, description="How long a search waits for it.")


class VectorSettings(Section):
    """Where vectors are compared."""

    provider: Literal["embedded", "chroma", "pgvector"] = Field(
        "embedded",
        description="`embedded` keeps all vectors in this process; with `chroma` they are in a"
        " Chroma server, and a thirtieth of them here; with `pgvector` vectors and words are"
        " searched inside PostgreSQL, and none of them is here.",
    )
    chroma: ChromaSettings = ChromaSettings()


class SecuritySettings(Section):
    """Who may be asked for."""

    allowed_hosts: Annotated[tuple[Host, ...], NoDecode, BeforeValidator(_comma_separated)] = Field(
        (),
        description="Names by which clients may address the service, without port; `*` allows any."
        " localhost and loopback addresses always work.",
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^/\s]+/?$",
        description="The service's address for clients, where it is not the one that they send as "
        "Host, say behind a proxy that ends TLS.",
    )


RoleName = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9_-]{0,61}[a-z0-9])?$")]
Right = Literal["read", "write", "delete", "admin"]


class JwtSettings(Section):
    """Tokens of an identity provider, accepted beside keys."""

    issuer: str = Field(min_length=1, description="What the claim `iss` must say.")
    audience: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)] = Field(
        min_length=1,
        description="What the claim `aud` must hold one of; for MCP the address of `/mcp`.",
    )
    jwks_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s]+$",
        description="Where the provider publishes its keys: RS*, PS*, ES* and EdDSA.",
    )
    secret_file: LocalPath | None = Field(
        None, description="A file with a secret shared with the provider instead: HS*."
    )
    roles_claim: str = Field(
        "roles",
        min_length=1,
        description="The claim that names roles; dots lead into objects: `realm_access.roles`.",
    )
    tenant_claim: str | None = Field(
        "tenant",
        description="The claim that names the tenant; null: everybody is of the tenant `default`.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> JwtSettings:
        if (self.jwks_url is None) == (self.secret_file is None):
            raise PydanticCustomError(
                "jwt_keys", "should have either jwks_url or secret_file, not both"
            )
        return self

    def read_secret(self) -> bytes:
        """Return the shared secret; raises ConfigurationError."""
        field = "auth.jwt.secret_file"
        assert self.secret_file is not None  # noqa: S101  # _one_source
        try:
            secret = self.secret_file.read_bytes().strip()
        except OSError as error:
            raise ConfigurationError(
                f"the secret file {self.secret_file} cannot be read: {error.strerror}",
                field=field,
                hint="mount the Secret there, or correct the path",
            ) from None
        if len(secret) < _MIN_SECRET_BYTES:
            raise ConfigurationError(
                f"the secret in {self.secret_file} is too short: {len(secret)} bytes",
                field=field,
                hint=f"use at least {_MIN_SECRET_BYTES} random bytes: openssl rand -hex 32",
            )
        return secret


class AuthSettings(Section):
    """Who may do what."""

    jwt: JwtSettings | None = Field(None, description="Tokens of an identity provider.")

    roles: dict[RoleName, tuple[Right, ...]] = Field(
        {},
        description="Roles of your own beside `admin`, `developer` and `readonly`: a name, and any "
        "of `read`, `write`, `delete`, `admin`.",
    )

    @field_validator("roles", mode="after")
    @classmethod
    def _own_names(cls, roles: dict[str, tuple[Right, ...]]) -> dict[str, tuple[Right, ...]]:
        for name in Role:
            if name in roles:
                raise PydanticCustomError(
                    "builtin_role",
                    "must not redefine {name}, which every bank has",
                    {"name": name.value},
                )
        return roles

    def to_roles(self) -> Roles:
        """Return the roles of this bank."""
        return Roles(
            {
                name: frozenset(Scope(f"memory:{right}") for right in rights)
                for name, rights in self.roles.items()
            }
        )


class AuditSettings(Section):
    """Who did what, kept in a chain of hashes; never contents."""

    enabled: bool = Field(True, description="Whether anything is recorded.")
    events: Annotated[tuple[EventKind, ...], NoDecode, BeforeValidator(_comma_separated)] = Field(
        (EventKind.ADMIN, EventKind.AUTH, EventKind.WRITE, EventKind.DELETE),
        description="What is recorded: any of `admin` (keys, tenants), `auth` (refused requests), "
        "`write` and `delete` (memories), `read` (requests that changed nothing).",
    )
    retention_days: int | None = Field(
        365, ge=1, le=36_500, description="Older records are dropped; null keeps them for ever."
    )

    def kinds(self) -> frozenset[EventKind]:
        """Return what is recorded."""
        return frozenset(self.events) if self.enabled else frozenset()


class EncryptionSettings(Section):
    """Contents, titles, tags, metadata and vectors encrypted at rest."""

    enabled: bool = Field(
        False, description="Chosen once, when the bank is made: it cannot be switched later."
    )
    key_ring_file: LocalPath | None = Field(
        None, description='A file with `{"active": id, "keys": {id: 32 bytes in base64}}`.'
    )


class S3Settings(Section):
    """A bucket of any server that speaks S3."""

    bucket: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$", description="Name of the bucket."
    )
    path: str = Field(
        "",
        max_length=512,
        pattern=_FOLDER,
        description="Folder in the bucket, without slashes around it; empty for its root.",
    )
    endpoint: HttpUrl | None = Field(
        None, description="Where the server answers; null: that of AWS for the region."
    )
    region: str = Field(
        "us-east-1",
        pattern=r"^[A-Za-z0-9-]{1,64}$",
        description="Region of the bucket; servers outside of AWS mostly expect the default.",
    )
    force_path_style: bool | None = Field(
        None,
        description="Name the bucket in the path of a request instead of its host; null: with an"
        " `endpoint` alone.",
    )
    access_key_id_file: LocalPath | None = Field(
        None,
        description="A file that holds the id of the access key. Without it and the next one: what"
        " AWS's own variables, web identities and instance profiles give.",
    )
    secret_access_key_file: LocalPath | None = Field(
        None, description="A file that holds the secret access key."
    )
    ca_file: LocalPath | None = Field(
        None, description="Certificates (PEM) by which the server's is checked; null: the system's."
    )

    kms_key_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9:/_.-]{1,512}$",
        description="Key of the server's key management (SSE-KMS) by which it encrypts what is"
        " written: id, ARN or alias; null: as the bucket is set.",
    )
    customer_key_file: LocalPath | None = Field(
        None,
        description="A file that holds a key of 32 bytes in base64 by which the server encrypts"
        " what is written and which it does not keep (SSE-C); what is there is read by no other.",
    )

    @model_validator(mode="after")
    def _one_encryption(self) -> Self:
        if self.customer_key_file is None:
            return self
        if self.kms_key_id is not None:
            raise PydanticCustomError(
                "encryption", "should have kms_key_id or customer_key_file, not both"
            )
        if self.endpoint is not None and not self.endpoint.startswith("https://"):
            raise PydanticCustomError(
                "encryption",
                "should have an endpoint of https with customer_key_file: each request has the key",
            )
        return self

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.access_key_id_file is None) != (self.secret_access_key_file is None):
            raise PydanticCustomError(
                "half_a_key",
                "should have both access_key_id_file and secret_access_key_file, or neither",
            )
        return self

    @property
    def path_style(self) -> bool:
        """Whether requests name the bucket in their path."""
        return self.endpoint is not None if self.force_path_style is None else self.force_path_style


class FolderSettings(Section):
    """A folder, on a volume that is not the bank's own."""

    path: Annotated[LocalPath, AfterValidator(_absolute)] = Field(description="Where it is.")


_BANK = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"
_UID = r"^[A-Za-z0-9][A-Za-z0-9-]{0,62}$"


class RestoreSettings(Section):
    """What a bank begins with that has neither a database nor backups of its own."""

    bank: str | None = Field(
        None,
        pattern=_BANK,
        description="Namespace and name of the bank whose backup it is; null: those of `backup`.",
    )
    uid: str | None = Field(
        None,
        pattern=_UID,
        description="Its uid, where several had that name; null: the last one that was backed up.",
    )
    s3: S3Settings | None = Field(None, description="The bucket; null: that of `backup`.")
    volume: FolderSettings | None = Field(None, description="The folder; null: that of `backup`.")
    at: AwareDatetime | None = Field(
        None, description="The last state up to this moment, with its time zone; null: the newest."
    )
    epoch: str | None = Field(
        None,
        pattern=EPOCH_NAME,
        description="The epoch, as `memorybank backup list` shows it; null: the newest one, or the"
        " one that had the moment.",
    )
    point: str | None = Field(
        None,
        pattern=POINT_NAME,
        description="The recovery point, as `memorybank backup points` shows it, instead of `at`"
        " and `epoch`.",
    )
    fence: bool = Field(
        False,
        description="Let the bank whose backup it is take no more writes, before it is restored:"
        " this one is promoted in its place.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.s3 is not None and self.volume is not None:
            raise PydanticCustomError("destination", "should have s3 or volume, not both")
        if self.point is not None and (self.at is not None or self.epoch is not None):
            raise PydanticCustomError("one_state", "should have point, or at and epoch, not both")
        return self


class CopySettings(Section):
    """A further destination, to which what is at the first one is copied."""

    name: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$",
        description="How it is called in reports and metrics.",
    )
    s3: S3Settings | None = Field(None, description="A bucket; either this or `volume`.")
    volume: FolderSettings | None = Field(None, description="A folder; either this or `s3`.")

    @model_validator(mode="after")
    def _one_destination(self) -> Self:
        if (self.s3 is None) == (self.volume is None):
            raise PydanticCustomError("destination", "should have either s3 or volume, not both")
        return self


_OF_LITESTREAM = (
    "sync_seconds", "snapshot_hours", "durability", "when_unreachable", "metrics_port",
    "max_waiting_bytes", "copies", "copy_seconds",
)  # fmt: skip
"""What there is to say of backups that a bank in PostgreSQL has not."""


class BackupSettings(Section):
    """Where recovery points are, and where Litestream, in a process of its own, brings what is
    written into SQLite.
    """

    bank: str = Field(
        pattern=_BANK,
        description="Namespace and name of the bank; with `uid` its place at the destination.",
    )
    uid: str = Field(
        pattern=_UID,
        description="What no other bank of that name ever has.",
    )
    s3: S3Settings | None = Field(None, description="A bucket; either this or `volume`.")
    volume: FolderSettings | None = Field(None, description="A folder; either this or `s3`.")
    sync_seconds: int = Field(
        1, ge=1, le=3_600, description="How long what is written may wait to be sent."
    )
    snapshot_hours: int = Field(
        24, ge=1, le=720, description="Time between two copies of the whole database."
    )
    retention_hours: int = Field(
        720,
        ge=1,
        le=87_600,
        description="How far back a moment can be restored; at least `snapshot_hours`. With the"
        " engine postgres, how long what a rewind replaced is kept.",
    )
    durability: Literal["async", "replicated"] = Field(
        "async",
        description="When a write is acknowledged: once it is on the disk, or once it is at the"
        " destination, too.",
    )
    when_unreachable: Literal["refuse", "acknowledge"] = Field(
        "refuse",
        description="What becomes of writes with `replicated` when nothing gets to the destination:"
        " refused with 503, or acknowledged as with `async`.",
    )
    restore: RestoreSettings | None = Field(
        None,
        description="What a bank begins with that has neither a database nor backups of its own;"
        " null: with nothing.",
    )
    run_dir: LocalPath = Field(
        Path("/run/memorybank"),
        description="Folder of Litestream's configuration and socket, in memory and of this user"
        " alone.",
    )
    metrics_port: Port = Field(9091, description="Port of Litestream's own /metrics.")
    max_waiting_bytes: int = Field(
        268_435_456,
        ge=1_048_576,
        le=1_099_511_627_776,
        description="How much more than the size of the database may wait on the volume while"
        " nothing can be sent; then a whole copy takes its place, sent when the destination is"
        " back.",
    )
    restore_seconds: int = Field(
        600, ge=10, le=86_400, description="How long a restore at the start may take."
    )
    copies: tuple[CopySettings, ...] = Field(
        (),
        max_length=3,
        description="Further destinations, to which `memorybank backup mirror` copies what is at"
        " the first one.",
    )
    copy_seconds: int = Field(
        10, ge=1, le=3_600, description="Time between two looks at what is to be copied there."
    )

    @model_validator(mode="after")
    def _each_elsewhere(self) -> Self:
        if len({each.name for each in self.copies}) < len(self.copies):
            raise PydanticCustomError("copies", "should have copies of different names")
        places = [_spot(self), *map(_spot, self.copies)]
        if len(set(places)) < len(places):
            raise PydanticCustomError(
                "copies",
                "should have copies at other places than the first destination and each other",
            )
        return self

    @model_validator(mode="after")
    def _one_destination(self) -> Self:
        if (self.s3 is None) == (self.volume is None):
            raise PydanticCustomError("destination", "should have either s3 or volume, not both")
        if self.retention_hours < self.snapshot_hours:
            raise PydanticCustomError(
                "retention", "should have a retention_hours of at least snapshot_hours"
            )
        return self


def _spot(where: BackupSettings | CopySettings) -> tuple[object, ...]:
    """Return what tells a destination from others."""
    if where.volume is not None:
        return (where.volume.path,)
    return () if where.s3 is None else (where.s3.endpoint, where.s3.bucket, where.s3.path)


class FollowSettings(Section):
    """A bank in SQLite whose backups are followed: what it says is read here, and nothing written.

    Promoted by another start without it: see docs/service/standby.md.
    """

    bank: str = Field(pattern=_BANK, description="Namespace and name of the bank.")
    uid: str | None = Field(
        None,
        pattern=_UID,
        description="Its uid, where several had that name; null: the last one that was backed up.",
    )
    s3: S3Settings | None = Field(None, description="The bucket; either this or `volume`.")
    volume: FolderSettings | None = Field(None, description="The folder; either this or `s3`.")
    poll_seconds: float = Field(
        1, ge=0.1, le=3_600, description="Time between two looks at what has arrived."
    )
    max_lag_seconds: float | None = Field(
        60,
        ge=1,
        le=31_536_000,
        description="How far behind what has arrived this may be and be ready; null: however far.",
    )
    restore_seconds: int = Field(
        600, ge=10, le=86_400, description="How long restoring an epoch may take."
    )
    primary_url: HttpUrl | None = Field(
        None,
        description="Where the bank takes writes: who is refused them here is told; null: nothing.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.s3 is None) == (self.volume is None):
            raise PydanticCustomError("destination", "should have either s3 or volume")
        return self


class LimitSettings(Section):
    """How much one caller may ask for."""

    max_body_bytes: int = Field(
        1_048_576, ge=1_024, le=67_108_864, description="Largest request body."
    )
    requests_per_minute: PerMinute | None = Field(
        None, description="How much each key may ask; null for no limit."
    )
    burst: PerMinute | None = Field(
        None, description="How much of that at once; null for a minute's worth."
    )
    tenant_requests_per_minute: PerMinute | None = Field(
        None,
        description="How much all keys of a tenant together may ask, unless the tenant has a limit "
        "of its own; null for no limit.",
    )
    tenant_burst: PerMinute | None = Field(
        None, description="How much of that at once; null for a minute's worth."
    )

    def to_limiter(self) -> RateLimiter:
        """Return what counts requests."""
        return RateLimiter(
            key=Rate.of(self.requests_per_minute, self.burst),
            tenant=Rate.of(self.tenant_requests_per_minute, self.tenant_burst),
        )


class ForgettingSettings(Section):
    """When memories are forgotten that nobody uses; docs/service/forgetting.md says how."""

    enabled: bool = Field(
        False, description="Run the job on a schedule; without it, it runs when it is asked to."
    )
    interval_hours: float = Field(24, ge=0.25, le=8_760, description="Time between two runs.")
    threshold: float = Field(
        0.1, ge=0.001, lt=0.2, description="Memories of less strength are archived."
    )
    grace_days: float = Field(
        30,
        ge=1,
        le=3_650,
        description="How long a forgotten memory stays in the archive before it goes to the trash,"
        " and any memory in the trash before it is purged.",
    )
    half_life_days: dict[MemoryType, Annotated[float, Field(ge=0.1, le=36_500)]] = Field(
        {}, description="Half-lives of types that are not to have the default."
    )
    dry_run: bool = Field(False, description="Change nothing; runs tell what they would do.")

    def to_policy(self) -> Policy:
        """Return how memories are forgotten."""
        return Policy(
            enabled=self.enabled,
            interval=timedelta(hours=self.interval_hours),
            threshold=self.threshold,
            grace=timedelta(days=self.grace_days),
            half_life_days=self.half_life_days,
            dry_run=self.dry_run,
        )


class EpisodeSettings(Section):
    """How steps of episodes get into the database; docs/service/episodes.md says how."""

    batch_steps: int = Field(
        100,
        ge=1,
        le=1_000,
        description="Steps of a tenant that are written as soon as so many wait. With 1, none "
        "waits: each is durable when it is answered.",
    )
    batch_seconds: float = Field(
        1.0,
        ge=0.01,
        le=60,
        allow_inf_nan=False,
        description="Steps that wait longer are written, however few they are; a crash loses what "
        "waits.",
    )

    def to_batching(self) -> StepBatching:
        """Return it as the service has it."""
        return StepBatching(self.batch_steps, self.batch_seconds)


class ConsolidationSettings(Section):
    """How many memories are made few; docs/service/consolidation.md says how."""

    enabled: bool = Field(
        False, description="Run the jobs on a schedule; without it, they run when asked to."
    )
    schedule: str = Field(
        "30 3 * * *",
        max_length=100,
        description="The five fields of cron (minute, hour, day of month, month, day of week), in "
        "UTC.",
    )
    jobs: Annotated[
        tuple[Annotated[Job, Field(strict=False)], ...], NoDecode, BeforeValidator(_comma_separated)
    ] = Field(tuple(Job), description="The jobs that the schedule runs, in this order.")
    handoff_days: float = Field(
        30, ge=0, le=3_650, description="Hand-offs that are older are made one."
    )
    decision_days: float = Field(
        365, ge=1, le=3_650, description="Decisions that nobody used for so long are archived."
    )
    superseded_days: float = Field(
        30,
        ge=0,
        le=3_650,
        description="So long after another one took its place a decision is archived.",
    )
    similarity: float = Field(
        0.9,
        ge=0.5,
        le=1,
        description="Least cosine of the vectors of two memories that are made one.",
    )
    words: float = Field(
        0.8,
        ge=0.5,
        le=1,
        description="Least share of the words of the longer one that the shorter one has.",
    )

    @field_validator("schedule")
    @classmethod
    def _comes(cls, schedule: str) -> str:
        try:
            cron.check_schedule(schedule)
        except ValueError as error:
            raise PydanticCustomError("schedule", "{said}", {"said": str(error)}) from None
        return schedule

    @field_validator("jobs")
    @classmethod
    def _each_once(cls, jobs: tuple[Job, ...]) -> tuple[Job, ...]:
        return tuple(dict.fromkeys(jobs))

    def to_rules(self) -> Rules:
        """Return what the jobs go by."""
        return Rules(
            enabled=self.enabled,
            schedule=self.schedule,
            jobs=self.jobs,
            handoff_age=timedelta(days=self.handoff_days),
            decision_age=timedelta(days=self.decision_days),
            superseded_age=timedelta(days=self.superseded_days),
            similarity=self.similarity,
            words=self.words,
        )


class WriteGateSettings(Section):
    """What is kept out of memories; docs/service/write-gate.md says how it is found."""

    secrets: Literal["off", "flag", "mask", "refuse"] = Field(
        "mask", description="What to do about keys, passwords and the like."
    )
    personal: Literal["off", "flag", "mask", "refuse"] = Field(
        "flag", description="What to do about addresses, phone, card and account numbers."
    )
    junk: Literal["off", "flag", "refuse"] = Field(
        "flag", description="What to do about texts that look like nothing worth remembering."
    )
    junk_score: float = Field(0.8, gt=0, le=1, description="From which score on a text is junk.")
    recall_echo: Literal["off", "flag", "deduplicate", "refuse"] = Field(
        "deduplicate", description="What to do about texts that the same key has just recalled."
    )
    max_characters: int = Field(
        100_000,
        ge=100,
        le=1_000_000,
        description="Longest text of a memory, typed fields included.",
    )

    def to_policy(self) -> GatePolicy:
        """Return what to do about what is found."""
        return GatePolicy(
            secrets=Action(self.secrets),
            personal=Action(self.personal),
            junk=Action(self.junk),
            junk_score=self.junk_score,
            echo=Action(self.recall_echo),
            max_characters=self.max_characters,
        )


class CorsSettings(Section):
    """Which web pages may use the service from a browser."""

    allowed_origins: Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_comma_separated)] = (
        Field((), description="Such as `https://notes.example.org`; `*` allows any.")
    )
    max_age_seconds: int = Field(
        600, ge=0, le=86_400, description="How long browsers may keep the answer."
    )


class LoggingSettings(Section):
    """What is logged, on standard error."""

    level: LogLevel = Field("info", description="Least severe level that is logged.")
    format: LogFormat = Field("text", description="`json` for machines, `text` for people.")


class MonitoringSettings(Section):
    """What is sent to a collector; nothing is when none is named."""

    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s@]+$",
        description="Address of an OpenTelemetry collector that traces are sent to by OTLP over "
        "HTTP, such as `http://collector:4318`; null: what OTEL_EXPORTER_OTLP_ENDPOINT says.",
    )
    otlp_sample_ratio: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of the traces begun here that are sent; those begun by callers are sent"
        " if they say so. null: what OTEL_TRACES_SAMPLER says, else all.",
    )


class ServerSettings(Section):
    """Where the service listens, and how it stops."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: Port = Field(8080, description="Port of REST and MCP; 0 takes a free one.")
    metrics_port: Port = Field(9090, description="Port of /metrics; 0 takes a free one.")
    metrics_on_port: bool = Field(
        False,
        description="Whether `port` has Prometheus' /metrics, too, for administrators of the bank:"
        " the metrics port asks for no key.",
    )
    drain_seconds: float = Field(
        1.0,
        ge=0,
        le=300,
        description="After a signal to stop: how long to go on accepting connections, unready, "
        "until load balancers have noticed.",
    )
    shutdown_seconds: int = Field(
        20, ge=1, le=3_600, description="After that: how long requests in flight may take."
    )


def default_data_folder() -> Path:
    """Return the folder for a bank of one's own on a laptop (XDG base directory specification)."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "memorybank"


class Settings(BaseSettings):
    """All of the configuration; frozen."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    environment: str = Field(
        "development",
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        description="A name for this deployment, for logs and metrics.",
    )
    data: LocalPath = Field(
        default_factory=default_data_folder, description="Folder of everything that is kept."
    )
    database: DatabaseSettings = DatabaseSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    vector: VectorSettings = VectorSettings()
    security: SecuritySettings = SecuritySettings()
    auth: AuthSettings = AuthSettings()
    audit: AuditSettings = AuditSettings()
    encryption: EncryptionSettings = EncryptionSettings()
    backup: BackupSettings | None = Field(None, description="Backups of the bank.")
    follow: FollowSettings | None = Field(
        None, description="The bank that is read here; null: this one is a bank of its own."
    )
    limits: LimitSettings = LimitSettings()
    forgetting: ForgettingSettings = ForgettingSettings()
    consolidation: ConsolidationSettings = ConsolidationSettings()
    episodes: EpisodeSettings = EpisodeSettings()
    write_gate: WriteGateSettings = WriteGateSettings()
    cors: CorsSettings = CorsSettings()
    logging: LoggingSettings = LoggingSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    server: ServerSettings = ServerSettings()
    model_dir: LocalPath | None = Field(
        None, description="Folder of the built-in embedding model; default: the user's cache."
    )
    revision: str = Field("", max_length=200, description="Echoed by /ready; set by the operator.")
    admin_key: SecretStr | None = Field(
        None, description="The first admin key; made and printed once when there is none."
    )
    admin_key_file: LocalPath | None = Field(None, description="A file that holds it instead.")
    encryption_key_ring: SecretStr | None = Field(
        None, description="The key ring itself, instead of `encryption.key_ring_file`."
    )
    database_url: SecretStr | None = Field(
        None, description="The address of the database itself, instead of `database.url_file`."
    )

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return self.database.path or self.data / DATABASE_NAME

    @property
    def is_replicated(self) -> bool:
        """Whether Litestream brings what is written to the destination of the backups."""
        return self.backup is not None and self.database.engine == "sqlite"

    @property
    def checkpoints(self) -> bool:
        """Whether this service moves the write-ahead log into the SQLite file."""
        return self.backup is None and self.database.checkpoints == "service"

    @override
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing behind the back of `configuration.load`, which merges all sources."""
        return (init_settings,)

    @model_validator(mode="after")
    def _backups_of_a_server(self) -> Self:
        if self.backup is not None and self.database.engine == "postgres":
            for name in _OF_LITESTREAM:
                if getattr(self.backup, name) != BackupSettings.model_fields[name].default:
                    raise PydanticCustomError(
                        "replicated_engine",
                        "should have no backup.{name} with the engine postgres",
                        {"name": name},
                    )
        return self

    @model_validator(mode="after")
    def _follows_a_file(self) -> Self:
        if self.follow is None:
            return self
        if self.backup is not None:
            raise PydanticCustomError(
                "follow_backup", "follow should be left out where there is backup, or the reverse"
            )
        if self.database.engine != "sqlite":
            raise PydanticCustomError(
                "follow_engine", "follow should be left out with the engine postgres"
            )
        if self.vector.provider != "embedded":
            raise PydanticCustomError(
                "follow_vectors", "follow should be left out unless vector.provider is embedded"
            )
        return self

    @field_validator("admin_key", mode="after")
    @classmethod
    def _well_formed(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not tokens.is_well_formed(key.get_secret_value()):
            raise PydanticCustomError(
                "malformed_key", "should be mb_ and 43 letters, digits, - or _"
            )
        return key
