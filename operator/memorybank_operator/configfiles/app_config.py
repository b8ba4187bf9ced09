"""The memory service's config.yaml: a typed model written as YAML, never a text template.

The service defines what it reads in memorybank.settings; tests/contract loads what is written here
there. A part that is at its default is left out: a new field of the spec changes no file, so that
an upgraded operator restarts no pod.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from memorybank_operator.api.v1alpha1 import backup, bootstrap, service, standby
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.spec import Spec
from memorybank_operator.configfiles.secret_files import (
    OF_BACKUPS,
    OF_COPIES,
    OF_RESTORE,
    BucketFiles,
    Mounted,
)


class _Section(BaseModel):
    """A part of the file, written as a whole; it can be made of a part of a spec."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)


class _SparseSection(_Section):
    """A part of the file without what is None."""

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


def _sorted_items(value: object) -> object:
    return tuple(sorted(value.items())) if isinstance(value, Mapping) else value


# Maps that can be hashed, as the cache of `render` needs them.
RolesMap = Annotated[
    tuple[tuple[str, tuple[str, ...]], ...], BeforeValidator(_sorted_items), PlainSerializer(dict)
]
HalfLives = Annotated[
    tuple[tuple[str, float], ...], BeforeValidator(_sorted_items), PlainSerializer(dict)
]


class Ollama(_Section):
    """An Ollama server."""

    url: str
    keep_alive: str
    truncate: bool


class OpenAi(_SparseSection):
    """A service that speaks like OpenAI's."""

    base_url: str
    key_file: str | None = None


class Embedding(_SparseSection):
    """What turns texts into vectors."""

    provider: str
    model: str | None = None
    dimensions: int | None = None
    ollama: Ollama | None = None
    openai: OpenAi | None = None
    timeout_seconds: int | None = None
    retries: int | None = None
    breaker_failures: int | None = None
    breaker_seconds: int | None = None
    cache_entries: int | None = None


class Database(_Section):
    """A PostgreSQL database."""

    engine: str
    url_file: str
    readers: int
    connect_seconds: int
    statement_seconds: int


class Chroma(_Section):
    """A Chroma server."""

    url: str
    collections: str


class Vector(_SparseSection):
    """Where vectors are compared."""

    provider: str
    chroma: Chroma | None = None


class Security(_SparseSection):
    """Which Host headers are answered."""

    allowed_hosts: tuple[str, ...]
    public_url: str | None = None


class Limits(_SparseSection):
    """What a client may ask for."""

    max_body_bytes: int
    requests_per_minute: int | None = None
    burst: int | None = None
    tenant_requests_per_minute: int | None = None
    tenant_burst: int | None = None


class Logging(_Section):
    """What is logged."""

    level: str
    format: str


class Jwt(_Section):
    """Tokens of an identity provider."""

    issuer: str
    audience: tuple[str, ...]
    jwks_url: str | None
    secret_file: str | None
    roles_claim: str
    tenant_claim: str | None


class Auth(_SparseSection):
    """Who may do what."""

    jwt: Jwt | None = None
    roles: RolesMap | None = None


class Audit(_Section):
    """What is recorded."""

    enabled: bool
    events: tuple[str, ...]
    retention_days: int | None


class Encryption(_Section):
    """Whether the database holds no clear text."""

    enabled: bool
    key_ring_file: str


class Forgetting(_Section):
    """When memories are forgotten."""

    enabled: bool
    interval_hours: int
    threshold: float
    grace_days: int
    half_life_days: HalfLives
    dry_run: bool


class Consolidation(_Section):
    """When few memories are made of many."""

    enabled: bool
    schedule: str
    jobs: tuple[str, ...]


class WriteGate(_Section):
    """What is kept out of memories."""

    secrets: str
    personal: str
    junk: str
    junk_score: float
    recall_echo: str
    max_characters: int


class Cors(_Section):
    """Which web pages may use the service."""

    allowed_origins: tuple[str, ...]
    max_age_seconds: int


