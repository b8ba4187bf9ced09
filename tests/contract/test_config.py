"""The configuration that the operator renders is one that the memory service loads, field by field.

The two share no code; this is where what they agree on is pinned.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memorybank.auth import tokens
from memorybank.configuration import load
from memorybank.domain.consolidation.rules import Job
from memorybank.domain.keys import Role
from memorybank.domain.memory import MemoryType
from memorybank.server import reload
from memorybank.server.secrets import Fingerprints
from memorybank.settings import ChromaSettings, CorsSettings, Settings
from memorybank_operator.api.v1alpha1.consolidation import CONSOLIDATION_JOBS
from memorybank_operator.api.v1alpha1.postgres import Postgres
from memorybank_operator.api.v1alpha1.service import BUILTIN_ROLES, MEMORY_TYPES
from memorybank_operator.api.v1alpha1.spec import Spec
from memorybank_operator.configfiles import in_effect
from memorybank_operator.configfiles.in_effect import restart_checksum
from memorybank_operator.configfiles.secret_files import Mounted
from memorybank_operator.reconcile.keys import SYNTAX
from memorybank_operator.reconcile.observed import ChildKey
from memorybank_operator.resources import names
from memorybank_operator.resources.build import build_all
from memorybank_operator.resources.config_map import config_of
from memorybank_operator.resources.context import BuildContext
from tests.operator.golden import DATA
from tests.operator.strategies import specs
from tests.operator.world import KEY, SETTINGS, bank

TAKEN_AT_ONCE: list[dict[str, Any]] = [
    {"limits": {"maxBodyBytes": 4096, "requestsPerMinute": 7}},
    {"logging": {"level": "debug", "format": "text"}},
    {"security": {"allowedHosts": ["memory.example.net"]}},
    {"cors": {"allowedOrigins": ["https://notes.example.net"]}},
    {"forgetting": {"enabled": True, "graceDays": 9}},
    {"consolidation": {"enabled": True, "schedule": "0 5 * * *", "jobs": ["merge_duplicates"]}},
    {"writeGate": {"secrets": "refuse", "maxCharacters": 4321}},
]


def pod_settings(spec: dict[str, Any], folder: Path, *, reads: bool = False) -> Settings:
    """Load what a pod of the bank would load, or a read replica of it: the mounted file and the
    environment.
    """
    of = bank(spec)
    context = BuildContext(of, SETTINGS, admin_key=KEY, volume_size="1Gi")
    objects = {
        ChildKey(body["kind"], body["metadata"]["name"]): body for body in build_all(context)
    }
    config_map = (names.read_replicas_config if reads else names.config_map)(of)
    deployment = (names.read_replicas if reads else names.deployment)(of)
    file, key = folder / "config.yaml", folder / "token"
    file.write_text(objects[config_map]["data"]["config.yaml"])
    key.write_text(KEY + "\n")
    [container] = objects[deployment]["spec"]["template"]["spec"]["containers"]
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


def test_every_part_of_the_spec_arrives_in_the_service(tmp_path: Path) -> None:
    """The golden scenario every-field, which gives each field a value that is not its default."""
    given = yaml.safe_load((DATA / "every-field" / "given.yaml").read_text())
    loaded = pod_settings(given["bank"]["spec"], tmp_path)
    limits, audit, gate = loaded.limits, loaded.audit, loaded.write_gate
    assert (limits.requests_per_minute, limits.burst) == (600, 50)
    assert (limits.tenant_requests_per_minute, limits.tenant_burst) == (6000, 500)
    assert loaded.cors == CorsSettings(
        allowed_origins=("https://notes.example.org",), max_age_seconds=60
    )
    assert loaded.security.public_url == "https://memory.example.org"
    assert {"agents", "memory.example.org"} < set(loaded.security.allowed_hosts)
    assert (audit.events, audit.retention_days) == (("admin", "auth", "read"), None)
    assert (gate.secrets, gate.junk, gate.junk_score) == ("refuse", "off", 0.9)
    assert (gate.recall_echo, gate.max_characters) == ("refuse", 5000)
    embedding, openai = loaded.embedding, loaded.embedding.openai
    assert (embedding.provider, embedding.model) == ("openai", "text-embedding-3-small")
    assert (embedding.dimensions, embedding.cache_entries) == (512, 100)
    assert (embedding.timeout_seconds, embedding.retries) == (10, 1)
    assert (embedding.breaker_failures, embedding.breaker_seconds) == (3, 2)
    assert openai.base_url == "http://models.example.org/v1"
    assert openai.key_file == Path("/etc/memorybank-secrets/embedding-key/value")
    assert loaded.encryption.enabled
    assert loaded.encryption.key_ring_file == Path("/etc/memorybank-secrets/key-ring/value")
    assert (loaded.server.drain_seconds, loaded.server.shutdown_seconds) == (5, 60)
    assert loaded.auth.jwt is not None
    assert loaded.auth.jwt.roles_claim == "realm_access.roles"
    assert loaded.auth.jwt.tenant_claim is None
    assert loaded.auth.roles == {
        "curator": ("read", "write", "delete"),
        "auditor": ("read",),
    }
    forgetting = loaded.forgetting
    assert (forgetting.enabled, forgetting.dry_run) == (True, True)
    assert (forgetting.interval_hours, forgetting.grace_days) == (6, 7)
    assert forgetting.threshold == 0.05
    assert forgetting.half_life_days == {"note": 10, "decision": 365.5}


@pytest.mark.parametrize(
    ("chroma", "collections"), [({}, "team_agents"), ({"collections": "mine"}, "mine")]
)
def test_a_bank_with_chroma_has_collections_of_its_own(
    chroma: dict[str, str], collections: str, tmp_path: Path
) -> None:
    url = {"url": "http://chroma.vectors.svc:8000"}
    loaded = pod_settings({"vector": {"provider": "chroma", "chroma": url | chroma}}, tmp_path)
    assert loaded.vector.provider == "chroma"
    assert loaded.vector.chroma.url == url["url"]
    assert loaded.vector.chroma.collections == collections


def test_a_bank_in_postgresql_is_searched_where_the_spec_says(tmp_path: Path) -> None:
    storage = {
        "engine": "postgres",
        "postgres": {"urlSecretRef": {"name": "database", "key": "url"}},
    }
    inside = pod_settings({"storage": storage, "vector": {"provider": "pgvector"}}, tmp_path)
    assert inside.vector.provider == "pgvector"
    assert pod_settings({"storage": storage}, tmp_path).vector.provider == "embedded"


def test_a_bank_in_postgresql_finds_its_database_and_has_as_many_connections_as_it_may(
    tmp_path: Path,
) -> None:
    postgres = {
        "urlSecretRef": {"name": "database", "key": "url"},
        "readers": 8, "connectSeconds": 9, "statementSeconds": 10,
    }  # fmt: skip
    spec = {"replicas": 3, "storage": {"engine": "postgres", "postgres": postgres}}
    database = pod_settings(spec, tmp_path).database
    assert database.engine == "postgres"
    assert database.url_file == Path("/etc/memorybank-secrets/database-url/value")
    sizes = (database.readers, database.connect_seconds, database.statement_seconds)
    assert sizes == (8, 9, 10)


def test_the_longest_names_fit_into_those_of_collections() -> None:
    longest = f"{'n' * 63}_{'b' * 63}"
    assert ChromaSettings(collections=longest).collections == longest


def test_what_a_spec_leaves_out_is_the_same_on_both_sides() -> None:
    """What is at its default is not written, so the service's default has to be the CRD's."""
    spec, defaults = Spec(), Settings(data=Path("/data"))
    for ours, theirs in (
        (spec.forgetting, defaults.forgetting),
        (spec.consolidation, defaults.consolidation),
        (spec.write_gate, defaults.write_gate),
        (spec.cors, defaults.cors),
        (spec.audit, defaults.audit),
        (spec.lifecycle, defaults.server),
        (spec.limits, defaults.limits),
    ):
        for name in type(ours).model_fields:
            assert getattr(ours, name) == getattr(theirs, name), name
    for name in ("timeout_seconds", "retries", "breaker_failures", "breaker_seconds"):
        assert getattr(spec.embedding, name) == getattr(defaults.embedding, name), name
    for name in ("readers", "connect_seconds", "statement_seconds"):
        assert Postgres.model_fields[name].default == getattr(defaults.database, name), name
    assert spec.embedding.openai.base_url == defaults.embedding.openai.base_url
    assert not defaults.encryption.enabled
    assert spec.cache.embeddings == defaults.embedding.cache_entries
    assert set(MEMORY_TYPES) == set(MemoryType)
    assert list(CONSOLIDATION_JOBS) == list(Job)
    assert set(BUILTIN_ROLES) == set(Role)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(specs)
def test_every_valid_spec_gives_a_configuration_that_the_service_loads(
    tmp_path: Path, spec: dict[str, Any]
) -> None:
    assert pod_settings(spec, tmp_path).limits.max_body_bytes >= 1024


def test_both_sides_have_the_same_table_of_what_needs_no_restart() -> None:
    assert {*in_effect.AT_ONCE, "admin_key"} == set(reload.AT_ONCE)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(specs, st.sampled_from(TAKEN_AT_ONCE))
def test_the_running_service_takes_all_that_restarts_no_pod(
    tmp_path: Path, spec: dict[str, Any], change: dict[str, Any]
) -> None:
    after_change = spec | {name: spec.get(name, {}) | part for name, part in change.items()}
    before, after = (
        BuildContext(bank(each), SETTINGS, admin_key=KEY, volume_size="1Gi")
        for each in (spec, after_change)
    )
    assert restart_checksum(config_of(before)) == restart_checksum(config_of(after))
    differences = list(
        reload.differing(pod_settings(spec, tmp_path), pod_settings(after_change, tmp_path))
    )
    assert all(path.startswith(reload.AT_ONCE) for path in differences), differences


def test_both_sides_know_secrets_and_file_by_the_same_fingerprints(tmp_path: Path) -> None:
    file, secret = tmp_path / "config.yaml", tmp_path / "secret"
    file.write_text("logging: {level: info}\n")
    secret.write_text(f"{KEY}\n")
    for name in (in_effect.ADMIN_KEY, *(each.setting for each in Mounted)):
        taken = Fingerprints.take(file, {name: secret})
        ours = in_effect.configuration_of(
            file.read_text(), {name: in_effect.secret_checksum(name, KEY)}
        )
        assert (taken.file, tuple(taken.secrets.items())) == (ours.file, ours.secrets)


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
