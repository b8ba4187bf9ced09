"""The command itself."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, datetime

from memorybank_operator.kube.client import KubeClient
from memorybank_operator.plugin.doctor.checks import CHECKS
from memorybank_operator.plugin.doctor.findings import Finding
from memorybank_operator.plugin.doctor.snapshot import Snapshot, take
from memorybank_operator.plugin.problems import DONE, NOT_READY
from memorybank_operator.plugin.showing import put
from memorybank_operator.plugin.summary import Object


def examine(snapshot: Snapshot) -> list[Finding]:
    """Return what is wrong, in the order of the checks, each finding once."""
    return list(dict.fromkeys(found for check in CHECKS for found in check(snapshot)))


async def doctor(asked: Namespace, api: KubeClient) -> int:
    """Print what is wrong and what helps; 1 when something is."""
    namespace = None if asked.all_namespaces else asked.namespace
    snapshot = await take(api, namespace, asked.name, datetime.now(UTC))
    findings = examine(snapshot)
    told = {
        "findings": [each.told() for each in findings],
        "examined": [_name(each) for each in snapshot.banks],
        "notExamined": list(snapshot.hidden),
    }
    put(asked, told, lambda: page(snapshot, findings))
    return NOT_READY if findings else DONE


def page(snapshot: Snapshot, findings: Sequence[Finding]) -> str:
    """Return the answer for people."""
    banks = ", ".join(map(_name, snapshot.banks)) or "none"
    parts = [each.page() for each in findings]
    parts.append(
        f"{len(findings) or 'No'} fault{'' if len(findings) == 1 else 's'} found. "
        f"Banks examined: {banks}."
    )
    if snapshot.hidden:
        parts.append(f"Not examined, for lack of rights: {', '.join(snapshot.hidden)}.")
    return "\n\n".join(parts)


def _name(bank: Object) -> str:
    metadata = bank["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}"