class Server(_Section):
    """How the service stops."""

    drain_seconds: int
    shutdown_seconds: int


class S3(_SparseSection):
    """A bucket."""

    bucket: str
    path: str
    endpoint: str | None = None
    region: str
    force_path_style: bool
    access_key_id_file: str | None = None
    secret_access_key_file: str | None = None
    ca_file: str | None = None
    kms_key_id: str | None = None
    customer_key_file: str | None = None


class BackupVolume(_Section):
    """A folder on a volume."""

    path: str


class Restore(_SparseSection):
    """What a new bank begins with."""

    bank: str
    uid: str | None = None
    s3: S3 | None = None
    volume: BackupVolume | None = None
    at: str | None = None
    epoch: str | None = None
    point: str | None = None
    fence: bool | None = None


class Copy(_SparseSection):
    """A further destination."""

    name: str
    s3: S3 | None = None
    volume: BackupVolume | None = None


class Backup(_SparseSection):
    """Where the database is replicated to."""

    bank: str
    uid: str
    s3: S3 | None = None
    volume: BackupVolume | None = None
    sync_seconds: int
    snapshot_hours: int
    retention_hours: int
    durability: str
    when_unreachable: str
    run_dir: str
    restore: Restore | None = None
    copies: tuple[Copy, ...] | None = None
    copy_seconds: int | None = None


class Follow(_SparseSection):
    """The bank whose backups are followed."""

    bank: str
    uid: str | None = None
    s3: S3 | None = None
    volume: BackupVolume | None = None
    max_lag_seconds: int
    primary_url: str | None = None


class AppConfig(_SparseSection):
    """The file as a whole."""

    environment: str
    database: Database | None = None
    backup: Backup | None = None
    follow: Follow | None = None
    embedding: Embedding
    vector: Vector | None = None
    security: Security
    limits: Limits
    logging: Logging
    auth: Auth | None = None
    audit: Audit | None = None
    encryption: Encryption | None = None
    forgetting: Forgetting | None = None
    consolidation: Consolidation | None = None
    write_gate: WriteGate | None = None
    cors: Cors | None = None
    server: Server | None = None


RUN_FOLDER = "/run/memorybank"
"""What the containers of a pod that replicates its bank have in common: no disk, but memory."""
BACKUP_FOLDER, RESTORE_FOLDER = "/backup", "/restore"
"""Where the volumes of backups are mounted: of those that are made, and of the one that the bank
begins with.
"""
COPY_FOLDERS = ("/copies/1", "/copies/2", "/copies/3")
"""Likewise those of copies, in the order of the spec."""
DEFAULT = Spec()
"""What a spec says that says nothing."""


def app_config(
    bank: MemoryBank,
    *,
    hosts: tuple[str, ...],
    addresses: tuple[str, ...],
    own_chroma: str,
    own_ollama: str,
    primary_url: str | None = None,
) -> AppConfig:
    """Return the configuration of a bank that is addressed by any of these host names within the
    cluster, and by the addresses of its load balancer. `own_chroma` and `own_ollama` are the URLs
    of its own servers, if it has them; `primary_url` is where the bank that is followed takes
    writes, as far as that is known.
    """
    spec = bank.spec
    more = (*spec.expose.hosts, *addresses, *spec.security.allowed_hosts)
    more_hosts = tuple(each for each in dict.fromkeys(more) if each not in hosts)
    return AppConfig(
        environment="production",
        database=_database(spec),
        backup=None if spec.backed_up is None else _backup(bank, spec.backed_up),
        follow=None if spec.followed is None else _follow(bank, spec.followed, primary_url),
        embedding=_embedding(spec, own_ollama),
        vector=_vector(bank, own_chroma),
        security=Security(allowed_hosts=hosts + more_hosts, public_url=_public_url(spec)),
        limits=Limits.model_validate(spec.limits),
        logging=Logging.model_validate(spec.logging),
        auth=_auth(spec.auth),
        audit=None if spec.audit == DEFAULT.audit else _audit(spec.audit),
        encryption=_encryption(spec.encryption),
        forgetting=None
        if spec.forgetting == DEFAULT.forgetting
        else Forgetting.model_validate(spec.forgetting),
        consolidation=None
        if spec.consolidation == DEFAULT.consolidation
        else Consolidation.model_validate(spec.consolidation),
        write_gate=None
        if spec.write_gate == DEFAULT.write_gate
        else WriteGate.model_validate(spec.write_gate),
        cors=None if spec.cors == DEFAULT.cors else Cors.model_validate(spec.cors),
        server=None
        if spec.lifecycle == DEFAULT.lifecycle
        else Server.model_validate(spec.lifecycle),
    )


