"""The pages and tables that people read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.plugin import advice, rendering
from memorybank_operator.plugin.rendering import View
from memorybank_operator.plugin.summary import judge
from tests.operator.status.states import STATES, seen

NOW = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    at = "2026-05-04T12:18:00Z"
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": at,
    }


def bank(*conditions: dict[str, Any], generation: int = 1, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "agents",
            "namespace": "team",
            "generation": generation,
            "creationTimestamp": "2026-05-04T10:00:00Z",
        },
        "spec": {},
        "status": {"observedGeneration": 1, "conditions": list(conditions), **status},
    }


FAILED = View(
    bank=bank(
        condition("Ready", "False", "ImagePullBackOff", "the image memorybank:9 is not there"),
        condition("Stalled", "True", "ImagePullBackOff", "the image memorybank:9 is not there"),
        phase="Failed",
    ),
    pods=[
        {
            "metadata": {"name": "agents-7f-x", "creationTimestamp": "2026-05-04T12:15:00Z"},
            "status": {
                "phase": "Pending",
                "containerStatuses": [
                    {
                        "name": "memorybank",
                        "restartCount": 0,
                        "state": {"waiting": {"reason": "ImagePullBackOff"}},
                    }
                ],
            },
        }
    ],
    events=[
        {
            "metadata": {},
            "type": "Warning",
            "reason": "Failed",
            "message": "pull\nfailed",
            "lastTimestamp": "2026-05-04T12:29:00Z",
        }
    ],
    keys=[
        {"metadata": {"name": "app"}, "spec": {}, "status": {}},
    ],
    hidden=["memorybankbackups"],
)

FAILED_PAGE = """
team/agents is not ready (Failed)

What    ImagePullBackOff: the image memorybank:9 is not there
Since   2026-05-04T12:18:00Z (12m ago)
Next    Act: waiting does not help.
        Check the name of spec.image, that its registry has it, and spec.imagePullSecrets.
        (docs/runbooks/bank.md#imagepullbackoff)

Conditions
  Ready=False    ImagePullBackOff   12m   the image memorybank:9 is not there
  Stalled=True   ImagePullBackOff   12m   the image memorybank:9 is not there

Pods
  agents-7f-x   Pending   not ready   0 restarts   15m   memorybank: ImagePullBackOff

Keys
  app   developer   default   not seen yet   -

Events
  60s   Warning   Failed   pull failed

Not shown, for you may not read it: memorybankbackups.
""".strip()


def test_the_page_of_a_bank_in_trouble_says_what_why_since_when_and_what_next() -> None:
    assert rendering.page(FAILED, NOW) == FAILED_PAGE


def test_the_page_of_a_bank_without_trouble_is_short() -> None:
    ready = bank(condition("Ready", "True", "CanaryPassed", "It works."), phase="Running")
    assert rendering.page(View(ready), NOW) == (
        "team/agents is ready (Running)\n\n"
        "What    CanaryPassed: It works.\n"
        "Since   2026-05-04T12:18:00Z (12m ago)\n"
        "Next    Nothing to do.\n\n"
        "Conditions\n  Ready=True   CanaryPassed   12m   It works."
    )


def test_a_spec_that_nobody_looked_at_is_not_ready_and_the_operator_is_suspected() -> None:
    verdict = judge(bank(condition("Ready", "True", "CanaryPassed"), generation=2))
    assert not verdict.ready
    assert verdict.what == "generation 2 was not looked at yet: the status is about generation 1"
    assert verdict.next == (advice.OPERATOR_AWAY,)


def test_a_bank_that_nobody_ever_looked_at_has_a_page() -> None:
    new = bank()
    del new["status"]
    assert "it was never looked at" in rendering.page(View(new), NOW)


def test_a_bank_that_serves_without_backups_is_ready_with_trouble() -> None:
    verdict = judge(
        bank(
            condition("Ready", "True", "CanaryPassed"),
            condition("BackupHealthy", "False", "BackupFailing"),
        )
    )
    assert verdict.ready
    assert verdict.headline == "team/agents is ready, with trouble"
    assert verdict.next[0].startswith("BackupHealthy is False: Put destination or credentials")


def test_the_table_has_namespaces_and_messages_when_asked_for() -> None:
    assert rendering.banks([FAILED.bank], NOW, spaces=True, wide=True) == (
        "NAMESPACE   NAME     READY   PHASE    REASON             VERSION   AGE"
        "   URL   BACKUP   MESSAGE\n"
        "team        agents   False   Failed   ImagePullBackOff   -         2h "
        "   -     none     the image memorybank:9 is not there"
    )


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_it_says_ready_where_kubectl_wait_does_and_has_a_next_step_for_every_state(
    state: Any,
) -> None:
    resource = seen(state)
    verdict = judge(resource)
    assert verdict.ready == (state.ready == "True")
    assert verdict.next
    assert rendering.page(View(resource), NOW).startswith(verdict.headline)


def test_each_cure_is_for_a_reason_that_there_is() -> None:
    assert set(advice.CURES) <= {str(each) for each in Reason}


@given(st.dictionaries(st.text(max_size=9), st.text(max_size=40), max_size=4), st.text())
def test_whatever_an_operator_writes_is_shown(extra: dict[str, str], message: str) -> None:
    told = condition("Ready", "False", "New", message)
    resource = bank(told) | {"unknown": extra}
    lines = rendering.page(View(resource), NOW).splitlines()
    assert lines[0] == "team/agents is not ready"


def test_what_a_bank_holds_is_told_in_lines_and_by_tenant() -> None:
    told = {
        "name": "agents", "namespace": "team", "version": "0.1.0", "uptimeSeconds": 3661.4,
        "counts": {"memories": 12, "keys": 2}, "databaseBytes": 3 * 1024**2,
        "diskFreeBytes": None, "schemaVersion": 11, "searchLag": 0, "embedder": "MiniLM",
        "tenants": [
            {"name": "default", "memories": 10, "most": None},
            {"name": "south", "memories": 2, "most": 500},
        ],
        "moreTenants": 3,
    }  # fmt: skip
    assert rendering.statistics(told).splitlines() == [
        "Bank team/agents, version 0.1.0, up for 1:01:01",
        "Counts: memories 12, keys 2",
        "Database of 3.0 MiB, schema 11",
        "Embedded by MiniLM",
        "",
        "TENANT    MEMORIES   MOST",
        "default   10         -",
        "south     2          500",
        "and 3 more",
    ]
    late = rendering.statistics(told | {"searchLag": 4, "diskFreeBytes": 1024**3, "moreTenants": 0})
    assert "schema 11, 1024.0 MiB free beside it" in late
    assert "4 changes not found yet" in late
