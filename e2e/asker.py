"""Clients that ask a bank all the time, from a pod of the cluster, through a Service of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from e2e.bank import Bank
from e2e.neighbours import Neighbour, pod
from e2e.stack import IMAGES

ASKER = "asker"
ASK = """
import http.client, json, os, sys, threading, time, urllib.request
url, key, clients, pause = sys.argv[1:]
body = json.dumps({"query": "keys of the archive"}).encode()
headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
asked, again, failed = [], [], []
def ask():
    request = urllib.request.Request(f"{url}/v1/search", body, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        if not json.load(answer)["results"]:
            raise ValueError("nothing was found")
def client():
    while len(asked) < 20 or not os.path.exists("/tmp/stop"):
        asked.append(1)
        for attempt in (1, 2):
            try:
                ask()
                open("/tmp/begun", "w")
                break
            except (OSError, ValueError, http.client.HTTPException) as error:
                (again if attempt == 1 else failed).append(repr(error))
                time.sleep(.5)
        time.sleep(float(pause))
threads = [threading.Thread(target=client) for _ in range(int(clients))]
for each in threads:
    each.start()
for each in threads:
    each.join()
print(json.dumps({"asked": len(asked), "again": len(again), "failed": failed}))
"""
"""Each client makes a new connection each time, and tries once more. There is something to find."""


def place_asker(bank: Bank) -> None:
    """Make the pod that asks, and wait for it."""
    stack, namespace = bank.stack, bank.namespace
    stack.apply(pod(namespace, ASKER, f"{IMAGES[0]}:{stack.tag}", {"role": "agent"}))
    stack.kubectl(
        "-n", namespace, "wait", "--for=condition=Ready", f"pod/{ASKER}", "--timeout=120s"
    )


@contextmanager
def asked(
    bank: Bank, *, service: str | None = None, clients: int = 1, pause: float = 0.05
) -> Iterator[dict[str, Any]]:
    """Ask all the time while the block runs, each client with a pause of some seconds between two
    requests: nobody is turned away twice. What is given is filled in at the end: how many requests
    there were, and how many of them were made again. Another `service` than the bank's own may be
    asked.
    """
    asker, url = Neighbour(bank.stack, bank.namespace, ASKER), f"http://{service or bank.name}:8080"
    asker.python("import pathlib, sys\n"
                 "for each in sys.argv[1:]: pathlib.Path('/tmp', each).unlink(missing_ok=True)",
                 "begun", "stop", "said")  # fmt: skip
    asker.python("import subprocess, sys; subprocess.Popen([sys.executable, '-c', *sys.argv[1:]],"
                 " stdin=subprocess.DEVNULL, stdout=open('/tmp/said', 'w'),"
                 " stderr=open('/tmp/complaints', 'w'), start_new_session=True)",
                 ASK, url, bank.key(), str(clients), str(pause))  # fmt: skip

    def told(file: str) -> str:
        return asker.python("import sys; print(open(f'/tmp/{sys.argv[1]}').read())", file)

    def has_begun() -> bool:
        return asker.python("import os; print(os.path.exists('/tmp/begun'))") == "True"

    def complaints() -> str:
        return told("complaints")

    bank.stack.wait("the asker's first answer", has_begun, describe=complaints)
    counts: dict[str, Any] = {}
    try:
        yield counts
    finally:
        asker.python("open('/tmp/stop', 'w')")
    bank.stack.wait("the asker's report", lambda: bool(told("said")), describe=complaints)
    counts |= json.loads(told("said"))
    if counts["failed"]:
        raise AssertionError(str(counts))