def _public_url(spec: Spec) -> str | None:
    """Return the address that clients are told. Only those with tokens of an identity provider are
    told one, and a running service does not take another.
    """
    derived = spec.expose.url if spec.auth.jwt is not None else None
    return spec.security.public_url or derived


def _database(spec: Spec) -> Database | None:
    postgres = spec.storage.postgres
    if postgres is None:
        return None
    return Database(
        engine=spec.storage.engine,
        url_file=Mounted.DATABASE_URL.file,
        readers=postgres.readers,
        connect_seconds=postgres.connect_seconds,
        statement_seconds=postgres.statement_seconds,
    )


def _backup(bank: MemoryBank, wanted: backup.Backup) -> Backup:
    return Backup(
        bank=f"{bank.namespace}/{bank.name}",
        uid=bank.uid,
        s3=_s3(wanted.destination, OF_BACKUPS),
        volume=_volume(wanted.destination, BACKUP_FOLDER),
        sync_seconds=wanted.sync_seconds,
        snapshot_hours=wanted.snapshot_hours,
        retention_hours=wanted.retention_hours,
        durability=wanted.durability,
        when_unreachable=wanted.when_unreachable,
        run_dir=RUN_FOLDER,
        restore=None if bank.spec.restore is None else _restore(bank, bank.spec.restore),
        # Only where there are any: a new field must not restart the pods of all banks.
        copies=tuple(
            Copy(name=each.name, s3=_s3(each, files), volume=_volume(each, folder))
            for each, files, folder in zip(wanted.copies, OF_COPIES, COPY_FOLDERS, strict=False)
        )
        or None,
        copy_seconds=wanted.copy_seconds if wanted.copies else None,
    )


def _follow(bank: MemoryBank, wanted: standby.Standby, primary_url: str | None) -> Follow:
    source = bank.spec.source
    assert source is not None  # noqa: S101 - there is one of each standby
    return Follow(
        bank=named(bank, wanted.from_bank),
        uid=None if wanted.from_bank is None else wanted.from_bank.uid,
        s3=_s3(source[1], OF_RESTORE),
        volume=_volume(source[1], RESTORE_FOLDER),
        max_lag_seconds=wanted.max_lag_seconds,
        primary_url=primary_url,
    )


def named(bank: MemoryBank, source: bootstrap.FromBank | None) -> str:
    """Return namespace and name of the bank whose backup it is."""
    if source is None:
        return f"{bank.namespace}/{bank.name}"
    return f"{source.namespace or bank.namespace}/{source.name}"


def _restore(bank: MemoryBank, wanted: bootstrap.Restore) -> Restore:
    source, destination = wanted.from_bank, wanted.destination
    promoted = bank.spec.standby
    return Restore(
        bank=named(bank, source),
        uid=None if source is None else source.uid,
        s3=None if destination is None else _s3(destination, OF_RESTORE),
        volume=None if destination is None else _volume(destination, RESTORE_FOLDER),
        at=wanted.timestamp,
        epoch=wanted.epoch,
        point=wanted.backup,
        fence=True if promoted is not None and promoted.fence else None,
    )


