"""Two agents, one after the other, that share a bank and nothing else.

    MEMORY_BANK_URL=http://... MEMORY_BANK_KEY=mb_... python examples/two_agents.py [first|second]

The first one tells its work while it does it, and stops half-way. The second one calls a single
tool, and knows within so many tokens what was being done, what was decided and why, what failed and
how it was cured, and what comes next. Without an argument both run, in this order.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

PROJECT = "webshop"
MAX_TOKENS = 400


async def first(memory: Client) -> None:
    """Move a shop to another database, meet an error, cure it, decide, and stop half-way."""
    task = "Move the orders to the new database"
    episode = await call(
        memory, "episode", action="start", text=task, task_type="migration", project=PROJECT
    )
    for tool, done, error in (
        ("pg_dump", "copied the table of orders", None),
        ("psql", "loaded it", "UniqueViolation"),
        ("psql", "loaded it again, sequences set first", None),
    ):
        await call(
            memory, "episode", action="step", id=episode["id"], tool=tool, text=done, error=error
        )
    await remember(
        memory, "error_solution", "Loading orders ends with UniqueViolation on orders_pkey.",
        solution="Set the sequence to max(id) before the load.",
    )  # fmt: skip
    await remember(
        memory, "decision", "The old database stays readable until Friday.",
        rationale="Invoices of this week are still made from it.",
    )  # fmt: skip
    await remember(
        memory, "task", "Point the shop at the new database and run its smoke test.",
        priority="high",
    )  # fmt: skip
    await call(
        memory, "episode", action="checkpoint", id=episode["id"],
        text="The orders are loaded; the shop still writes to the old database",
    )  # fmt: skip
    await call(
        memory, "handoff", project=PROJECT, significance=0.8,
        experienced="The orders are in the new database, 48,210 rows in both.",
        remember="Next: switch the shop over, then compare the rows again.",
    )  # fmt: skip


async def second(memory: Client) -> None:
    """Begin anew, with one call."""
    known = await call(memory, "wake_up", project=PROJECT, max_tokens=MAX_TOKENS)
    print(known["text"])
    print(f"({known['tokens']} tokens of {MAX_TOKENS})")


async def remember(memory: Client, kind: str, content: str, **details: str) -> None:
    """Keep something of a type that has fields of its own."""
    arguments = {"type": kind, "content": content, "project": PROJECT, "details": details}
    await call(memory, "remember", **arguments)


async def call(memory: Client, name: str, /, **arguments: Any) -> dict[str, Any]:
    """Call a tool; end with its own words when it refuses."""
    given = {each: value for each, value in arguments.items() if value is not None}
    answer = await memory.call_tool(name, given)
    if answer.is_error or answer.structured_content is None:
        raise SystemExit(f"{name} failed: {answer.content}")
    result: dict[str, Any] = answer.structured_content
    return result


@asynccontextmanager
async def bank() -> AsyncIterator[Client]:
    """Open the bank that the environment names."""
    headers = {"Authorization": f"Bearer {os.environ['MEMORY_BANK_KEY']}"}
    url = f"{os.environ['MEMORY_BANK_URL']}/mcp"
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http)) as memory,
    ):
        yield memory


async def main(names: list[str]) -> None:
    """Let the agents work, each with a connection of its own."""
    agents = {"first": first, "second": second}
    if unknown := [name for name in names if name not in agents]:
        raise SystemExit(f"there is no agent {unknown[0]}; use one of {', '.join(agents)}")
    for name in names or agents:
        async with bank() as memory:
            await agents[name](memory)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
