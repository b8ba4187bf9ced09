"""A bank that is deleted under deletionPolicy Snapshot, also by those who delete in the foreground
as Argo CD does: it stays until its last recovery point is taken, and comes back from that. The
commands of docs/banks/backup.md do it in the background.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from e2e.backups import bank_on_volume, wait_backed_up
from e2e.stack import Stack
from memorybank_operator.constants import FINALIZER

FACT = "The archive of the museum moves in spring."
QUESTION = "when does the archive move"
GONE_SECONDS = 600


@pytest.mark.parametrize("cascade", ["background", "foreground"])
def test_a_deleted_bank_leaves_its_last_copy_and_no_volume(stack: Stack, cascade: str) -> None:
    with bank_on_volume(stack) as bank:
        bank.remember(FACT)
        wait_backed_up(bank)
        bank.apply(deletionPolicy="Snapshot")
        stack.wait(
            "the finalizer",
            lambda: FINALIZER in (bank.get() or {})["metadata"].get("finalizers", ()),
        )
        uid = (bank.get() or {})["metadata"]["uid"]
        stack.kubectl(
            "-n", bank.namespace, "delete", "mb", bank.name,
            f"--cascade={cascade}", f"--timeout={GONE_SECONDS}s",
        )  # fmt: skip
        point = f"{bank.name}-final-{uid[:8]}"
        found = stack.get("memorybankbackup", point, bank.namespace) or {}
        assert found["status"]["phase"] == "Complete"
        assert found["status"]["point"]["dataLossSeconds"] == 0
        stack.wait("the volume gone", lambda: bank.child("pvc", "-data") is None)
        assert "FinalBackupTaken" in [reason for reason, _ in bank.events()]
        again = replace(bank, spec=bank.spec | {"bootstrap": {"restore": {"backup": point}}})
        again.apply()
        again.wait_ready()
        assert again.recall(QUESTION)[0] == FACT
