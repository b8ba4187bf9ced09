"""How the memory service of a bank is configured: the parts of a spec that end up in its
config.yaml. What is at its default here is at its default in the service; tests/contract compares.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from memorybank_operator.api.base import ApiModel, cel, rules
from memorybank_operator.api.v1alpha1.ollama import ManagedOllama, Ollama
from memorybank_operator.api.v1alpha1.types import ClaimPath, DataKey, HttpUrl, ObjectName

MEMORY_TYPES = (
    "note", "fact", "decision", "pattern", "error_solution", "code", "documentation", "session",
    "task", "preference", "procedure", "personality", "thread", "emotion", "project", "event",
    "capsule", "handoff", "episode", "heuristic", "edit",
)  # fmt: skip
"""What the service calls the kinds of memories."""
BUILTIN_ROLES = ("admin", "developer", "readonly")
"""Roles that every bank has and that cannot mean something else."""
KEEP_FOR_EVER = 0
"""As audit.retentionDays: records are never dropped."""

_SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}
_ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}

Rate = Annotated[int, Field(ge=1, le=1_000_000)]
Right = Literal["read", "write", "delete", "admin"]
AuditEvent = Literal["admin", "auth", "write", "delete", "read"]

Host = Annotated[
    str,
    Field(
        max_length=253,
        json_schema_extra=rules(
            cel(
                r"self.matches(r'^(\*|[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?"
                r"|\[[0-9A-Fa-f:.]+\])$')",
                "write a host name or address without port and path, such as memory.example.org, "
                "or * for any",
            )
        ),
    ),
]
Origin = Annotated[
    str,
    Field(
        max_length=270,
        json_schema_extra=rules(
            cel(
                r"self.matches(r'^(\*|https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])"
                r"(:[0-9]{1,5})?)$')",
                "write https://host or https://host:port without a path, or * for any",
            )
        ),
    ),
]


class AdminKeyReference(ApiModel):
    """Names the entry of a Secret that holds the admin key."""

    name: ObjectName
    """Name of the Secret, in the bank's namespace."""
    key: DataKey = "token"
    """Key of the entry that holds the admin key."""


class SecretReference(ApiModel):
    """Names one entry of a Secret in the bank's namespace."""

    name: ObjectName
    """Name of the Secret, in the bank's namespace."""
    key: DataKey
    """Key of the entry."""


class Jwt(ApiModel):
    """Tokens of an identity provider, accepted beside keys."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.jwksUrl) != has(self.secretRef)",
                "set either spec.auth.jwt.jwksUrl, where the provider publishes its keys, or "
                "spec.auth.jwt.secretRef, a secret shared with it",
            )
        )
    )

    issuer: Annotated[str, Field(min_length=1, max_length=512)]
    """What the claim iss of a token must say."""
    audience: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=512)], ...],
        Field(min_length=1, max_length=16, json_schema_extra=_SET),
    ]
    """What the claim aud must hold one of; for MCP clients the address of /mcp."""
    jwks_url: HttpUrl | None = None
    """Where the provider publishes its keys. Tokens signed by RS*, PS*, ES* and EdDSA are taken."""
    secret_ref: SecretReference | None = None
    """A secret of at least 64 bytes shared with the provider instead. Tokens signed by HS* are
    taken. The running pod takes a changed one; the former is good for five minutes more.
    """
    roles_claim: ClaimPath = "roles"
    """The claim that names roles; dots lead into objects, such as realm_access.roles."""
    tenant_claim: Annotated[str, Field(max_length=256)] = "tenant"
    """The claim that names the tenant. Empty: everybody is of the tenant default."""


Roles = Annotated[
    dict[str, Annotated[tuple[Right, ...], Field(max_length=4, json_schema_extra=_SET)]],
    Field(
        max_length=32,
        json_schema_extra=rules(
            cel(
                "self.all(k, k.matches('^[a-z]([a-z0-9_-]{0,61}[a-z0-9])?$'))",
                "write the names of roles with lower-case letters, digits, '-' and '_', beginning "
                "with a letter, at most 63 of them",
            ),
            cel(
                f"self.all(k, !(k in {list(BUILTIN_ROLES)}))",
                f"{', '.join(BUILTIN_ROLES)} are roles that every bank has: name yours differently",
            ),
        ),
    ),
]


class Auth(ApiModel):
    """Who may use the bank."""

    admin_key_secret_ref: AdminKeyReference | None = None
    """Your own admin key: `mb_` and 43 URL-safe base64 characters. Left out, a key is generated."""
    jwt: Jwt | None = None
    """Tokens of an identity provider, accepted beside keys."""
    roles: Roles = Field(default_factory=dict)
    """Roles of your own beside admin, developer and readonly: a name, and any of read, write,
    delete and admin.
    """


class Limits(ApiModel):
    """What a client may ask of the bank."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!has(self.burst) || has(self.requestsPerMinute)",
                "spec.limits.burst says how much of requestsPerMinute may come at once: set "
                "requestsPerMinute as well",
                field_path=".burst",
            ),
            cel(
                "!has(self.tenantBurst) || has(self.tenantRequestsPerMinute)",
                "spec.limits.tenantBurst says how much of tenantRequestsPerMinute may come at "
                "once: set tenantRequestsPerMinute as well",
                field_path=".tenantBurst",
            ),
        )
    )

    max_body_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    """Largest request body that is accepted, in bytes."""
    requests_per_minute: Rate | None = None
    """How many requests each key may make in a minute. Left out, as many as it likes."""
    burst: Rate | None = None
    """How many of them at once. Left out, a minute's worth."""
    tenant_requests_per_minute: Rate | None = None
    """How many requests all keys of a tenant together may make in a minute, unless the tenant has
    a limit of its own. Left out, as many as they like.
    """
    tenant_burst: Rate | None = None
    """How many of them at once. Left out, a minute's worth."""


