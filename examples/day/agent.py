"""An application of a tenant: it remembers what it does, through the Secret of its key.

agent.py                    note something every few seconds, whatever becomes of the bank
agent.py remember TEXT      store one memory
agent.py recall TEXT        print the best that is found
agent.py forget TEXT        delete the best that is found
"""

import os
import sys
import time
from pathlib import Path

import httpx

BINDING = Path(os.environ.get("MEMORY_BINDING", "/bindings/memory"))
SECONDS = 5


def memory() -> httpx.Client:
    """Return a client of the bank. Both files are read each time: a key is replaced while it is
    used.
    """
    uri, token = ((BINDING / name).read_text().strip() for name in ("uri", "token"))
    return httpx.Client(base_url=uri, headers={"Authorization": f"Bearer {token}"}, timeout=30)


def remember(text: str) -> None:
    """Store a memory."""
    with memory() as bank:
        bank.post("/v1/memories", json={"content": text}).raise_for_status()


def best(bank: httpx.Client, text: str) -> dict[str, str]:
    """Return the memory that answers a question best."""
    found = bank.post("/v1/search", json={"query": text, "limit": 1}).raise_for_status().json()
    if not found["results"]:
        raise SystemExit("nothing is found")
    return dict(found["results"][0]["memory"])


def recall(text: str) -> None:
    """Print what answers a question best."""
    with memory() as bank:
        print(best(bank, text)["content"])


def forget(text: str) -> None:
    """Delete what answers a question best."""
    with memory() as bank:
        bank.delete(f"/v1/memories/{best(bank, text)['id']}").raise_for_status()


def work() -> None:
    """Note something every few seconds."""
    number = 0
    while True:
        number += 1
        try:
            remember(f"Parcel {number} left the depot.")
            print("noted", number, flush=True)
        except httpx.HTTPError as error:
            print("not noted:", error, flush=True)
        time.sleep(SECONDS)


COMMANDS = {"remember": remember, "recall": recall, "forget": forget}

if __name__ == "__main__":
    if len(sys.argv) == 1:
        work()
    elif len(sys.argv) == 3 and sys.argv[1] in COMMANDS:
        COMMANDS[sys.argv[1]](sys.argv[2])
    else:
        raise SystemExit(__doc__)
