"""An upgrade of the operator while many banks are used: replaced pods, failed requests, writes.

    python -m benchmarks.upgrade --from REF [--banks 50] [--rate 20] [--cluster NAME]

Installs images, chart and CRDs of a commit of this repository, makes banks, asks all of them
through their Services all the time, and upgrades to what is checked out, by `helm upgrade`, as
users do. The banks' own image stays what it is in the first part, and is upgraded in the second.
Builds the images of both commits. The cluster is its own, and removed at the end.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from benchmarks.steady import Load, asked
from e2e.bank import Bank
from e2e.stack import IMAGES, OPERATOR_NAMESPACE, ROOT, Stack, run_module

NAMESPACE = "upgrade"
RESYNC = "memorybank.dev/resync=upgraded"
OPERATOR_USER = f"system:serviceaccount:{OPERATOR_NAMESPACE}:memorybank-operator"
POD_NAME = "authentication.kubernetes.io/pod-name"
"""By which pod's token a request was made, in the audit log."""
WRITES = {"create", "update", "patch", "delete", "deletecollection"}
SPEC: dict[str, Any] = {
    "storage": {"volume": {"size": "64Mi"}},
    # Many of them are scheduled to one small node.
    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "512Mi"}},
}
AT_A_TIME = 10
"""Banks that are made at a time: each start takes seconds of processor time."""
STEADY_SECONDS = 20.0
"""For how long the banks are asked before and after each change."""
DEADLINE = 1800.0

Object = dict[str, Any]


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upgrade", description=__doc__)
    parser.add_argument("--from", dest="before", required=True, help="commit to upgrade from")
    parser.add_argument("--banks", type=int, default=50)
    parser.add_argument("--rate", type=float, default=20, help="requests a second, to all banks")
    parser.add_argument("--cluster", default="memorybank-upgrade", help="removed first and last")
    options = parser.parse_args()
    run_module("e2e.cluster", "down", "--name", options.cluster)
    try:
        stack = Stack.up(options.cluster)
        image = install_former(stack, options.before)
        banks = make_banks(stack, options.banks)
        with asked(banks, options.rate) as load:
            upgrade_operator(stack, len(banks), load, image)
            upgrade_banks(stack, len(banks), load)
    finally:
        run_module("e2e.cluster", "down", "--name", options.cluster)


def install_former(stack: Stack, before: str) -> str:
    """Install the operator of a commit; return the image that its banks have by default."""
    commit = git("rev-parse", "--verify", "--short", f"{before}^{{commit}}")
    former = replace(stack, tag=f"before-{commit}")
    with checked_out(commit) as checkout:
        build = [sys.executable, "-m", "e2e.images", "build", "--tag", former.tag]
        subprocess.run(build, cwd=checkout, check=True)
        images = [f"{image}:{former.tag}" for image in IMAGES]
        run_module("e2e.cluster", "load", "--name", stack.cluster, *images)
        former.install_operator(checkout=checkout)
    return images[0]


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Have the files of a commit in a folder of their own."""
    folder = ROOT / ".build" / "upgrade" / commit
    if folder.exists():  # left by a run that was killed
        git("worktree", "remove", "--force", str(folder))
    git("worktree", "prune")
    git("worktree", "add", "--quiet", "--detach", str(folder), commit)
    try:
        yield folder
    finally:
        git("worktree", "remove", "--force", str(folder))


def git(*arguments: str) -> str:
    """Run git on this checkout; return what it printed."""
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def make_banks(stack: Stack, count: int) -> list[Bank]:
    """Make banks, a few at a time, and wait until all are Ready."""
    stack.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    banks = [Bank(stack, NAMESPACE, f"bank{number}", SPEC) for number in range(count)]
    for start in range(0, count, AT_A_TIME):
        some = banks[start : start + AT_A_TIME]
        stack.apply(*(bank.manifest() for bank in some))
        for bank in some:
            bank.wait_ready(DEADLINE)
    return banks


def upgrade_operator(stack: Stack, count: int, load: Load, image: str) -> None:
    """Upgrade the operator, not the image of the banks, and show what that does to them."""
    load.part = "before"
    time.sleep(STEADY_SECONDS)
    show(f"{count} banks before anything is upgraded", "")
    show_requests(load)
    load.part = "operator"
    pods, former, writes = containers(stack, NAMESPACE), set(operators(stack)), written(stack)
    started = time.monotonic()
    stack.install_operator(f"appImage={image}")
    stack.wait(
        "an operator of the new version leads",
        lambda: leader(stack) in operators(stack).keys() - former,
        seconds=DEADLINE,
    )
    leads = time.monotonic() - started
    stack.wait(
        "as many reconciles and canaries as banks",
        lambda: min(counted(stack, "reconciles"), counted(stack, "canaries")) >= count,
        seconds=DEADLINE,
    )
    looked = time.monotonic() - started
    time.sleep(STEADY_SECONDS)
    wrote = writes(lambda pod: pod not in former)
    # The echo proves of each bank that all its objects were compared, and that it was probed.
    stack.kubectl("-n", NAMESPACE, "annotate", "mb", "--all", RESYNC)
    wait_all(stack, "echoes the re-sync", lambda bank: bank["status"].get("resync") == "upgraded")
    echoed = time.monotonic() - started
    time.sleep(STEADY_SECONDS)
    show(
        f"operator upgraded, {count} banks: pods restarted",
        restarted(pods, containers(stack, NAMESPACE)),
    )
    show_requests(load)
    show("helm upgrade -> the new operator leads", f"{leads:.0f} s")
    show("helm upgrade -> as many reconciles and canaries as banks", f"{looked:.0f} s")
    show("helm upgrade -> each bank compared and probed, as asked then", f"{echoed:.0f} s")
    show("writes of the new operator before it was asked", told(wrote))
    show_operators(stack)


def upgrade_banks(stack: Stack, count: int, load: Load) -> None:
    """Upgrade the image that the banks have by default, and show what that does to them."""
    load.part = "banks"
    pods, image = containers(stack, NAMESPACE), f"{IMAGES[0]}:{stack.tag}"
    started = time.monotonic()
    stack.install_operator()
    wait_all(stack, "has the new image", lambda bank: bank["status"].get("image") == image)
    took = time.monotonic() - started
    time.sleep(STEADY_SECONDS)
    show(
        f"their image upgraded, {count} banks: pods restarted",
        restarted(pods, containers(stack, NAMESPACE)),
    )
    show_requests(load)
    show("helm upgrade -> all have the new image and are Ready", f"{took:.0f} s")
    show_operators(stack)


def wait_all(stack: Stack, what: str, is_so: Callable[[Object], bool]) -> None:
    """Wait until this is so for every bank, and it is Ready."""

    def others() -> list[str]:
        banks = listed(stack, NAMESPACE, "mb")
        return [each["metadata"]["name"] for each in banks if not (is_so(each) and is_ready(each))]

    stack.wait(f"every bank {what}", lambda: not others(), seconds=DEADLINE, describe=others)


def is_ready(bank: Object) -> bool:
    """Tell whether a bank is Ready and nothing of it waits."""
    conditions = {each["type"]: each["status"] for each in bank["status"]["conditions"]}
    return conditions["Ready"] == "True" and not {"Updating", "UpdatePending"} & conditions.keys()


def listed(stack: Stack, namespace: str, kind: str, *options: str) -> list[Object]:
    """List objects."""
    text = stack.kubectl("-n", namespace, "get", kind, "-o", "json", *options)
    return list(json.loads(text)["items"])


def containers(stack: Stack, namespace: str) -> dict[str, int]:
    """How often the container of each pod in a namespace was restarted, by the pod's uid."""
    return {
        pod["metadata"]["uid"]: sum(
            each["restartCount"] for each in pod["status"].get("containerStatuses", ())
        )
        for pod in listed(stack, namespace, "pods")
    }


