"""All kinds of things that agents work with, on one service of memories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from memorybank.domain.memory import MemoryType
from memorybank.services.memories import MemoryService, now_utc
from memorybank.services.timing import Timed, untimed
from memorybank.services.waking import Waking
from memorybank.services.work.advising import Advising
from memorybank.services.work.edits import Edits
from memorybank.services.work.episodes import Episodes
from memorybank.services.work.handoffs import Handoffs
from memorybank.services.work.learning import Learning
from memorybank.services.work.projects import Projects
from memorybank.services.work.sessions import Sessions
from memorybank.services.work.steps import StepQueue
from memorybank.services.work.tasks import Tasks
from memorybank.services.work.things import Things


@dataclass(frozen=True, slots=True)
class Work:
    """A service for each kind."""

    projects: Projects
    sessions: Sessions
    notes: Things
    decisions: Things
    capsules: Things
    events: Things
    episodes: Episodes
    tasks: Tasks
    advising: Advising
    handoffs: Handoffs
    waking: Waking
    edits: Edits

    @classmethod
    def on(
        cls,
        memories: MemoryService,
        steps: StepQueue,
        *,
        clock: Callable[[], datetime] = now_utc,
        timed: Timed = untimed,
    ) -> Work:
        """Return them."""
        advising = Advising(memories, Learning(steps.store, timed=timed), steps.store, timed=timed)

        def things(kind: MemoryType) -> Things:
            return Things(memories, kind, clock=clock)

        return cls(
            projects=Projects(memories, clock=clock),
            sessions=Sessions(memories, clock=clock),
            notes=things(MemoryType.NOTE),
            decisions=things(MemoryType.DECISION),
            capsules=things(MemoryType.CAPSULE),
            events=things(MemoryType.EVENT),
            episodes=Episodes(memories, steps, ended=advising.soon, clock=clock, timed=timed),
            advising=advising,
            tasks=Tasks(memories, clock=clock),
            handoffs=Handoffs(memories, clock=clock),
            waking=Waking(memories, clock=clock),
            edits=Edits(memories, clock=clock),
        )