def _volume(destination: backup.Destination, folder: str) -> BackupVolume | None:
    volume = destination.volume
    return None if volume is None else BackupVolume(path=f"{folder}/{volume.path}".rstrip("/"))


def _s3(destination: backup.Destination, files: BucketFiles) -> S3 | None:
    s3 = destination.s3
    if s3 is None:
        return None
    has_key = s3.secret_ref is not None
    return S3(
        bucket=s3.bucket,
        path=s3.path,
        endpoint=s3.endpoint,
        region=s3.region,
        force_path_style=s3.has_path_style,
        access_key_id_file=files.access_key_id.file if has_key else None,
        secret_access_key_file=files.secret_access_key.file if has_key else None,
        ca_file=None if s3.ca_secret_ref is None else files.ca.file,
        kms_key_id=None if s3.encryption is None else s3.encryption.kms_key_id,
        customer_key_file=None if s3.customer_key is None else files.customer_key.file,
    )


def _embedding(spec: Spec, own_ollama: str) -> Embedding:
    cached = None if spec.cache == DEFAULT.cache else spec.cache.embeddings
    embedding = spec.embedding
    if embedding.provider.startswith("builtin"):
        return Embedding(provider=embedding.provider, cache_entries=cached)
    ollama, openai = embedding.ollama, embedding.openai
    key_file = None if openai.key_secret_ref is None else Mounted.EMBEDDING_KEY.file
    return Embedding(
        provider=embedding.provider,
        model=embedding.model,
        dimensions=embedding.dimensions,
        ollama=Ollama(
            url=ollama.url or own_ollama, keep_alive=ollama.keep_alive, truncate=ollama.truncate
        )
        if embedding.provider == "ollama" and ollama is not None
        else None,
        openai=OpenAi(base_url=openai.base_url, key_file=key_file)
        if embedding.provider == "openai"
        else None,
        timeout_seconds=embedding.timeout_seconds,
        retries=embedding.retries,
        breaker_failures=embedding.breaker_failures,
        breaker_seconds=embedding.breaker_seconds,
        cache_entries=cached,
    )


def _vector(bank: MemoryBank, own_chroma: str) -> Vector | None:
    vector = bank.spec.vector
    if vector.provider == "embedded":
        return None
    if vector.provider == "pgvector" or vector.chroma is None:
        return Vector(provider=vector.provider)
    own = f"{bank.namespace}_{bank.name}"  # no name has a _: no other bank's begins so
    url = vector.chroma.url or own_chroma
    chroma = Chroma(url=url, collections=vector.chroma.collections or own)
    return Vector(provider=vector.provider, chroma=chroma)


def _encryption(encryption: service.Encryption) -> Encryption | None:
    if not encryption.enabled:
        return None
    return Encryption(enabled=True, key_ring_file=Mounted.KEY_RING.file)


def _auth(auth: service.Auth) -> Auth | None:
    if auth.jwt is None and not auth.roles:
        return None
    return Auth(
        jwt=None if auth.jwt is None else _jwt(auth.jwt),
        roles=tuple(sorted(auth.roles.items())) or None,
    )


def _jwt(jwt: service.Jwt) -> Jwt:
    return Jwt(
        issuer=jwt.issuer,
        audience=jwt.audience,
        jwks_url=jwt.jwks_url,
        secret_file=None if jwt.secret_ref is None else Mounted.JWT_SECRET.file,
        roles_claim=jwt.roles_claim,
        tenant_claim=jwt.tenant_claim or None,
    )


def _audit(audit: service.Audit) -> Audit:
    for_ever = audit.retention_days == service.KEEP_FOR_EVER
    return Audit(
        enabled=audit.enabled,
        events=audit.events,
        retention_days=None if for_ever else audit.retention_days,
    )


@lru_cache(maxsize=1024)  # writing YAML takes longer than the rest of a plan, and seldom changes
def render(config: AppConfig) -> str:
    """Return the content of config.yaml."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
