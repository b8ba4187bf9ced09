"""The tool `episode`, by which an agent tells its work, goes on with it and asks what experience
says; and the tools of `profile=full` about episodes and what they teach.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field

from memorybank.auth.principal import Principal
from memorybank.domain.keys import Scope
from memorybank.errors import InvalidRequest
from memorybank.mcp.more_tools import Listed
from memorybank.mcp.tools import ToolSpec, Updated, told
from memorybank.schemas.details import Share
from memorybank.schemas.fields import Detail, MemoryId, Name, Request, Response, Title
from memorybank.schemas.work.episodes import (
    EpisodeCompletion,
    EpisodeEnd,
    EpisodeQuery,
    NewCheckpoint,
    NewEpisode,
    NewStep,
    OutcomeName,
    StepPage,
    StepQuery,
    StepView,
)
from memorybank.schemas.work.learning import (
    EffectName,
    HeuristicQuery,
    NewFeedback,
    PatternList,
    PatternQuery,
    PatternView,
    Task,
)
from memorybank.services.work.advising import Shown
from memorybank.services.work.work import Work

_Run = Callable[[Principal, Any], Awaitable[BaseModel]]
_Model = TypeVar("_Model", bound=BaseModel)
_TOKENS = 600
"""Of a playbook: what is more, the full profile's tools tell."""


class EpisodeRequest(Request):
    """What to do, and what that needs; what is wrong or lacks is told."""

    action: Literal["start", "step", "complete", "checkpoint", "resume", "recommend", "feedback"]
    id: MemoryId | None = Field(None, description="The episode; not for start, recommend.")
    text: Detail | None = Field(
        None, description="Task; what was done; what is learned; why it stops here."
    )
    task_type: Name | None = None
    project: Name | None = None
    tool: Name | None = Field(None, description="step")
    error: Title | None = Field(None, description="step, recommend: its name")
    outcome: OutcomeName | None = None
    reward: Share | None = None
    left: list[Detail] | None = Field(None, description="checkpoint: to do")
    checkpoint: MemoryId | None = Field(None, description="resume")
    pattern: Name | None = None
    effect: EffectName | None = None


class EpisodeAnswer(Response):
    """What came of it."""

    id: str | None = Field(description="Of the episode; of a checkpoint that was made.")
    text: str
    patterns: dict[str, str] = Field({}, description="What is recommended, by ids.")


class WhichSteps(StepQuery):
    """Which episode, and which of its steps."""

    id: MemoryId


class EndArguments(EpisodeEnd):
    """Which episode, and how it ended."""

    id: MemoryId


class WhichPattern(Request):
    """Which pattern."""

    id: Annotated[Name, Field(description="The pattern's.")]


def episode_tool(work: Work) -> ToolSpec[Any]:
    """Return the tool of the default profile."""
    does = _actions(work)

    async def run(caller: Principal, request: EpisodeRequest) -> EpisodeAnswer:
        return await does[request.action](caller, request)

    return ToolSpec(
        name="episode",
        title="Episode",
        description="Tell a piece of work: start, each step, complete; checkpoint and resume it. "
        "recommend says what worked before, feedback what that was good for.",
        scope=Scope.WRITE,
        arguments=EpisodeRequest,
        result=EpisodeAnswer,
        run=run,
    )


