"""A field that was changed and changed back leaves a bank as it was; and whatever the API server
takes for a spec gives objects that it takes as well.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from difflib import ndiff
from typing import Any, get_args, get_origin

import pytest
import yaml
from hypothesis import HealthCheck, Phase, assume, given, settings
from pydantic import BaseModel

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.spec import Spec
from memorybank_operator.kube import kinds
from memorybank_operator.kube.client import encode
from memorybank_operator.reconcile.observed import KubeObject
from memorybank_operator.resources.build import build_all
from memorybank_operator.resources.context import BuildContext, RenderSettings
from memorybank_operator.resources.database import Database
from memorybank_operator.runtime import Operator
from tests.integration.operator.effort import FULL
from tests.integration.operator.servers import load_model
from tests.integration.operator.settling import refused, settle
from tests.integration.operator.shape import shape
from tests.integration.operator.world import World
from tests.operator.strategies import bank_names, specs
from tests.operator.world import BACKED_UP, BUCKET_KEYS, CERTIFICATE, DATABASE_URL, IN_POSTGRES
from tests.repo.checkout import ROOT

Values = dict[str, Any]
KEY = "mb_" + "k" * 43
DATABASE = Database((("db.data.svc", 5432), ("10.0.0.7", 6432)), "memories")
EVERY_FIELD = ROOT / "tests" / "operator" / "data" / "every-field" / "given.yaml"
MORE_FIELDS: Values = {
    "version": "2", "hibernate": True, "restart": "2026-01-01", "paused": True,
    "deletionProtection": True, "replicas": 0,
    "updatePolicy": {
        "mode": "Supervised", "approved": "0" * 16, "rollback": "Never", "deadlineSeconds": 10,
    },
}  # fmt: skip
"""What cannot be in one example with all the others, or has its default there."""
ALTERNATIVES: dict[str, Values] = {
    "podDisruptionBudget by those that serve": {"podDisruptionBudget": {"minAvailable": 1}},
    "expose by a certificate of the controller": {
        "expose": {"ingress": {"host": "memory.example.org", "tls": {}}}
    },
    "embedding by ollama": {
        "embedding": {
            "provider": "ollama",
            "model": "nomic-embed-text",
            "ollama": {"url": "http://ollama.example.org", "keepAlive": "5m", "truncate": False},
        }
    },
    "autoscaling": {
        "autoscaling": {
            "minReplicas": 1,
            "maxReplicas": 5,
            "targetCPUUtilization": 50,
            "targetMemoryUtilization": 60,
            "behavior": {
                "scaleUp": {
                    "policies": [{"type": "Percent", "value": 50, "periodSeconds": 30}],
                    "selectPolicy": "Min",
                    "stabilizationWindowSeconds": 10,
                },
                "scaleDown": {
                    "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
                    "stabilizationWindowSeconds": 60,
                    "selectPolicy": "Max",
                },
            },
        }
    },
    "embedding by an own ollama that pulls": {
        "embedding": {
            "provider": "ollama",
            "model": "registry.example.org:5000/team/embed:1",
            "ollama": {
                "managed": {
                    "image": "registry.example/ollama:0.17.4",
                    "storage": {"size": "3Gi", "storageClassName": "standard"},
                    "resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "3Gi"}},
                }
            },
        }
    },
    "embedding by an own ollama that has a volume": {
        "embedding": {
            "provider": "ollama",
            "model": "minilm",
            "ollama": {
                "managed": {
                    "modelFile": {"volume": {"claimName": "models", "path": "gguf/minilm.gguf"}}
                }
            },
        }
    },
    "embedding by an own ollama that has an image": {
        "embedding": {
            "provider": "ollama",
            "model": "minilm",
            "ollama": {
                "managed": {
                    "modelFile": {
                        "image": {
                            "reference": "registry.example/minilm:1",
                            "path": "/m/minilm.gguf",
                        }
                    }
                }
            },
        }
    },
    "vectors in chroma": {
        "vector": {
            "provider": "chroma",
            "chroma": {"url": "http://chroma.example.org:8000", "collections": "team_notes"},
        }
    },
    "vectors in an own chroma": {
        "vector": {
            "provider": "chroma",
            "chroma": {
                "managed": {
                    "image": "registry.example/chroma:1.5.9",
                    "storage": {"size": "3Gi", "storageClassName": "standard"},
                    "resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "3Gi"}},
                }
            },
        }
    },
    "backups by a key of the server's": {
        "backup": {"destination": {"s3": {"bucket": "memories", "encryption": {"kmsKeyId": "k"}}}}
    },
    "a restore by a key of ones own": {
        "bootstrap": {
            "restore": {
                "destination": {
                    "s3": {
                        "bucket": "memories",
                        "encryption": {
                            "customerKeySecretRef": {"name": "bucket", "key": "customerKey"}
                        },
                    }
                }
            }
        }
    },
    "backups on a volume": {
        "backup": {"destination": {"volume": {"claimName": "backups", "path": "memories"}}}
    },
    "a copy of the backups by a key of ones own": {
        "backup": {
            "destination": {"volume": {"claimName": "backups"}},
            "copies": [
                {
                    "name": "far-away",
                    "s3": {
                        "bucket": "memories-far-away",
                        "encryption": {
                            "customerKeySecretRef": {"name": "bucket", "key": "customerKey"}
                        },
                    },
                }
            ],
        }
    },
    "a restore from a volume": {
        "bootstrap": {
            "restore": {"destination": {"volume": {"claimName": "copies", "path": "memories"}}}
        }
    },
    "a restore of a recovery point": {"bootstrap": {"restore": {"backup": "agents-202611220230"}}},
    "vectors in postgres": {"vector": {"provider": "pgvector"}},
    "auth.jwt by a secret": {
        "auth": {
            "jwt": {
                "issuer": "https://login.example.org",
                "audience": ["memory"],
                "secretRef": {"name": "tokens", "key": "secret"},
            }
        }
    },
}
"""What excludes something that the example has."""
BASES: dict[str, Values] = {
    **dict.fromkeys(("autoscaling", "vectors in postgres"), IN_POSTGRES),
    **dict.fromkeys(
        (
            "bootstrap",
            "readReplicas",
            "a restore from a volume",
            "a restore of a recovery point",
            "a restore by a key of ones own",
        ),
        BACKED_UP,
    ),
}
"""What a bank is that has such a field; of any other, nothing is said."""
INSTALLED = frozenset(kind.kind for kind in kinds.OPTIONAL)
IMMUTABLE = {"storage", "encryption", "standby"}
"""What never changes back; growing is among the crash points, and a promotion in golden files."""
SILENT = {"deletionProtection", "auth.adminKeySecretRef", "updatePolicy"}
"""What changes nothing but the spec, or the key, which a shape leaves out."""
slow = settings(
    deadline=None,
    print_blob=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def changes() -> dict[str, Values]:
    """Return a change of each field, by its name; what belongs together changes together."""
    example: Values = yaml.safe_load(EVERY_FIELD.read_text())["bank"]["spec"] | MORE_FIELDS
    auth = example.pop("auth")
    found = {name: {name: value} for name, value in example.items() if name not in IMMUTABLE}
    found |= {f"auth.{name}": {"auth": {name: value}} for name, value in auth.items()}
    return found | ALTERNATIVES


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the paths of all fields of a model that hold no model themselves."""
    for name, field in model.model_fields.items():
        path = prefix + (field.alias or name)
        kinds_of_value = (field.annotation, *get_args(field.annotation))
        inner = [each for each in kinds_of_value if isinstance(each, type)]
        models = [each for each in inner if issubclass(each, BaseModel)]
        if models and get_origin(field.annotation) is not tuple:
            yield from fields(models[0], f"{path}.")
        else:
            yield path


