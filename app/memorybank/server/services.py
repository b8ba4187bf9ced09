"""The services on an engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from memorybank.auth.authenticator import Authenticator, TokenAuthenticator
from memorybank.domain.configuration import ConfigurationInEffect
from memorybank.domain.consolidation.rules import Rules
from memorybank.domain.forgetting import Policy
from memorybank.domain.gate import GatePolicy
from memorybank.domain.keys import Roles
from memorybank.domain.work.episodes import StepBatching
from memorybank.schemas.transfer import Space
from memorybank.server.engine import Engine
from memorybank.services.audit import AuditService
from memorybank.services.care import CareService
from memorybank.services.consolidation import Consolidation, Heard
from memorybank.services.embedding import Reembedding
from memorybank.services.encryption import EncryptionService
from memorybank.services.exporting import ExportService
from memorybank.services.following import Following
from memorybank.services.forgetting import Forgetting
from memorybank.services.importing import ImportService
from memorybank.services.keys import KeyService
from memorybank.services.leadership import Leadership
from memorybank.services.memories import MemoryService, now_utc
from memorybank.services.selftest import SelfTest
from memorybank.services.steady import SteadyClock
from memorybank.services.tenants import TenantService
from memorybank.services.timing import Counted, Timed, uncounted, untimed
from memorybank.services.work.steps import StepQueue
from memorybank.services.work.work import Work
from memorybank.version import VERSION


@dataclass(frozen=True, slots=True)
class Services:
    """Every use case, and who may use them."""

    memories: MemoryService
    work: Work
    steps: StepQueue
    forgetting: Forgetting
    consolidation: Consolidation
    keys: KeyService
    tenants: TenantService
    exports: ExportService
    imports: ImportService
    audit: AuditService
    care: CareService
    embedding: Reembedding
    encryption: EncryptionService
    authenticator: Authenticator
    selftest: SelfTest
    following: Following | None
    """None where no other process writes."""
    leadership: Leadership

    @classmethod
    async def on(
        cls,
        engine: Engine,
        *,
        configuration: ConfigurationInEffect | None = None,
        roles: Roles | None = None,
        jwt: TokenAuthenticator | None = None,
        forgetting: Policy | None = None,
        consolidation: Rules | None = None,
        consolidated: Heard = lambda _run: None,
        gate: GatePolicy | None = None,
        batching: StepBatching | None = None,
        timed: Timed = untimed,
        counted: Counted = uncounted,
    ) -> Services:
        """Return the services; `timed` hears how long their steps take, `counted` what is done."""
        stats = await engine.store.stats()
        roles = roles or Roles()
        access = engine.store.access
        authenticator = Authenticator(access, roles=roles, jwt=jwt)
        leadership = Leadership(engine.shared)
        embedding = Reembedding(engine.store, engine.embedders, engine.index, leadership=leadership)
        reading = await engine.store.forgetting.read_clock()
        clock = SteadyClock(reading)
        memories = MemoryService(
            engine.store,
            engine.embedder,
            engine.index,
            seq=stats.seq,
            steady=clock.stamp,
            timed=timed,
            counted=counted,
            deferred=embedding.wake,
            gate=gate,
        )
        # Where several processes write, the end of an episode would not know what waits elsewhere.
        waits = engine.shared is None
        steps = StepQueue(engine.store.episodes, waits=waits, batching=batching, timed=timed)
        return cls(
            memories=memories,
            work=Work.on(memories, steps, timed=timed),
            steps=steps,
            forgetting=Forgetting(
                engine.store.forgetting,
                memories.ledger,
                memories.touches,
                clock,
                forgetting or Policy(),
                leadership=leadership,
                last_run=None if reading is None else reading.job_ran_at,
                timed=timed,
            ),
            consolidation=Consolidation(
                engine.store,
                engine.index,
                memories.adding,
                memories.ledger,
                memories.touches,
                consolidation or Rules(),
                leadership=leadership,
                alone=engine.shared is None,
                clock=now_utc,
                steady=clock.stamp,
                heard=consolidated,
            ),
            embedding=embedding,
            keys=KeyService(access, authenticator, roles=roles),
            tenants=TenantService(access, engine.index, authenticator),
            exports=ExportService(
                engine.store,
                steps,
                space=lambda: Space(
                    model=engine.embedder.model, dimensions=engine.embedder.dimensions
                ),
                version=VERSION,
            ),
            imports=ImportService(engine.store, engine.embedder, engine.index),
            audit=AuditService(access),
            care=CareService(
                engine.store,
                engine.embedder,
                engine.index,
                version=VERSION,
                cache=engine.cache,
                configuration=configuration or ConfigurationInEffect(),
            ),
            encryption=EncryptionService(access),
            authenticator=authenticator,
            selftest=SelfTest(
                engine.store,
                engine.embedder,
                engine.index,
                stale=None if engine.followed is None else engine.followed.stale,
            ),
            following=None
            if engine.shared is None
            else Following(
                engine.shared,
                engine.index,
                authenticator,
                renew=engine.renew,
            ),
            leadership=leadership,
        )

    @asynccontextmanager
    async def background(self) -> AsyncIterator[None]:
        """Do what goes on beside requests; on the way out it is brought to an end."""
        work = (
            self.memories.touches.run(),
            self.steps.run(),
            self.forgetting.follow_schedule(),
            self.consolidation.follow_schedule(),
            self.embedding.run(),
            self.leadership.run(),
            *(() if self.following is None else (self.following.run(), self.embedding.look())),
        )
        tasks = [asyncio.create_task(each) for each in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await self.work.advising.close()
            await asyncio.gather(*tasks, return_exceptions=True)
