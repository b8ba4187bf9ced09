"""The configuration that the operator renders is one that the memory service loads, field by field.

The two share no code; this is where what they agree on is pinned.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings

from memorybank.auth import tokens
from memorybank.configuration import load
from memorybank.settings import Settings
from memorybank_operator.reconcile.keys import SYNTAX
from memorybank_operator.resources.build import build_all
from memorybank_operator.resources.context import BuildContext
from tests.operator.strategies import specs
from tests.operator.world import KEY, SETTINGS, bank


def pod_settings(spec: dict[str, Any], folder: Path) -> Settings:
    """Load what a pod of the bank would load: the mounted file and the environment."""
    of = bank(spec)
    context = BuildContext(of, SETTINGS, admin_key=KEY, volume_size="1Gi")
    objects = {body["kind"]: body for body in build_all(context)}
    file, key = folder / "config.yaml", folder / "token"
    file.write_text(objects["ConfigMap"]["data"]["config.yaml"])
    key.write_text(KEY + "\n")
    [container] = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    environ = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    environ["MEMORY_BANK_ADMIN_KEY_FILE"] = str(key)
    return load(file=file, environ=environ)


def test_the_rendered_configuration_means_in_the_service_what_the_spec_says(tmp_path: Path) -> None:
    spec = {"limits": {"maxBodyBytes": 4096}, "logging": {"level": "debug", "format": "text"}}
    loaded = pod_settings(spec, tmp_path)
    assert loaded.environment == "production"
    assert loaded.limits.max_body_bytes == 4096
    assert (loaded.logging.level, loaded.logging.format) == ("debug", "text")
    assert loaded.embedding.provider == "builtin"
    assert "agents.team.svc.cluster.local" in loaded.security.allowed_hosts
    assert loaded.admin_key is not None
    assert loaded.admin_key.get_secret_value() == KEY
    assert loaded.revision


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(specs)
def test_every_valid_spec_gives_a_configuration_that_the_service_loads(
    tmp_path: Path, spec: dict[str, Any]
) -> None:
    assert pod_settings(spec, tmp_path).limits.max_body_bytes >= 1024


def test_both_sides_mean_the_same_by_a_key() -> None:
    assert tokens.is_well_formed(KEY)
    for text in (
        KEY,
        tokens.generate(),
        "mb_short",
        "",
        KEY + "x",
        "xx_" + KEY[3:],
        KEY[:-1] + "=",
    ):
        assert bool(SYNTAX.fullmatch(text)) is tokens.is_well_formed(text), text