def _actions(
    work: Work,
) -> Mapping[str, Callable[[Principal, EpisodeRequest], Awaitable[EpisodeAnswer]]]:
    episodes, advising = work.episodes, work.advising

    async def start(caller: Principal, asked: EpisodeRequest) -> EpisodeAnswer:
        fields = _given({"task_type": asked.task_type, "project": asked.project})
        task = _needed(asked, "text")
        stored = await episodes.add(caller, NewEpisode(content=task, **fields))
        return EpisodeAnswer(id=stored.memory.id, text="open")

    async def step(caller: Principal, asked: EpisodeRequest) -> EpisodeAnswer:
        fields = _given({"action": asked.text, "error": asked.error})
        new = NewStep(tool=_needed(asked, "tool"), **fields)
        episode = _needed(asked, "id")
        taken = await episodes.add_steps(caller, episode, [new], wait=False)
        words = ["queued" if taken.numbers is None else "persisted", *told(taken.findings)]
        return EpisodeAnswer(id=episode, text="; ".join(words))

    async def complete(caller: Principal, asked: EpisodeRequest) -> EpisodeAnswer:
        fields = _given({"reward": asked.reward, "reflection": asked.text})
        end = EpisodeCompletion(outcome=_needed(asked, "outcome"), **fields)
        episode, findings = await episodes.complete(caller, _needed(asked, "id"), end)
        words = [episode.details["status"], *told(findings)]
        return EpisodeAnswer(id=episode.id, text="; ".join(words))

    async def checkpoint(caller: Principal, asked: EpisodeRequest) -> EpisodeAnswer:
        reason = _needed(asked, "text")
        # A line says why; what is longer is for whoever goes on.
        first = reason.splitlines()[0][:200]
        note = None if first == reason else reason
        new = NewCheckpoint(reason=first, note=note, left=asked.left, handoff=True)
        made = await episodes.checkpoint(caller, _needed(asked, "id"), new)
        return EpisodeAnswer(id=made.id, text=made.pack.text())

    async def resume(caller: Principal, asked: EpisodeRequest) -> EpisodeAnswer:
        before, place = _needed(asked, "id"), _needed(asked, "checkpoint")
        stored, pack = await episodes.resume(caller, before, place)
        return EpisodeAnswer(id=stored.memory.id, text=pack.text())

    async def recommend(caller: Principal, asked: EpisodeRequest) -> EpisodeAnswer:
        task = Task(
            text=_needed(asked, "text")[:4_000],
            task_type=asked.task_type,
            project=asked.project,
            errors=[] if asked.error is None else [asked.error[:200]],
            max_tokens=_TOKENS,
        )
        found = await advising.recommend(caller, task)
        every = [*found.sequences, *found.cures, *found.choices]
        shown = {each.judged.pattern.id: " -> ".join(each.judged.pattern.action) for each in every}
        return EpisodeAnswer(id=None, text=found.playbook or "nothing known", patterns=shown)

    async def feedback(caller: Principal, asked: EpisodeRequest) -> EpisodeAnswer:
        new = NewFeedback(pattern=_needed(asked, "pattern"), effect=_needed(asked, "effect"))
        episode, _findings = await advising.feedback(caller, _needed(asked, "id"), new)
        return EpisodeAnswer(id=episode.id, text="counted")

    every = (start, step, complete, checkpoint, resume, recommend, feedback)
    return {each.__name__: each for each in every}


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _needed(asked: EpisodeRequest, field: str) -> Any:
    value = getattr(asked, field)
    if value is None:
        raise InvalidRequest(f"{asked.action} needs {field}", field=field, hint="add it")
    return value


def episode_tools(work: Work) -> list[ToolSpec[Any]]:
    """Return the tools of the full profile, always in the same order."""
    episodes, advising = work.episodes, work.advising

    async def list_page(caller: Principal, query: EpisodeQuery) -> Listed:
        return Listed.of(await episodes.list_page(caller, query))

    async def steps(caller: Principal, which: WhichSteps) -> StepPage:
        page = await episodes.steps(caller, which.id, which)
        shown = [StepView.of(each) for each in page.steps]
        return StepPage(steps=shown, next_after=page.next_after, total=page.total)

    async def abandon(caller: Principal, which: EndArguments) -> Updated:
        end = EpisodeEnd.model_validate(which.model_dump(exclude={"id"}, exclude_unset=True))
        memory, findings = await episodes.abandon(caller, which.id, end)
        return Updated(
            id=memory.id,
            revision=memory.revision,
            updated_at=memory.updated_at,
            findings=told(findings),
        )

    async def patterns(caller: Principal, query: PatternQuery) -> PatternList:
        found, count = await advising.patterns(caller, query)
        return PatternList(patterns=[_view(each) for each in found], episodes=count)

    async def pattern(caller: Principal, which: WhichPattern) -> PatternView:
        return _view(await advising.pattern(caller, which.id))

    async def heuristics(caller: Principal, query: HeuristicQuery) -> Listed:
        return Listed.of(await advising.heuristics.list_page(caller, query))

    return [
        _reading("episode_list", "List episodes", EpisodeQuery, list_page, Listed),
        _reading("episode_steps", "Show the steps of an episode", WhichSteps, steps, StepPage),
        ToolSpec(
            name="episode_abandon",
            title="Abandon episode",
            description="End an episode that comes to nothing. Nothing is learned from it.",
            scope=Scope.WRITE,
            arguments=EndArguments,
            result=Updated,
            run=abandon,
        ),
        _reading("pattern_list", "List what episodes teach", PatternQuery, patterns, PatternList),
        _reading("pattern_get", "Show a pattern, and why", WhichPattern, pattern, PatternView),
        _reading("heuristic_list", "List heuristics", HeuristicQuery, heuristics, Listed),
    ]


def _reading(
    name: str, title: str, arguments: type[_Model], run: _Run, result: type[BaseModel]
) -> ToolSpec[Any]:
    return ToolSpec(
        name=name,
        title=title,
        description=f"{title}.",
        scope=Scope.READ,
        arguments=arguments,
        result=result,
        run=run,
        read_only=True,
        idempotent=True,
    )


def _view(found: Shown) -> PatternView:
    return PatternView.of(found.judged, found.why)
