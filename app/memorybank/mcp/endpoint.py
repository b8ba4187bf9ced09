"""The MCP endpoint: stateless streamable HTTP, JSON answers, both protocol eras.

A request of 2025-11-25 and before (initialize, then calls) and one of 2026-07-28 (every request on
its own) come in by the same door; the mcp package tells them apart. Nothing is kept between two
requests, so any replica may serve any of them.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

from mcp.server import CacheHint, Server, ServerRequestContext
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    PARSE_ERROR,
    CallToolRequestParams,
    CallToolResult,
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    TextContent,
)
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from memorybank import tracing
from memorybank.auth.principal import Face, Principal
from memorybank.domain.keys import Scope as Right
from memorybank.errors import InvalidRequest, MemoryBankError
from memorybank.logs import request_id
from memorybank.mcp.profiles import DEFAULT, profiles
from memorybank.mcp.prompts import MemoryPrompts
from memorybank.mcp.resources import MemoryResources
from memorybank.mcp.tools import ToolSpec
from memorybank.schemas.problems import invalid_request
from memorybank.services.consolidation import Consolidation
from memorybank.services.memories import MemoryService
from memorybank.services.work.work import Work
from memorybank.tracing import TraceContext, Tracer
from memorybank.trail import actor

_logger = logging.getLogger(__name__)

_INSTRUCTIONS = (
    "Long-term memory. Begin work with wake_up and end it with handoff. Recall before you answer "
    "what may have come up before; remember what will be worth knowing in another conversation; "
    "forget what is wrong."
)
_FRESH = CacheHint(ttl_ms=3_600_000, scope="private")
"""How long clients may keep lists. Private: they depend on the key's scopes."""
_STALE = CacheHint(ttl_ms=0, scope="private")
"""What is read is as of now."""
_READING = frozenset({"resources/read", "prompts/get"})
"""Methods that need the scope memory:read."""


