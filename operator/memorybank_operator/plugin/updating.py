"""`update`: lets the changes be made that wait for somebody's approval."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from memorybank_operator.kube import kinds
from memorybank_operator.kube.client import KubeClient, Object
from memorybank_operator.plugin import reading
from memorybank_operator.plugin.acting import until_ready
from memorybank_operator.plugin.problems import DONE, USAGE, Problem
from memorybank_operator.plugin.showing import put
from memorybank_operator.plugin.summary import is_current, status_of


async def update(asked: Namespace, api: KubeClient) -> int:
    """Approve what waits of a bank, or of all banks of the namespace, and wait until they are
    ready; 1 when one is not in time.

    What is approved is the plan that was shown, by its id: one that came meanwhile still waits.
    """
    if bool(asked.name) == asked.all:
        raise Problem("name one bank, or --all for those of the namespace", USAGE)
    if asked.all:
        banks = await reading.listed(api, kinds.MEMORY_BANK, asked.namespace)
    else:
        banks = [await reading.one(api, kinds.MEMORY_BANK, asked.namespace, asked.name)]
    waiting = [each for each in banks if _plan(each)]
    for bank in waiting:
        await api.merge(
            kinds.MEMORY_BANK, asked.namespace, name=bank["metadata"]["name"],
            changes={"spec": {"updatePolicy": {"approved": _plan(bank)["id"]}}},
        )  # fmt: skip
    told = [{"name": each["metadata"]["name"], **_plan(each)} for each in waiting]
    put(asked, {"approved": told}, lambda: "\n".join(map(_words, waiting)) or "Nothing waits.")
    codes = [await until_ready(asked, api, each["metadata"]["name"]) for each in waiting]
    return max(codes, default=DONE)


def _plan(bank: Object) -> dict[str, Any]:
    """Return what waits; empty when nothing does, or the plan is of a former spec."""
    return dict(status_of(bank).get("plan") or {}) if is_current(bank) else {}


def _words(bank: Object) -> str:
    plan = _plan(bank)
    parts = [f"{bank['metadata']['name']}: approved {plan['id']}"]
    for label, said in (("restarts", "restarts"), ("irreversible", "cannot be taken back")):
        if plan.get(label):
            parts.append(f"{said}: {', '.join(plan[label])}")
    return "; ".join(parts)