def test_a_change_of_every_field_is_tried() -> None:
    def tried(path: str) -> bool:
        for change in changes().values():
            value: Any = change
            for step in path.split("."):
                value = value.get(step) if isinstance(value, Mapping) else None
            if value is not None:
                return True
        return path.partition(".")[0] in IMMUTABLE

    assert [path for path in fields(Spec) if not tried(path)] == []


def patch(before: Values, after: Values) -> Values:
    """Return the JSON merge patch that makes one spec of the other."""
    nested = {
        key: patch(before[key], value)
        if isinstance(value, dict) and isinstance(before.get(key), dict)
        else value
        for key, value in after.items()
    }
    return dict.fromkeys(before.keys() - after.keys()) | nested


def difference(one: Values, other: Values) -> list[str]:
    """Return the lines in which two shapes differ."""
    before, after = (
        json.dumps(each, indent=1, sort_keys=True).splitlines() for each in (one, other)
    )
    return [line for line in ndiff(before, after) if line[0] in "+-"]


async def named_secrets(world: World) -> None:
    """Create what the changes name."""
    await world.put_secret("database", url=DATABASE_URL)
    await world.put_secret("bucket", **BUCKET_KEYS)
    await world.put_secret("authority", **{"tls.crt": CERTIFICATE})
    named = {"mine": ("key", KEY), "models": ("token", "secret"), "tokens": ("secret", "t" * 64)}
    certificate = {"tls.crt": "eA==", "tls.key": "eA=="}
    await world.client.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "memory-tls", "namespace": world.namespace},
            "data": certificate,
        }
    )
    for name, (entry, value) in named.items():
        await world.client.create(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": world.namespace},
                "data": {entry: base64.b64encode(value.encode()).decode()},
            }
        )


