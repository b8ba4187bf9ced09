"""What kstatus itself makes of each state: the library by which Flux and Helm 4 wait."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from e2e.cluster.apiserver import ASSETS_VARIABLE
from e2e.cluster.binaries import ensure
from tests.gitops.states import states
from tests.operator.status.kstatus import kstatus


def test_kstatus_says_of_each_state_what_the_table_says() -> None:
    seen = states()
    lines = "".join(f"{json.dumps(each.resource)}\n" for each in seen)
    done = subprocess.run(  # noqa: S603  # the library that is tested
        [program()], input=lines, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    said = dict(zip(((each.kind, each.name) for each in seen), done.stdout.split(), strict=True))
    assert said == {(each.kind, each.name): kstatus(each.resource) for each in seen}


def program() -> Path:
    """Return the program that asks the library."""
    at_hand = Path(os.environ.get(ASSETS_VARIABLE) or "/nowhere") / "kstatus"
    return at_hand if at_hand.exists() else ensure("kstatus")
