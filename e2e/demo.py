"""The main job, watched: cluster, images, operator, a MemoryBank, a memory stored and found.

python -m e2e.demo up      leaves everything running to be tried out; a second run takes seconds
python -m e2e.demo down    removes all of it
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from e2e.stack import ROOT, CommandFailed, Stack, Timeout, run_module

CLUSTER = "memorybank-demo"
NAMESPACE = "default"
BANK = "agents"
FACT = "The staging database is rebuilt from scratch every Sunday night."
QUESTION = "Why did my test data disappear over the weekend?"


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m e2e.demo", description=__doc__)
    parser.add_argument("action", choices=["up", "down"])
    action = parser.parse_args().action
    try:
        if action == "down":
            run_module("e2e.cluster", "down", "--name", CLUSTER)
        else:
            up()
    except (CommandFailed, Timeout) as error:
        say(f"\ndemo: {error}")
        return 1
    return 0


def up() -> None:
    """Run the whole demo; leaves the bank running."""
    started = time.monotonic()
    curl = shutil.which("curl")
    if curl is None:
        raise CommandFailed("curl is missing; install it (Debian: apt-get install curl)")
    with step("images and cluster"):
        stack = Stack.up(CLUSTER)
    with step("operator, from its Helm chart"):
        stack.install_operator()
    with step(f"kubectl apply -f examples/memorybank.yaml ({NAMESPACE}/{BANK})"):
        say(stack.kubectl("apply", "-f", str(ROOT / "examples/memorybank.yaml")).strip())
        show_until_ready(stack)
    say("\n" + stack.kubectl("-n", NAMESPACE, "get", "mb", BANK).rstrip())
    with step("a memory stored and found, by curl"):
        store_and_find(stack, curl)
    with step("an agent in a pod, by MCP through the Service"):
        run_agent(stack)
    say(f"\nDone in {time.monotonic() - started:.0f} s. The bank is running:\n")
    say(closing_words(stack))


def show_until_ready(stack: Stack) -> None:
    """Print each new Ready condition until it is True."""
    seen = ""

    def is_ready() -> bool:
        nonlocal seen
        bank = stack.get("memorybank", BANK, NAMESPACE) or {}
        conditions = bank.get("status", {}).get("conditions", [])
        ready = next((c for c in conditions if c["type"] == "Ready"), None)
        if ready is None:
            return False
        now = f"  Ready={ready['status']} {ready['reason']}: {ready.get('message', '')}"
        if now != seen:
            say(now)
            seen = now
        generation = bank["metadata"]["generation"]
        return bool(ready["status"] == "True" and ready["observedGeneration"] == generation)

    stack.wait(f"MemoryBank {BANK} Ready", is_ready, seconds=180)


def store_and_find(stack: Stack, curl: str) -> None:
    """Store a memory and find it by a question that shares no word of weight with it."""
    bank = stack.get("memorybank", BANK, NAMESPACE) or {}
    url = bank["status"]["url"]
    host = url.removeprefix("http://")
    key = read_key(stack)
    with stack.port_forward(f"service/{BANK}", 8080, NAMESPACE) as port:

        def post(path: str, body: dict[str, object]) -> dict[str, object]:
            say(f"  curl -X POST {url}{path} -d '{json.dumps(body)}'")
            # The key goes in by standard input: command lines can be read by every process.
            done = subprocess.run(
                [curl, "--silent", "--show-error", "--fail-with-body", "--max-time", "30",
                 "--config", "-", "--connect-to", f"{host}:127.0.0.1:{port}",
                 "--header", "Content-Type: application/json",
                 "--data", json.dumps(body), url + path],
                input=f'header = "Authorization: Bearer {key}"',
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode != 0:
                raise CommandFailed(f"POST {path}: {done.stdout.strip()} {done.stderr.strip()}")
            return dict(json.loads(done.stdout))

        stored = post("/v1/memories", {"content": FACT, "project": "demo"})
        say(f"  -> stored as {stored['id']}")
        answer = post("/v1/search", {"query": QUESTION, "project": "demo", "limit": 1})
        results = answer["results"]
        if not isinstance(results, list) or results[0]["memory"]["content"] != FACT:
            raise CommandFailed(f"the memory was not found: {answer}")
        say(f"  -> found: {results[0]['memory']['content']} (score {results[0]['score']:.2f})")


def run_agent(stack: Stack) -> None:
    """Run examples/agent to its end and show what it printed."""
    stack.kubectl("-n", NAMESPACE, "delete", "job", "example-agent", "--ignore-not-found")
    stack.kubectl("-n", NAMESPACE, "apply", "-k", str(ROOT / "examples/agent"))

    def status() -> dict[str, object]:
        return dict((stack.get("job", "example-agent", NAMESPACE) or {}).get("status", {}))

    stack.wait(
        "the agent's Job",
        lambda: {"succeeded", "failed"} & status().keys(),
        seconds=90,
        describe=status,
    )
    log = stack.kubectl("-n", NAMESPACE, "logs", "job/example-agent").rstrip()
    say("\n".join("  " + line for line in log.splitlines()))
    if not status().get("succeeded"):
        raise CommandFailed("the agent failed; its words are above")


def read_key(stack: Stack) -> str:
    """Read the bank's key as a person would."""
    secret = stack.get("secret", f"{BANK}-key", NAMESPACE)
    if secret is None:
        raise CommandFailed(f"the Secret {BANK}-key does not exist")
    return base64.b64decode(secret["data"]["token"]).decode()


def closing_words(stack: Stack) -> str:
    """What a person can do now."""
    bank = stack.get("memorybank", BANK, NAMESPACE) or {}
    url = bank["status"]["url"]
    return f"""\
  URL   {url}      MCP {url}/mcp
  key   kubectl get secret {BANK}-key -o jsonpath='{{.data.token}}' | base64 -d

Try next:
  export KUBECONFIG={stack.kubeconfig} PATH={stack.kubectl_binary.parent}:$PATH
  kubectl explain mb.spec                      every field, described
  kubectl delete pod -l memorybank.dev/bank={BANK} && kubectl get mb -w      it heals itself
  kubectl delete mb {BANK} && kubectl apply -f examples/memorybank.yaml       memories survive

Remove everything: make demo-down"""


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step and say how long it took."""
    say(f"\n== {title}")
    started = time.monotonic()
    yield
    say(f"   ({time.monotonic() - started:.1f} s)")


def say(text: str) -> None:
    """Print at once: the reader is waiting."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