def restarted(before: Mapping[str, int], after: Mapping[str, int]) -> str:
    """Count the pods that are other ones now, and those whose containers are."""
    again = sum(after[uid] != before[uid] for uid in before.keys() & after.keys())
    return f"{again}, replaced {len(before.keys() - after.keys())}"


def operators(stack: Stack) -> dict[str, Object]:
    """Return the pods of the operator by their names."""
    selector = "app.kubernetes.io/name=memorybank-operator"
    pods = listed(stack, OPERATOR_NAMESPACE, "pods", "-l", selector)
    return {pod["metadata"]["name"]: pod for pod in pods}


def leader(stack: Stack) -> str:
    """Name the pod whose operator writes."""
    return stack.leader().rpartition("_")[0]


def counted(stack: Stack, name: str) -> float:
    """Read a counter of the operator that leads, whatever its labels."""
    pod = stack.get("pod", leader(stack), OPERATOR_NAMESPACE)
    if pod is None:
        return 0
    url = f"http://{pod['status']['podIP']}:8080/metrics"
    text = httpx.get(url, trust_env=False, timeout=30).text
    found = re.findall(rf"^memorybank_operator_{name}_total\S* (\S+)$", text, re.M)
    return sum(map(float, found))


def written(stack: Stack) -> Callable[[Callable[[str], bool]], Counter[str]]:
    """Return what counts writes to the API server from now on, but of Leases, by the pods of the
    operator that are asked for.
    """
    log = stack.audit_log()
    position = log.stat().st_size

    def writes(by: Callable[[str], bool]) -> Counter[str]:
        with log.open("rb") as lines:
            lines.seek(position)
            entries = [json.loads(line) for line in lines if line.endswith(b"\n")]
        return Counter(
            f"{each['verb']} {each['objectRef']['resource']}"
            + (f"/{sub}" if (sub := each["objectRef"].get("subresource")) else "")
            for each in entries
            if each["user"].get("username") == OPERATOR_USER
            and each["verb"] in WRITES
            and each["objectRef"]["resource"] != "leases"
            and by(each["user"].get("extra", {}).get(POD_NAME, [""])[0])
        )

    return writes


def show(what: str, figure: str) -> None:
    """Print one line of the table."""
    print(f"| {what} | {figure} |", flush=True)


def show_operators(stack: Stack) -> None:
    """Show whether the operator itself ran through: on a machine that is too busy it may not."""
    again = sum(containers(stack, OPERATOR_NAMESPACE).values())
    show("restarts of the operator's own containers", str(again))


def show_requests(load: Load) -> None:
    """Show how the requests of this part went."""
    answered = load.of(load.part)
    failures = Counter(each.failure for each in answered if each.failure)
    show("requests failed", f"{failures.total()} of {len(answered)} ({told(failures)})")
    show("longest time without an answer of a bank", f"{load.longest_gap(load.part):.1f} s")
    slowest = max((each.ended - each.sent for each in answered if not each.failure), default=0)
    show("slowest answer", f"{slowest:.1f} s")


def told(counts: Counter[str]) -> str:
    """Say what was counted."""
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "0"


if __name__ == "__main__":
    main()
