"""What tools say of each state of each kind: they agree, and the page tells it."""

from __future__ import annotations

import pytest

from memorybank_operator.api.v1alpha1.conditions import BackupPhase, RestorePhase
from tests.gitops.argocd import health
from tests.gitops.states import AGREE, PAGE, WAITS_FOR, WRITER, Seen, page, states
from tests.operator.status.kstatus import kstatus
from tests.operator.status.states import ASKED_FOR

STATES = states()
OVER = {"Expired", "RolledBackTo"}
"""Reasons of what is over as was asked for: nothing is left to wait for, nothing failed."""


def named(state: Seen) -> str:
    return f"{state.kind}: {state.name}"


@pytest.mark.parametrize("state", STATES, ids=named)
def test_tools_agree_on_whether_to_wait(state: Seen) -> None:
    of_flux, of_argo = kstatus(state.resource), health(state.resource)["status"]
    assert of_flux in AGREE[of_argo]
    reason = state.waited_for.get("reason")
    if of_flux == "Current":
        assert state.kubectl_wait or reason in OVER
    elif of_flux != "Terminating":
        assert not state.kubectl_wait
    if of_argo == "Suspended":
        assert state.kubectl_wait or reason in ASKED_FOR


def test_no_two_states_of_a_kind_have_one_name() -> None:
    assert len(set(map(named, STATES))) == len(STATES)


def test_each_phase_is_in_the_table() -> None:
    found = {
        kind: {each.resource["status"].get("phase") for each in STATES if each.kind == kind}
        for kind in WAITS_FOR
    }
    assert found["MemoryBankBackup"] >= {each.value for each in BackupPhase}
    assert found["MemoryBankRestore"] >= {each.value for each in RestorePhase}


def test_the_page_says_what_tools_say_today() -> None:
    assert PAGE.read_text() == page(), WRITER
