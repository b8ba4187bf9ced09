"""An upgraded operator restarts no pod that needs no restart.

data/released.yaml has the revision of the pod that the last release gives to each spec. When a
test here fails, every bank of such a spec would restart with the next release. Where that is meant,
`python -m tests.operator.test_released` writes the file anew, and the changelog has to say so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from memorybank_operator.resources.deployment import revision_in
from tests.operator.golden import DATA
from tests.operator.world import World, bank, that_takes_none

FILE = Path(__file__).parent / "data/released.yaml"
SPECS: dict[str, dict[str, Any]] = {
    "nothing set": {},
    "hibernated": {"hibernate": True},
    "settings": {"limits": {"maxBodyBytes": 4096}, "logging": {"level": "debug", "format": "text"}},
    "forgetting and audit": {"forgetting": {"enabled": True}, "audit": {"events": ["admin"]}},
    "embedding elsewhere": {
        "embedding": {
            "provider": "ollama",
            "model": "nomic-embed-text",
            "ollama": {"url": "http://ollama.example.org"},
        }
    },
    "placement": {
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "topologySpreadConstraints": [{"topologyKey": "topology.kubernetes.io/zone"}],
    },
    "labels, variables, resources": {
        "podLabels": {"team": "a"},
        "podAnnotations": {"example.org/a": "b"},
        "env": [{"name": "TZ", "value": "UTC"}],
        "resources": {"limits": {"memory": "1Gi"}},
    },
    "a version and a restart": {"version": "0.1.0", "restart": "now"},
    "supervised": {"updatePolicy": {"mode": "Supervised"}},
}


def revision(spec: dict[str, Any]) -> str:
    """The revision of the pod after an upgrade from an operator whose revisions covered all
    settings and Secrets.
    """
    of, world = bank(spec), World()
    world.converge(that_takes_none(of))
    made = world.deployment(of)
    assert world.plan(of).steps == (), "the upgrade writes nothing"
    assert world.plan(of).revision == revision_in(made)
    return revision_in(made)


def released() -> dict[str, str]:
    found: dict[str, str] = yaml.safe_load(FILE.read_text())
    return found


@pytest.mark.parametrize("case", SPECS)
def test_a_pod_is_made_as_the_last_release_made_it(case: str) -> None:
    assert revision(SPECS[case]) == released()[case]


def test_fields_that_shape_no_pod_shape_none() -> None:
    assert revision(SPECS["supervised"]) == revision(SPECS["nothing set"])
    assert revision({"deletionPolicy": "Delete"}) == revision({})
    assert len(set(released().values())) == len(SPECS) - 2


if __name__ == "__main__":
    assert FILE.parent == DATA
    FILE.write_text(yaml.safe_dump({case: revision(spec) for case, spec in SPECS.items()}))
