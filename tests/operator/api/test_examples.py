"""Every example is something that the operator understands, and shows what it says it shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.memorybankbackup import MemoryBankBackup
from memorybank_operator.api.v1alpha1.memorybankrestore import MemoryBankRestore
from memorybank_operator.constants import API_VERSION, BACKUP_KIND, KIND, RESTORE_KIND
from memorybank_operator.reconcile.keys import SYNTAX

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))
SERVER = {"namespace": "default", "uid": "uid-1", "generation": 1}


def documents(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text()))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_an_example_holds_a_valid_bank_or_a_valid_recovery_point(file: Path) -> None:
    kinds = {
        KIND: MemoryBank.parse,
        BACKUP_KIND: MemoryBankBackup.parse,
        RESTORE_KIND: MemoryBankRestore.parse,
    }
    found = [each for each in documents(file) if each["kind"] in kinds]
    assert found
    for body in found:
        assert body["apiVersion"] == API_VERSION
        kinds[body["kind"]]({**body, "metadata": body["metadata"] | SERVER})


def test_the_example_of_an_own_key_names_the_secret_that_it_brings() -> None:
    secret, bank = documents(next(file for file in EXAMPLES if file.name == "own-key.yaml"))
    reference = bank["spec"]["auth"]["adminKeySecretRef"]
    assert reference["name"] == secret["metadata"]["name"]
    assert SYNTAX.fullmatch(secret["stringData"][reference["key"]])
