"""The Job of docs/banks/moving.md fits a bank as the operator makes it, and runs a command that the
service has.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from memorybank.cli.parser import build_parser
from memorybank_operator.reconcile.ownership import Ownership, ownership
from memorybank_operator.resources import names
from memorybank_operator.resources.container import CONFINED
from memorybank_operator.resources.labels import labels
from memorybank_operator.resources.pod_template import UNPRIVILEGED
from tests.operator.world import bank
from tests.repo.checkout import ROOT

_BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def manifests() -> dict[str, dict[str, Any]]:
    """Return what the page shows, by kind."""
    page = (ROOT / "docs/banks/moving.md").read_text()
    return {each["kind"]: each for each in map(yaml.safe_load, _BLOCK.findall(page))}


def test_the_job_mounts_the_volume_of_the_bank_as_its_pod_does_and_runs_beside_it() -> None:
    made = bank(name="agents")
    pod = manifests()["Job"]["spec"]["template"]["spec"]
    assert pod["securityContext"] == UNPRIVILEGED
    assert [each["securityContext"] for each in pod["containers"]] == [CONFINED]
    [claim] = [each["persistentVolumeClaim"] for each in pod["volumes"] if each["name"] == "data"]
    assert claim["claimName"] == names.volume_claim(made).name
    [near] = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert near["labelSelector"]["matchLabels"].items() <= labels(made).items()


def test_the_job_runs_a_command_of_the_service_in_both_directions() -> None:
    [container] = manifests()["Job"]["spec"]["template"]["spec"]["containers"]
    mounted = [Path(each["mountPath"]) for each in container["volumeMounts"]]
    for direction in ("to-postgres", "to-sqlite"):
        given = [direction if each == "to-postgres" else each for each in container["args"]]
        parsed = build_parser().parse_args(given)
        assert (parsed.run, parsed.direction) == ("move:move", direction)
        assert parsed.data in mounted
        assert parsed.url_file.parent in mounted


def test_a_bank_takes_the_empty_volume_for_its_own() -> None:
    made = bank(name="agents")
    claim = manifests()["PersistentVolumeClaim"]
    assert claim["metadata"]["name"] == names.volume_claim(made).name
    assert ownership(made, claim) is Ownership.OURS
    assert claim["spec"]["accessModes"] == [made.spec.storage.volume.access_mode]
