"""Prompts that a person starts: at the beginning of work and at its end."""

from __future__ import annotations

from collections.abc import Mapping

from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    GetPromptResult,
    Prompt,
    PromptArgument,
    PromptMessage,
    TextContent,
)
from pydantic import ValidationError

from memorybank.auth.principal import Principal
from memorybank.schemas.problems import invalid_request
from memorybank.schemas.wakeup import WakeUpRequest
from memorybank.services.waking import Waking

_PROJECT = PromptArgument(name="project", description="The project, if it is only about one.")
_WAKE_UP = Prompt(
    name="wake_up",
    title="Wake up",
    description="Begin work with what was handed off, and what is open, decided and known.",
    arguments=[
        PromptArgument(name="subject", description="What the work is about, to find more of it."),
        _PROJECT,
        PromptArgument(name="with_whom", description="Whose thread of hand-offs goes on."),
    ],
)
_WRAP_UP = Prompt(
    name="wrap_up",
    title="Wrap up",
    description="End work by remembering what will be worth knowing.",
    arguments=[_PROJECT],
)
_PROMPTS = {prompt.name: prompt for prompt in (_WAKE_UP, _WRAP_UP)}

_TO_REMEMBER = """\
Before this conversation ends, look back at it{project} and store with the tool `remember` what \
will be worth knowing in another one:

- decisions, and why they were taken (type `decision`);
- errors that were understood, and what cured them (type `error_solution`);
- facts about people, systems and places that were not known before (type `fact`);
- preferences that somebody stated (type `preference`);
- what is left to do (type `task`).

Then leave with the tool `handoff`, once, what whoever goes on needs: what was done, why, what \
failed, and in `remember` what to do next.

One memory for each, written so that it can be understood on its own, with names and dates instead \
of "he" and "today". Correct with `update` what is stored and turned out to be wrong. Store no \
secrets, nothing that is easy to look up, and nothing twice. If there is nothing, store nothing."""


class MemoryPrompts:
    """The prompts, over the same services as the tools; they need the scope memory:read."""

    def __init__(self, waking: Waking) -> None:
        self._waking = waking

    @staticmethod
    def listed(*, to_write: bool) -> list[Prompt]:
        """Return what there is; what ends in writing only where that can be done."""
        return [each for each in _PROMPTS.values() if to_write or each is not _WRAP_UP]

    async def get(
        self, caller: Principal, name: str, arguments: Mapping[str, str]
    ) -> GetPromptResult:
        """Return a prompt filled in; MCPError for one that there is not, or wrong arguments."""
        prompt = _PROMPTS.get(name)
        if prompt is None:
            raise _wrong(f"there is no prompt of this name; there are {', '.join(_PROMPTS)}")
        known = {argument.name for argument in prompt.arguments or ()}
        if arguments.keys() - known:
            raise _wrong(f"{name} takes only {', '.join(sorted(known))}")
        if prompt is _WAKE_UP:
            text = await self._wake_up(caller, arguments)
        else:
            project = arguments.get("project")
            about = f" (project {project!r})" if project else ""
            text = _TO_REMEMBER.format(project=about)
        return GetPromptResult(
            description=prompt.description,
            messages=[PromptMessage(role="user", content=TextContent(text=text))],
        )

    async def _wake_up(self, caller: Principal, arguments: Mapping[str, str]) -> str:
        try:
            asked = WakeUpRequest.model_validate(dict(arguments))
        except ValidationError as error:
            raise _wrong(invalid_request(error.errors()).message) from None
        pack, _degraded = await self._waking.wake_up(caller, asked)
        about = "" if asked.subject is None else f" on this subject: {asked.subject}"
        if not pack.text:
            return f"We begin to work{about}. Nothing is remembered yet."
        return (
            f"We begin to work{about}\n\n{pack.text}\n\n"
            "Say in a few sentences what matters of it now and what is open. `recall` finds more."
        )


def _wrong(message: str) -> MCPError:
    return MCPError(code=INVALID_PARAMS, message=message)
