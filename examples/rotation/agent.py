"""An agent that goes on while its key is replaced: it reads the key for every call.

The Secret of the MemoryBankKey is mounted; some time after it changed, so does the file. The former
key is valid meanwhile, so no call is refused. The agent ends when it has used as many keys as KEYS
says, or at the first refusal.
"""

import os
import time
from pathlib import Path

import httpx2

BINDING = Path(os.environ.get("MEMORY_BINDING", "/bindings/memory"))
KEYS = int(os.environ.get("KEYS", "2"))
PAUSE_SECONDS = 0.1
FACT = "The ferry to the island leaves at seven."
QUESTION = "When does the boat go?"


def main() -> None:
    """Ask again and again; never show a key."""
    uri = (BINDING / "uri").read_text().strip()
    used: set[str] = set()
    calls = 0
    with httpx2.Client(base_url=uri, timeout=30) as http:
        while True:
            token = (BINDING / "token").read_text().strip()
            headers = {"Authorization": f"Bearer {token}"}
            if not used:
                http.post("/v1/memories", json={"content": FACT}, headers=headers)
            answer = http.post("/v1/search", json={"query": QUESTION}, headers=headers)
            calls += 1
            if answer.status_code != 200:
                raise SystemExit(f"call {calls} was refused with {answer.status_code}")
            if token not in used:
                used.add(token)
                print(f"call {calls}: key {len(used)} is in use", flush=True)
            if len(used) >= KEYS:
                print(f"{calls} calls with {len(used)} keys, none was refused", flush=True)
                return
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main()