class Cors(ApiModel):
    """Which web pages may use the bank from a browser."""

    allowed_origins: Annotated[
        tuple[Origin, ...], Field(max_length=64, json_schema_extra=_ATOMIC)
    ] = ()
    """Where the pages come from, such as https://notes.example.org; * allows any."""
    max_age_seconds: Annotated[int, Field(ge=0, le=86_400)] = 600
    """How long browsers may remember the answer, in seconds."""


class Security(ApiModel):
    """By which addresses the bank may be asked for."""

    allowed_hosts: Annotated[tuple[Host, ...], Field(max_length=64, json_schema_extra=_ATOMIC)] = ()
    """More names by which clients address the bank, without port, beside those of its Service.
    Requests with another Host header are refused; * allows any.
    """
    public_url: (
        Annotated[
            str,
            Field(
                max_length=512,
                json_schema_extra=rules(
                    cel(
                        r"self.matches(r'^https?://[^/\s]+/?$')",
                        "spec.security.publicUrl must be http:// or https:// and a host, without "
                        "a path, such as https://memory.example.org",
                    )
                ),
            ),
        ]
        | None
    ) = None
    """The bank's address for clients, where it is not the one that they send as Host, such as
    behind a proxy that ends TLS.
    """


class Audit(ApiModel):
    """Who did what, kept in a chain of hashes; never contents."""

    enabled: bool = True
    """Whether anything is recorded."""
    events: Annotated[tuple[AuditEvent, ...], Field(max_length=5, json_schema_extra=_SET)] = (
        "admin",
        "auth",
        "write",
        "delete",
    )
    """What is recorded: admin (keys, tenants), auth (refused requests), write and delete
    (memories), read (requests that changed nothing).
    """
    retention_days: Annotated[int, Field(ge=KEEP_FOR_EVER, le=36_500)] = 365
    """Older records are dropped. 0 keeps them for ever."""


class Forgetting(ApiModel):
    """When memories are forgotten that nobody uses: first archived, then in the trash, then gone.
    Pinned and held ones never are.
    """

    enabled: bool = False
    """Whether the job runs by itself. It can always be asked to run."""
    interval_hours: Annotated[int, Field(ge=1, le=8_760)] = 24
    """Hours between two runs."""
    threshold: Annotated[
        float,
        Field(
            ge=0.001,
            json_schema_extra=rules(
                cel("self < 0.2", "spec.forgetting.threshold must be below 0.2, such as 0.1")
            ),
        ),
    ] = 0.1
    """Memories of less strength are archived. At least 0.001 and below 0.2."""
    grace_days: Annotated[int, Field(ge=1, le=3_650)] = 30
    """How long a forgotten memory stays in the archive before it goes to the trash, and any memory
    in the trash before it is gone, in days.
    """
    half_life_days: Annotated[
        dict[str, Annotated[float, Field(ge=0.1, le=36_500)]],
        Field(
            max_length=len(MEMORY_TYPES),
            json_schema_extra=rules(
                cel(
                    f"self.all(k, k in {list(MEMORY_TYPES)})",
                    "spec.forgetting.halfLifeDays must name types of memories: "
                    + ", ".join(MEMORY_TYPES),
                )
            ),
        ),
    ] = Field(default_factory=dict)
    """Days after which the strength of an unused memory is halved, by type of memory. Left out,
    each type has its own default.
    """
    dry_run: bool = False
    """Whether runs change nothing and only tell what they would do."""


class WriteGate(ApiModel):
    """What is kept out of memories."""

    secrets: Literal["off", "flag", "mask", "refuse"] = "mask"
    """What to do about keys, passwords and the like."""
    personal: Literal["off", "flag", "mask", "refuse"] = "flag"
    """What to do about addresses, phone, card and account numbers."""
    junk: Literal["off", "flag", "refuse"] = "flag"
    """What to do about texts that look like nothing worth remembering."""
    junk_score: Annotated[float, Field(ge=0.01, le=1)] = 0.8
    """From which score on a text is junk, at most 1."""
    recall_echo: Literal["off", "flag", "deduplicate", "refuse"] = "deduplicate"
    """What to do about texts that the same key has just recalled."""
    max_characters: Annotated[int, Field(ge=100, le=1_000_000)] = 100_000
    """Longest text of a memory, typed fields included."""


