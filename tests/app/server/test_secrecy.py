"""One run of a real, encrypted server that says everything it can: what is then where.

Every text of the bank holds one of a few words that nothing else holds. Afterwards none of them is
in any file of the data folder, in the log, in what was printed or in the metrics; nor is any key.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.server_process import Server, serving

pytestmark = pytest.mark.slow

CONTENT, TITLE, TAG, KEY, VALUE, DETAIL, CHANGED, ASKED, REFUSED, FOREIGN, SECRET = WORDS = [
    f"{prefix}quuxvillegarply"
    for prefix in "con tit tag mek mev det cha ask ref for sec".split()  # noqa: SIM905  # a list of syllables
]
MEMORIES = 1_000
SETTINGS = {
    "MEMORY_BANK_SERVER__DRAIN_SECONDS": "0",
    "MEMORY_BANK_ENCRYPTION__ENABLED": "true",
    "MEMORY_BANK_AUDIT__EVENTS": "admin,auth,write,delete,read",
    "MEMORY_BANK_WRITE_GATE__SECRETS": "refuse",
    "MEMORY_BANK_LOGGING__LEVEL": "debug",
}
LINES = {"Content-Type": "application/x-ndjson"}


@dataclass
class Run:
    """What a run left behind, and what it was given in secret."""

    keys: list[str]
    files: list[dict[str, bytes]] = field(default_factory=list)
    """Of the data folder: twice while it ran, after a kill, after a stop."""
    written: list[str] = field(default_factory=list)
    """Logs, what was printed, metrics."""
    found: int = 0


def a_run(folder: Path) -> Run:
    ring_key = base64.b64encode(secrets.token_bytes(32)).decode()
    ring = folder / "ring.json"
    ring.write_text(json.dumps({"active": "k1", "keys": {"k1": ring_key}}))
    environ = SETTINGS | {"MEMORY_BANK_ENCRYPTION__KEY_RING_FILE": str(ring)}
    data = folder / "bank"
    with serving(data, environ=environ) as server:
        run = Run(keys=[server.key, ring_key])
        with server.client() as client:
            fill(client, MEMORIES)
            run.files.append(files_of(data))
            live(client, run)
            run.written.append(client.get(server.metrics_url).text)
        run.files.append(files_of(data))
        server.stop(signal.SIGKILL)
        run.written += outputs(server)
    run.files.append(files_of(data))
    with serving(data, environ=environ) as server:
        with server.client() as client:
            run.found = count_found(client)
        assert server.stop() == 0
        run.written += outputs(server)
    run.files.append(files_of(data))
    return run


def outputs(server: Server) -> list[str]:
    return [(server.folder / "stderr").read_text(), server.output()]


def files_of(folder: Path) -> dict[str, bytes]:
    """Return every file, whatever its name."""
    found = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in found}


def fill(client: httpx.Client, count: int) -> None:
    for start in range(0, count, 250):
        batch = [
            {
                "content": f"The mayor of {CONTENT} {number} likes plum{number}.",
                "title": f"{TITLE} {number}",
                "tags": [f"{TAG}{number}"],
                "metadata": {KEY: f"{VALUE}{number}"},
                "type": "decision",
                "details": {"rationale": f"{DETAIL} {number}"},
            }
            for number in range(start, start + 250)
        ]
        once = {"Idempotency-Key": f"batch-{start}"}
        made = client.post("/v1/memories:batch", json={"memories": batch}, headers=once)
        assert made.json()["stored"] == 250, made.text[:500]


def live(client: httpx.Client, run: Run) -> None:
    """Use whatever there is, rightly and wrongly."""

    def ask(method: str, path: str, status: int, **options: Any) -> Any:
        answer = client.request(method, path, **options)
        assert answer.status_code == status, answer.text[:500]
        is_json = answer.content and answer.headers["content-type"] == "application/json"
        return answer.json() if is_json else answer.content

    listed = ask("GET", "/v1/memories", 200, params={"limit": 10, "tag": f"{TAG}7"})
    ids = [each["id"] for each in ask("GET", "/v1/memories", 200)["memories"]]
    assert listed["total"] == 1
    ask("PATCH", f"/v1/memories/{ids[0]}", 200, json={"content": CHANGED, "title": CHANGED})
    ask("POST", f"/v1/memories/{ids[0]}/rollback", 200, json={"revision": 1})
    assert CHANGED in str(ask("GET", f"/v1/memories/{ids[0]}/history", 200))
    new = {"memory": {"content": f"{CHANGED} now", "tags": [CHANGED]}}
    ask("POST", f"/v1/memories/{ids[1]}/supersede", 201, json=new)
    ask("POST", f"/v1/memories/{ids[2]}/links", 201, json={"target": ids[3]})
    ask("DELETE", f"/v1/memories/{ids[4]}", 204)
    ask("POST", f"/v1/memories/{ids[5]}/archive", 200)
    ask("POST", "/v1/search", 200, json={"query": f"{ASKED} plum7", "explain": True})
    ask("POST", "/v1/context", 200, json={"query": ASKED})
    ask("POST", "/v1/suggestions", 200, json={"query": ASKED})
    ask("POST", "/v1/facets", 200, json={})
    ask("GET", f"/v1/memories/{ids[0]}/similar", 200)
    ask("POST", "/v1/forgetting/run", 200, json={})
    ask("GET", "/v1/forgetting/preview", 200)
    ask("GET", "/v1/stats", 200)
    export = ask("GET", "/v1/export", 200)
    assert CONTENT.encode() in export
    ask("POST", "/v1/import", 200, content=export, headers=LINES)
    wrong = f'{{"kind": "memory", "content": "{REFUSED}", "{REFUSED}": 1}}\n'.encode()
    client.post("/v1/import", content=wrong, headers=LINES)

    # What is refused, wherever it is refused.
    ask("POST", "/v1/memories", 422, json={"content": REFUSED, REFUSED: REFUSED})
    ask("POST", "/v1/memories", 422, json={"content": f"password = {SECRET}9f8E7d6C"})
    ask("POST", "/v1/memories", 400, content=f'{{"content": "{REFUSED}', headers=JSON)
    ask("GET", f"/v1/memories/{REFUSED}", 404)
    ask("GET", f"/{REFUSED}?{REFUSED}={REFUSED}", 404)
    for tool in ("remember", "recall", REFUSED):
        arguments = {"content": REFUSED, "query": REFUSED}
        call = {"name": tool, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        client.post("/mcp", json=message, headers=MCP)

    # Keys, and other tenants.
    ask("POST", "/v1/admin/tenants", 201, json={"name": "acme"})
    body = {"name": "their", "role": "developer", "tenant": "acme"}
    made = ask("POST", "/v1/admin/keys", 201, json=body)
    run.keys.append(made["key"])
    theirs = {"Authorization": f"Bearer {made['key']}"}
    ask("POST", "/v1/memories", 201, json={"content": FOREIGN}, headers=theirs)
    rotated = ask("POST", f"/v1/admin/keys/{made['id']}/rotate", 201, json={})
    run.keys.append(rotated["key"])
    ask("DELETE", "/v1/admin/tenants/acme", 204, params={"with_data": "true"})
    ask("GET", "/v1/memories", 401, headers=theirs)
    unknown = f"mb_{secrets.token_urlsafe(32)}"
    run.keys.append(unknown)
    ask("GET", "/v1/memories", 401, headers={"Authorization": f"Bearer {unknown}"})
    ask("GET", "/v1/memories", 401, headers={"Authorization": "", "X-API-Key": f"{unknown}x"})
    ask("GET", f"/v1/memories/x?api_key={unknown}", 404)
    ask("POST", "/v1/admin/check", 200)
    assert ask("GET", "/v1/admin/audit", 200)["total"] > 10
    ask("GET", "/v1/admin/usage", 200)


JSON = {"Content-Type": "application/json"}
MCP = {"Accept": "application/json, text/event-stream"}


def count_found(client: httpx.Client) -> int:
    """Return how many of the thousand a search finds by words that they alone hold."""
    found = 0
    for number in range(MEMORIES):
        body = {"query": f"plum{number}", "limit": 1, "include_archived": True, "mode": "lexical"}
        results = client.post("/v1/search", json=body).json()["results"]
        found += any(f" plum{number}." in each["memory"]["content"] for each in results)
    return found


def forms(word: str) -> Iterator[bytes]:
    """Every way in which a word may stand in a file: as it is, wide, in hex and in base64."""
    raw = word.encode()
    yield raw
    yield raw.upper()
    yield word.encode("utf-16-le")
    yield raw.hex().encode()
    for shift in range(3):
        whole = base64.b64encode(bytes(shift) + raw)
        yield whole[4 if shift else 0 : len(whole) - 4]


def test_no_word_and_no_key_is_in_files_logs_or_metrics_and_all_is_found(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    assert_not_in_files(run)
    assert_not_in_what_is_written(run)
    # Two were put out of the way: one superseded, one in the trash.
    assert run.found == MEMORIES - 2


def assert_not_in_files(run: Run) -> None:
    assert any(name.endswith("-wal") and data for name, data in run.files[0].items())
    for files in run.files:
        assert sum(map(len, files.values())) > 1_000_000
        for name, data in files.items():
            for word in (*WORDS, *run.keys):
                assert [form for form in forms(word) if form in data] == [], (name, word)


def assert_not_in_what_is_written(run: Run) -> None:
    everything = "\n".join(run.written)
    assert '"level": "debug"' in everything
    assert everything.count('"message": "request"') > 40
    assert '"status": 422' in everything
    assert "# TYPE memorybank_" in everything
    assert len(run.keys) == 5
    for word in (*WORDS, *run.keys):
        assert word not in everything
    assert not re.search(r"mb_[A-Za-z0-9_-]{20,}", everything)


def test_the_search_for_words_in_files_finds_those_that_are_there(tmp_path: Path) -> None:
    with serving(tmp_path / "bank", environ={"MEMORY_BANK_SERVER__DRAIN_SECONDS": "0"}) as server:
        with server.client() as client:
            fill(client, 250)
        everything = b"".join(files_of(tmp_path / "bank").values())
    for word in (CONTENT, TITLE, TAG, KEY, VALUE, DETAIL):
        assert next(forms(word)) in everything