async def settle_with_models(world: World, operator: Operator, *banks: str) -> None:
    """Wait until nothing is left to do, and that once more when all models are loaded."""
    await settle(world, operator, *banks, seconds=300)
    for name in banks:
        await load_model(world, name)
    await settle(world, operator, *banks, seconds=300)


@pytest.mark.proof
async def test_each_field_changed_and_changed_back_leaves_a_bank_as_it_was(world: World) -> None:
    await named_secrets(world)
    banks = {f"bank-{number}-x": each for number, each in enumerate(changes())}
    twins = {name: f"twin-{name}" for name in banks}
    async with world.operator(workers=16) as operator:
        for name, field in banks.items():
            base = BASES.get(field, {})
            await world.create(name, **base)
            await world.create(twins[name], **base, **changes()[field])
        await settle_with_models(world, operator, *banks, *twins.values())
        before = {name: await shape(world, name) for name in banks}
        for name, field in banks.items():
            await world.change(name, **changes()[field])
        await settle_with_models(world, operator, *banks)
        for name, field in banks.items():
            changed, fresh = await shape(world, name), await shape(world, twins[name])
            if field != "paused":  # a bank that was paused from the start has nothing
                assert difference(changed, fresh) == [], field
            assert (changed == before[name]) == (field in SILENT), field
        for name, field in banks.items():
            await world.change(name, **patch(changes()[field], {}))
            await world.change(twins[name], **patch(changes()[field], {}))
        await settle(world, operator, *banks, *twins.values(), seconds=300)
        assert refused(operator) == 0
        for name, field in banks.items():
            assert difference(await shape(world, name), before[name]) == [], field
            assert difference(await shape(world, twins[name]), before[name]) == [], field


@pytest.mark.proof
@settings(slow, max_examples=1000 if FULL else 25)
@given(spec=specs, name=bank_names)
async def test_what_the_api_server_takes_for_a_spec_gives_objects_that_it_takes(
    world: World, spec: Values, name: str
) -> None:
    of = MemoryBank.parse(await dry_run(world, spec, name))
    context = BuildContext(
        of, RenderSettings("memorybank-app:0.1.0", "cluster.local", installed=INSTALLED),
        admin_key=KEY, volume_size=of.spec.storage.volume.size, database=DATABASE,
    )  # fmt: skip
    objects = build_all(context)
    assert json.dumps(objects) == json.dumps(build_all(context))
    await assert_taken(world, objects)


async def assert_taken(world: World, objects: Iterable[KubeObject]) -> None:
    """Ask the API server whether it would take what was rendered."""
    async with world.connection.session() as session:
        for body in objects:
            metadata = body["metadata"]
            assert len(metadata["name"]) <= 63
            path = kinds.by_kind(body["kind"]).item(world.namespace, metadata["name"])
            async with session.patch(
                world.connection.server + path,
                params={"dryRun": "All", "fieldManager": "proof", "force": "true"},
                data=encode(body),
                headers={"Content-Type": "application/apply-patch+yaml"},
            ) as response:
                assert response.status in (200, 201), await response.text()


async def dry_run(world: World, spec: Values, name: str) -> Values:
    body = {
        "apiVersion": constants.API_VERSION,
        "kind": constants.KIND,
        "metadata": {"name": name, "namespace": world.namespace},
        "spec": spec,
    }
    url = world.connection.server + kinds.MEMORY_BANK.collection(world.namespace)
    async with (
        world.connection.session() as session,
        session.post(url, params={"dryRun": "All"}, json=body) as response,
    ):
        answer: Values = await response.json()
        assume(response.status == 201)
    return answer