class OpenAi(ApiModel):
    """A service that speaks like OpenAI's."""

    base_url: HttpUrl = "https://api.openai.com/v1"
    """What comes before /embeddings."""
    key_secret_ref: SecretReference | None = None
    """The key to call it with. Left out, none is sent. The running pod takes a changed one."""


class Embedding(ApiModel):
    """What turns texts into vectors. Another model makes all vectors anew in the background."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!self.provider.startsWith('builtin') "
                "|| (!has(self.model) && !has(self.dimensions))",
                "spec.embedding.model and dimensions are for the providers ollama and openai: "
                "remove them, or choose one of these providers",
                field_path=".provider",
            ),
            cel(
                "self.provider.startsWith('builtin') || has(self.model)",
                "spec.embedding.model must name the model of the provider, such as "
                "nomic-embed-text of ollama",
                field_path=".provider",
            ),
            cel(
                "self.provider != 'ollama' || has(self.ollama)",
                "spec.embedding.ollama must say which Ollama: url of one that runs already, such "
                "as http://ollama.models.svc:11434, or managed: {} for one of the bank's own",
                field_path=".provider",
            ),
        )
    )

    provider: Literal["builtin", "builtin-tiny", "ollama", "openai"] = "builtin"
    """builtin is a small model within the pod, which needs no network. builtin-tiny is a table of
    word vectors, for tests and very small pods. ollama and openai are services.
    """
    model: (
        Annotated[
            str,
            Field(
                max_length=200,
                json_schema_extra=rules(
                    cel(
                        "self.matches('^[A-Za-z0-9_./:@+-]+$')",
                        "write the name of a model as its service does, such as "
                        "text-embedding-3-small",
                    )
                ),
            ),
        ]
        | None
    ) = None
    """Name of the model; for services, which have no default."""
    dimensions: Annotated[int, Field(ge=1, le=8_192)] | None = None
    """Length of the vectors to ask a service for. Left out, the model's own."""
    ollama: Ollama | None = None
    """The Ollama server, with provider ollama. It has no authentication: let only banks reach it.
    One that is managed is reached by nobody else where network policies are enforced.
    """
    openai: OpenAi = OpenAi()
    """The service that speaks like OpenAI's, with provider openai."""
    timeout_seconds: Annotated[int, Field(ge=1, le=600)] = 30
    """How long a service may take to answer a request."""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """How often a request that failed is sent again."""
    breaker_failures: Annotated[int, Field(ge=1, le=1_000)] = 5
    """Failed requests in a row after which a service is let be for a while."""
    breaker_seconds: Annotated[int, Field(ge=1, le=60)] = 5
    """For how long; doubled up to a minute while it fails."""

    @property
    def managed_ollama(self) -> ManagedOllama | None:
        """The Ollama server that the operator is to run, None when there is to be none."""
        if self.provider != "ollama" or self.ollama is None:
            return None
        return self.ollama.managed


class Encryption(ApiModel):
    """Whether the database on the volume holds no clear text."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.enabled == oldSelf.enabled",
                "spec.encryption.enabled cannot change: put the old value back, or export the "
                "memories, create another bank with encryption and import them there",
                field_path=".enabled",
            ),
        )
    )

    enabled: bool = False
    """Whether contents, titles, tags, metadata and vectors are encrypted at rest. It cannot change.
    """
    key_secret_ref: SecretReference | None = None
    """The key ring: {"active": id, "keys": {id: 32 bytes in base64}}. Left out, one is generated
    once, in the entry ring.json of the Secret NAME-key-ring, which is kept as long as the volume.
    To change keys, add one and make it active; the old ones have to stay until the bank was Ready
    again. Without the ring nobody can read the bank, its backups included: keep a copy elsewhere.
    """

    @property
    def ring_is_generated(self) -> bool:
        """Whether the bank is encrypted by a ring that the operator makes."""
        return self.enabled and self.key_secret_ref is None


class Cache(ApiModel):
    """What is remembered so that it need not be computed again."""

    embeddings: Annotated[int, Field(ge=0, le=1_000_000)] = 4_096
    """Texts whose vectors are kept in memory, about 1.7 KB each; 0 keeps none."""


class Lifecycle(ApiModel):
    """How a pod of the bank stops. Its grace period is the sum of both and 9 seconds."""

    drain_seconds: Annotated[int, Field(ge=0, le=300)] = 1
    """After the signal to stop: how long to go on accepting connections, until everybody knows."""
    shutdown_seconds: Annotated[int, Field(ge=1, le=3_600)] = 20
    """After that: how long requests under way may take."""


class Logging(ApiModel):
    """What the memory service writes to its log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important entries that are still written."""
    format: Literal["json", "text"] = "json"
    """json for machines, text for people."""
