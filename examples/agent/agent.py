"""An agent in a pod: finds its memory through a mounted Secret, nothing else is configured.

The Secret follows the Service Binding convention: one file per entry, `uri` and `token` among them.
"""

import asyncio
import os
from pathlib import Path

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

BINDING = Path(os.environ.get("MEMORY_BINDING", "/bindings/memory"))


async def main() -> None:
    """Remember something, then recall it by other words."""
    uri = (BINDING / "uri").read_text().strip()
    token = (BINDING / "token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(f"{uri}/mcp", http_client=http)) as memory,
    ):
        tools = await memory.list_tools()
        print("tools:   ", ", ".join(sorted(tool.name for tool in tools.tools)))
        fact = "Deploys to production are frozen every Friday afternoon."
        await memory.call_tool("remember", {"content": fact, "project": "demo"})
        print("stored:  ", fact)
        question = "When should we not release new versions?"
        answer = await memory.call_tool(
            "recall", {"query": question, "project": "demo", "limit": 1}
        )
        if answer.is_error or not answer.structured_content:
            raise SystemExit(f"recall failed: {answer.content}")
        print("asked:   ", question)
        for result in answer.structured_content["results"]:
            print("recalled:", result["memory"]["content"])


if __name__ == "__main__":
    asyncio.run(main())
