"""REST and MCP, read from the OpenAPI document and the tools that the service serves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import Any

from memorybank import errors
from memorybank.http.app import BANK_ONLY, create_api
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
from memorybank.mcp.profiles import DEFAULT, FULL, profiles
from memorybank.mcp.tools import ToolSpec
from memorybank.services.work.steps import StepQueue
from memorybank.services.work.work import Work
from scripts.reference import fields
from scripts.reference.markdown import code, page, table

# Routes and tools are described here, never called: they need no service behind them.
NOBODY: Any = None
_WORK = Work.on(NOBODY, StepQueue(NOBODY))


def api() -> str:
    """Every route and tool, and the objects that they take and give."""
    document = openapi()
    tools = profiles(NOBODY, _WORK, NOBODY)
    few = list(tools[DEFAULT].values())
    more = [spec for name, spec in tools[FULL].items() if name not in tools[DEFAULT]]
    schemas = document["components"]["schemas"] | tool_schemas([*few, *more])
    return page(
        "REST and MCP",
        "A running service gives the same as OpenAPI at `/openapi.json`. Keys are sent as "
        "`Authorization: Bearer mb_...` or `X-API-Key`; health routes need none. A wrong request "
        "is answered by an [ErrorEnvelope](#errorenvelope).",
        "## Routes",
        "\n\n".join(routes(document["paths"], schemas)),
        "## MCP tools",
        "Streamable HTTP without sessions at `/mcp`, with the same keys.",
        "\n\n".join(map(tool, few)),
        "These are there at `/mcp?profile=full`, besides:",
        "\n\n".join(map(tool, more)),
        "## Objects",
        "\n\n".join(objects(schemas)),
        "## Error codes",
        table(("Code", "When"), sorted(codes(errors.MemoryBankError))),
        "`internal`, with status 500, is a fault of the service; its log says more.",
    )


def openapi() -> dict[str, Any]:
    """The service's OpenAPI document."""
    routers = [
        MemoryRoutes(NOBODY).router(),
        SearchRoutes(NOBODY).router(),
        LifeRoutes(NOBODY).router(),
        SessionRoutes(_WORK.sessions).router(),
        TaskRoutes(_WORK.tasks).router(),
        EdgeRoutes(NOBODY).router(),
        EditRoutes(_WORK.edits).router(),
        *work_routers(_WORK),
        EpisodeRoutes(_WORK.episodes).router(),
        LearningRoutes(_WORK.advising).router(),
        HandoffRoutes(_WORK.handoffs).router(),
        WakeUpRoutes(_WORK.waking).router(),
        ForgettingRoutes(NOBODY, NOBODY).router(),
        KeyRoutes(NOBODY).router(),
        TenantRoutes(NOBODY).router(),
        ConsolidationRoutes(NOBODY).router(),
        AuditRoutes(NOBODY).router(),
        EncryptionRoutes(NOBODY).router(),
        TransferRoutes(NOBODY, NOBODY).router(),
        GuideRoutes(NOBODY, NOBODY, NOBODY, NOBODY, exposition=None).router(),
        CareRoutes(NOBODY).router(),
        BackupRoutes(NOBODY).router(),
        EmbeddingRoutes(NOBODY).router(),
        HealthRoutes(NOBODY, "0").router(),
        ResourceRoutes(public_url=None, issuer=None).router(),
    ]
    return create_api(routers, mcp=NOBODY, lifespan=lambda _: nullcontext(), version="0").openapi()


def routes(paths: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    """A section for each route."""
    for path, operations in paths.items():
        for method, operation in operations.items():
            query = {
                each["name"]: each["schema"]
                for each in operation.get("parameters", ())
                if each["in"] == "query"
            }
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            parts = [
                f"### {method.upper()} {path}",
                operation.get("description", operation["summary"]),
                f"Takes {fields.kind(body['schema'], schemas, link=True)}." if body else "",
                described({"properties": query}, schemas) if query else "",
                " ".join((*needs(operation), *answers(operation["responses"], schemas))),
            ]
            yield "\n\n".join(part for part in parts if part)


def needs(operation: dict[str, Any]) -> Iterator[str]:
    """Which scope the key must hold."""
    for scheme in operation["security"][:1]:
        (scope,) = scheme["bearer"]
        of_the_bank = ", of the tenant `default`" if operation.get(BANK_ONLY) else ""
        yield f"Needs the scope {code(scope)}{of_the_bank}."


def answers(responses: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    """What a route answers, but for errors."""
    for status, answer in responses.items():
        if status != "default":
            content = answer.get("content", {}).get("application/json")
            shape = f" and {fields.kind(content['schema'], schemas, link=True)}" if content else ""
            yield f"Answers {status}{shape}."


def tool_schemas(tools: Iterable[ToolSpec[Any]]) -> dict[str, Any]:
    """The schemas of what tools take and give, by name."""
    found: dict[str, Any] = {}
    for each in tools:
        takes = each.arguments.model_json_schema()
        gives = each.result.model_json_schema(mode="serialization")
        for model, schema in ((each.arguments, takes), (each.result, gives)):
            found |= schema.pop("$defs", {}) | {model.__name__: schema}
    return found


def tool(spec: ToolSpec[Any]) -> str:
    """A section for a tool."""
    takes, gives = (f"[{m.__name__}](#{m.__name__.lower()})" for m in (spec.arguments, spec.result))
    needs = f"Needs the scope {code(spec.scope)}. Takes {takes}, gives {gives}."
    return "\n\n".join([f"### {spec.name}", spec.description, needs])


def objects(schemas: dict[str, Any]) -> Iterator[str]:
    """A section for each object that routes and tools take or give."""
    for name, schema in sorted(schemas.items()):
        shape = (
            described(schema, schemas)
            if "properties" in schema
            else f"{fields.kind(schema, schemas, link=True)}."
        )
        yield "\n\n".join([f"### {name}", schema.get("description", ""), shape])


def described(schema: fields.Schema, schemas: dict[str, Any]) -> str:
    """The fields of an object; objects inside it have sections of their own."""
    return table(fields.HEADINGS, fields.rows(schema, schemas, link=True))


def codes(kind: type[errors.MemoryBankError]) -> Iterator[tuple[str, str]]:
    """The codes of all errors that are more exact than `kind`."""
    for narrower in kind.__subclasses__():
        if narrower.__module__ == errors.__name__ and narrower is not errors.ConfigurationError:
            yield (code(narrower.code), (narrower.__doc__ or "").splitlines()[0])
            yield from codes(narrower)
