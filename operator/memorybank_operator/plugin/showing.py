"""`list`, `info` and `status`."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime

import yaml

from memorybank_operator.kube import kinds
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.plugin import reading, rendering
from memorybank_operator.plugin.problems import DONE, NOT_READY
from memorybank_operator.plugin.summary import facts, judge


def put(asked: Namespace, value: object, text: Callable[[], str]) -> None:
    """Print a value in the form that was asked for, or the text that people read."""
    if asked.output == "json":
        print(json.dumps(value, indent=2))  # noqa: T201 - the answer
    elif asked.output == "yaml":
        print(yaml.safe_dump(value, sort_keys=False), end="")  # noqa: T201 - the answer
    else:
        print(text())  # noqa: T201 - the answer


async def banks(asked: Namespace, api: KubeClient) -> int:
    """Print a table of banks; 1 when one of them is not ready."""
    everywhere = asked.all_namespaces
    found = await reading.listed(api, kinds.MEMORY_BANK, None if everywhere else asked.namespace)

    def text() -> str:
        if not found:
            return "There is no bank" + ("." if everywhere else f" in namespace {asked.namespace}.")
        wide = asked.output == "wide"
        return rendering.banks(found, datetime.now(UTC), spaces=everywhere, wide=wide)

    put(asked, reading.as_list(found, kinds.MEMORY_BANK), text)
    return DONE if all(judge(each).ready for each in found) else NOT_READY


async def info(asked: Namespace, api: KubeClient) -> int:
    """Print what a bank is."""
    view = await reading.view(api, asked.namespace, asked.name)
    put(asked, facts(view.bank, view.keys), lambda: rendering.information(view))
    return DONE


async def status(asked: Namespace, api: KubeClient) -> int:
    """Print the page about a bank; 1 when it is not ready."""
    view = await reading.view(api, asked.namespace, asked.name)
    verdict = judge(view.bank)
    told = {
        "name": asked.name,
        "namespace": asked.namespace,
        "ready": verdict.ready,
        "what": verdict.what,
        "since": verdict.since,
        "next": list(verdict.next),
        "status": view.bank.get("status") or {},
    }
    put(asked, told, lambda: rendering.page(view, datetime.now(UTC)))
    return DONE if verdict.ready else NOT_READY
