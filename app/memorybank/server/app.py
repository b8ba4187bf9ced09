"""The whole application on an engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.types import ASGIApp

from memorybank.domain.configuration import ConfigurationInEffect
from memorybank.health import Readiness
from memorybank.http.app import Api, create_api
from memorybank.http.cors import Cors
from memorybank.http.direct import DirectRoutes
from memorybank.http.middleware import surround
from memorybank.http.reading import ReadingOnly
from memorybank.http.resource import ResourceRoutes
from memorybank.http.routes_audit import AuditRoutes
from memorybank.http.routes_backup import BackupRoutes
from memorybank.http.routes_care import CareRoutes
from memorybank.http.routes_consolidation import ConsolidationRoutes
from memorybank.http.routes_edges import EdgeRoutes
from memorybank.http.routes_edits import EditRoutes
from memorybank.http.routes_embedding import EmbeddingRoutes
from memorybank.http.routes_encryption import EncryptionRoutes
from memorybank.http.routes_episodes import EpisodeRoutes
from memorybank.http.routes_forgetting import ForgettingRoutes
from memorybank.http.routes_guides import GuideRoutes
from memorybank.http.routes_handoffs import HandoffRoutes
from memorybank.http.routes_health import HealthRoutes
from memorybank.http.routes_keys import KeyRoutes
from memorybank.http.routes_learning import LearningRoutes
from memorybank.http.routes_life import LifeRoutes
from memorybank.http.routes_memories import MemoryRoutes
from memorybank.http.routes_search import SearchRoutes
from memorybank.http.routes_sessions import SessionRoutes
from memorybank.http.routes_tasks import TaskRoutes
from memorybank.http.routes_tenants import TenantRoutes
from memorybank.http.routes_transfer import TransferRoutes
from memorybank.http.routes_wake_up import WakeUpRoutes
from memorybank.http.routes_work import work_routers
from memorybank.server.deferred import Deferred, WithLifespan
from memorybank.server.engine import Engine
from memorybank.server.federation import Federation
from memorybank.server.housekeeping import Housekeeping
from memorybank.server.reload import Surroundings
from memorybank.server.services import Services
from memorybank.services.activity import Activity
from memorybank.services.backups import BackupService, Replicated
from memorybank.settings import Settings
from memorybank.telemetry import Telemetry
from memorybank.tracing import Tracer, Unrecorded
from memorybank.version import VERSION


@dataclass(frozen=True, slots=True)
class Application:
    """What the process serves, and what it turns when it stops."""

    asgi: Surroundings
    api: Api
    readiness: Readiness
    services: Services
    mcp: Deferred
    federation: Federation
    configuration: ConfigurationInEffect
    behind: Callable[[], float]
    """For how many seconds others may have stored what is not known here."""


async def build_application(
    engine: Engine,
    settings: Settings,
    telemetry: Telemetry,
    tracer: Tracer | None = None,
    backups: Replicated | None = None,
) -> Application:
    """Put services and faces together; without a `tracer` no traces are recorded."""
    tracer = tracer or Unrecorded()
    roles = settings.auth.to_roles()
    federation = Federation(settings.auth.jwt, engine.store.access, roles)
    configuration = ConfigurationInEffect()
    services = await Services.on(
        engine,
        configuration=configuration,
        roles=roles,
        jwt=federation.authenticator,
        forgetting=settings.forgetting.to_policy(),
        consolidation=settings.consolidation.to_rules(),
        consolidated=telemetry.consolidation.ended,
        gate=settings.write_gate.to_policy(),
        batching=settings.episodes.to_batching(),
        timed=tracer.timed(telemetry.timed),
        counted=telemetry.counted,
    )
    following, followed = services.following, engine.followed

    def behind() -> float:
        return 0.0 if following is None else following.behind()

    telemetry.follows(leads=lambda: services.leadership.leads, behind=behind)
    telemetry.episodes(lambda: services.steps.waiting)
    if followed is not None:
        telemetry.copies(followed.lag)
    replication = BackupService(backups)
    resource = ResourceRoutes(public_url=settings.security.public_url, issuer=federation.issuer)
    readiness = Readiness(
        services.selftest,
        engine.store.care,
        version=VERSION,
        revision=settings.revision,
        schema_version=engine.store.care.schema_version,
        backup=replication.report,
        follow=lambda: None if followed is None else followed.report(),
        consolidation=services.consolidation.trouble,
    )

    def load_mcp() -> WithLifespan:
        from memorybank.mcp.endpoint import McpEndpoint  # see Deferred

        return McpEndpoint(
            services.memories,
            services.work,
            services.consolidation,
            version=VERSION,
            called=telemetry.tool_called,
            tracer=tracer,
            reads_only=followed is not None,
        )

    mcp = Deferred(load_mcp)
    activity = Activity(engine.store.access, settings.audit.kinds())
    housekeeping = Housekeeping(
        engine.store.access,
        services.authenticator,
        activity,
        services.leadership,
        audit_days=settings.audit.retention_days,
    )

    @asynccontextmanager
    async def lifespan(app: ASGIApp) -> AsyncIterator[None]:
        async with (
            federation.running(),
            mcp.lifespan(app),
            housekeeping.running(),
            services.background(),
        ):
            yield

    async def exposition() -> bytes:
        return await telemetry.exposition(engine.store, engine.index)

    search = SearchRoutes(services.memories.finding)
    memories = MemoryRoutes(services.memories)
    routers = [
        memories.router(),
        search.router(),
        SessionRoutes(services.work.sessions).router(),
        TaskRoutes(services.work.tasks).router(),
        EdgeRoutes(services.memories.edges).router(),
        EditRoutes(services.work.edits).router(),
        *work_routers(services.work),
        EpisodeRoutes(services.work.episodes).router(),
        LearningRoutes(services.work.advising).router(),
        HandoffRoutes(services.work.handoffs).router(),
        WakeUpRoutes(services.work.waking).router(),
        LifeRoutes(services.memories.life).router(),
        ForgettingRoutes(services.forgetting, engine.embedder.model).router(),
        ConsolidationRoutes(services.consolidation).router(),
        KeyRoutes(services.keys).router(),
        TenantRoutes(services.tenants).router(),
        AuditRoutes(services.audit).router(),
        EmbeddingRoutes(services.embedding).router(),
        EncryptionRoutes(services.encryption).router(),
        TransferRoutes(services.exports, services.imports).router(),
        GuideRoutes(
            services.forgetting,
            services.consolidation,
            services.exports,
            engine.embedder.model,
            exposition=exposition if settings.server.metrics_on_port else None,
        ).router(),
        CareRoutes(services.care).router(),
        BackupRoutes(replication).router(),
        HealthRoutes(readiness, VERSION).router(),
        resource.router(),
    ]
    api = create_api(routers, mcp=mcp, lifespan=lifespan, version=VERSION)

    def surrounded(current: Settings) -> ASGIApp:
        return surround(
            direct,
            telemetry=telemetry,
            tracer=tracer,
            authenticator=services.authenticator,
            limiter=current.limits.to_limiter(),
            cors=Cors(current.cors.allowed_origins, max_age_seconds=current.cors.max_age_seconds),
            resource=resource,
            activity=activity,
            allowed_hosts=current.security.allowed_hosts,
            max_body_bytes=current.limits.max_body_bytes,
        )

    direct: ASGIApp = DirectRoutes(
        api, {"/v1/search": (search.search, 200), "/v1/memories": (memories.create, 201)}
    )
    if settings.follow is not None:
        direct = ReadingOnly(direct, routers, primary_url=settings.follow.primary_url)
    asgi = Surroundings(surrounded, settings)
    return Application(asgi, api, readiness, services, mcp, federation, configuration, behind)