class McpEndpoint:
    """An ASGI application for POST /mcp, behind authentication."""

    def __init__(
        self,
        service: MemoryService,
        work: Work,
        consolidation: Consolidation,
        *,
        version: str,
        called: Callable[[str, str], None],
        tracer: Tracer,
        reads_only: bool = False,
    ) -> None:
        """`called` hears of every tool call: the tool's name, and "ok" or the error's code. What
        writes is not offered with `reads_only`: each call of it would be refused by the store.
        """
        self._profiles = profiles(service, work, consolidation)
        self._resources = MemoryResources(service, work)
        self._prompts = MemoryPrompts(work.waking)
        self._called = called
        self._tracer = tracer
        self._reads_only = reads_only
        # A copy of a bank is promoted at any time: then there is more.
        offered = _STALE if reads_only else _FRESH
        server: Server[Any] = Server(
            "memory-bank",
            version=version,
            title="Memory bank",
            instructions=_INSTRUCTIONS,
            cache_hints={
                "tools/list": offered,
                "resources/list": _FRESH,
                "resources/templates/list": _FRESH,
                "prompts/list": offered,
                "resources/read": _STALE,
            },
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates,
            on_read_resource=self._read_resource,
            on_list_prompts=self._list_prompts,
            on_get_prompt=self._get_prompt,
        )
        # The surroundings have checked Host, Origin and size already.
        self._manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True)

    @asynccontextmanager
    async def lifespan(self, _app: ASGIApp) -> AsyncIterator[None]:
        """Run what requests are served in; to be entered by the application that mounts this."""
        async with self._manager.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Raises Forbidden when the key does not allow what it asks for.

        That becomes 403, by which a client learns that another key would do; all else that goes
        wrong in a tool is a result that the model can read.
        """
        request = Request(scope, receive)
        tools = self._profile(request)
        body = await request.body()
        try:
            message = from_json(body, allow_inf_nan=False)
        except ValueError:
            await _parse_error()(scope, receive, send)
            return
        above = _trace_of(message)
        if above is not None:  # nearer to the call than what the request's header says
            tracing.current.set(above)
            scope["state"]["trace"] = above
        spec = tools.get(_called_tool(message) or "")
        if spec is not None:
            scope["state"]["tool"] = spec.name
            _caller(request).require(spec.scope)
        elif isinstance(message, dict) and message.get("method") in _READING:
            _caller(request).require(Right.READ)

        async def replay() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        await self._manager.handle_request(scope, replay, send)

    async def _list_tools(
        self, context: ServerRequestContext[Any], _params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        request = _request(context)
        scopes = _caller(request).scopes
        return ListToolsResult(
            tools=[
                spec.shown()
                for spec in self._profile(request).values()
                if spec.scope in scopes and (spec.read_only or not self._reads_only)
            ]
        )

    def _profile(self, request: Request) -> dict[str, ToolSpec[Any]]:
        """Return the tools that `?profile=` in the address asks for."""
        tools = self._profiles.get(request.query_params.get("profile", DEFAULT))
        if tools is None:
            raise InvalidRequest(
                "there is no profile of this name",
                field="profile",
                hint=f"use one of {', '.join(self._profiles)}",
            )
        return tools

    async def _list_resources(
        self, context: ServerRequestContext[Any], _params: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        return ListResourcesResult(resources=self._resources.listed() if _reads(context) else [])

    async def _list_templates(
        self, context: ServerRequestContext[Any], _params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        templates = self._resources.templates() if _reads(context) else []
        return ListResourceTemplatesResult(resource_templates=templates)

    async def _read_resource(
        self, context: ServerRequestContext[Any], params: ReadResourceRequestParams
    ) -> ReadResourceResult:
        caller = self._entered(context)
        with _told_as_protocol_error():
            return await self._resources.read(caller, params.uri)

    async def _list_prompts(
        self, context: ServerRequestContext[Any], _params: PaginatedRequestParams | None
    ) -> ListPromptsResult:
        listed = self._prompts.listed(to_write=not self._reads_only) if _reads(context) else []
        return ListPromptsResult(prompts=listed)

    async def _get_prompt(
        self, context: ServerRequestContext[Any], params: GetPromptRequestParams
    ) -> GetPromptResult:
        caller = self._entered(context)
        with _told_as_protocol_error():
            return await self._prompts.get(caller, params.name, params.arguments or {})

    def _entered(self, context: ServerRequestContext[Any]) -> Principal:
        """Make the request's ids those of this task, and return the caller.

        The SDK serves requests of 2025-11-25 in a task of its own.
        """
        request = _request(context)
        request_id.set(request.state.request_id)
        tracing.current.set(request.state.trace)
        actor.set(request.state.actor)
        return _caller(request)

    async def _call_tool(
        self, context: ServerRequestContext[Any], params: CallToolRequestParams
    ) -> CallToolResult:
        spec = self._profile(_request(context)).get(params.name)
        if spec is None:
            raise MCPError(code=INVALID_PARAMS, message="there is no tool of this name")
        caller = self._entered(context)
        span = self._tracer.begin(tracing.current.get())
        tracing.current.set(span.context)
        outcome = "ok"
        try:
            result = await spec.call(caller, params.arguments or {})
        except ValidationError as error:
            outcome, answer = "invalid_request", _failed(invalid_request(error.errors()))
        except MemoryBankError as error:
            outcome, answer = error.code, _failed(error)
        except Exception:
            _logger.exception("unexpected error in the tool %s", spec.name)
            outcome, answer = "internal", _failed(_internal_error())
        else:
            answer = _succeeded(result)
        self._called(spec.name, outcome)
        facts = {"gen_ai.tool.name": spec.name, "memorybank.outcome": outcome}
        span.end(f"tools/call {spec.name}", facts, failed=outcome == "internal")
        return answer


@contextmanager
def _told_as_protocol_error() -> Iterator[None]:
    """Tell what goes wrong outside of tools, whose results could say it themselves."""
    try:
        yield
    except MemoryBankError as error:
        text = error.message if error.hint is None else f"{error.message}; {error.hint}"
        raise MCPError(code=INTERNAL_ERROR, message=text) from None


def _reads(context: ServerRequestContext[Any]) -> bool:
    return Right.READ in _caller(_request(context)).scopes


def _called_tool(message: object) -> str | None:
    """Return the name of the tool that a JSON-RPC message calls."""
    if not isinstance(message, dict) or message.get("method") != "tools/call":
        return None
    params = message.get("params")
    name = params.get("name") if isinstance(params, dict) else None
    return name if isinstance(name, str) else None


def _trace_of(message: object) -> TraceContext | None:
    """Return the trace that a JSON-RPC message says it belongs to, in its `_meta`."""
    for name in ("params", "_meta"):
        message = message.get(name) if isinstance(message, dict) else None
    return tracing.parse(message.get(tracing.HEADER)) if isinstance(message, dict) else None


def _request(context: ServerRequestContext[Any]) -> Request:
    assert isinstance(context.request, Request)  # noqa: S101  # it came over HTTP
    return context.request


def _caller(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return replace(principal, face=Face.MCP)


def _succeeded(result: BaseModel) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(text=result.model_dump_json())],
        structured_content=result.model_dump(mode="json"),
    )


def _failed(error: MemoryBankError) -> CallToolResult:
    """Return an error that the model can read and act upon."""
    text = error.message if error.hint is None else f"{error.message}; {error.hint}"
    return CallToolResult(content=[TextContent(text=text)], is_error=True)


def _internal_error() -> MemoryBankError:
    return MemoryBankError(
        "something went wrong in the service",
        hint=f"the service's log says more under the request id {request_id.get()}",
    )


def _parse_error() -> JSONResponse:
    error = {"code": PARSE_ERROR, "message": "the body is not JSON"}
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, status_code=400)
