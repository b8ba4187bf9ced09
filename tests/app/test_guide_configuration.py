"""The keys of a common deployment guide's config.yaml: taken, granted, told of, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank.configuration import explain, load, unused
from memorybank.errors import ConfigurationError
from memorybank.guide_configuration import RULES, translate
from memorybank.settings import Settings

GUIDE = """\
environment: "production"
database:
  path: "/opt/memory-bank/data/memory_bank.db"
  max_connections: 25
  connection_timeout: "10s"
embedding:
  provider: "ollama"
  ollama:
    base_url: "http://localhost:11434"
    model: "nomic-embed-text"
    timeout: "60s"
    max_retries: 3
vector:
  provider: "embedded"
performance:
  embedding: {cache_enabled: true, cache_size: 1000, cache_ttl: "1h", batch_size: 10}
  search: {result_cache_enabled: true, result_cache_size: 100, result_cache_ttl: "10m"}
security:
  encryption: {enabled: true, algorithm: "AES-256-GCM", key_source: "environment"}
  audit:
    enabled: true
    events: ["create", "update", "delete", "search"]
  authorization:
    enabled: true
    roles:
      admin: {permissions: ["read", "write", "delete", "admin"]}
      writer: {permissions: ["read", "write"]}
  rate_limiting: {enabled: true, requests_per_minute: 60, burst: 10}
  cors:
    enabled: true
    allowed_origins: ["https://yourdomain.com"]
    allowed_methods: ["GET", "POST"]
logging:
  level: "info"
  format: "json"
  max_size: "100MB"
  max_backups: 10
monitoring:
  metrics_enabled: true
  metrics_port: 9091
  health_check_port: 8081
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "config.yaml"
    file.write_text(text)
    return file


def refusal(folder: Path, text: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load(file=written(folder, text), environ={})
    return caught.value


def test_a_guides_file_means_here_what_it_says(tmp_path: Path) -> None:
    settings = load(file=written(tmp_path, GUIDE), environ={})
    assert settings.database_path == Path("/opt/memory-bank/data/memory_bank.db")
    assert settings.embedding.ollama.url == "http://localhost:11434"
    assert settings.embedding.model == "nomic-embed-text"
    assert (settings.embedding.timeout_seconds, settings.embedding.retries) == (60, 3)
    assert settings.embedding.cache_entries == 1000
    assert settings.encryption.enabled
    assert settings.audit.events == ("write", "delete", "read")
    assert settings.auth.roles == {"writer": ("read", "write")}
    assert (settings.limits.requests_per_minute, settings.limits.burst) == (60, 10)
    assert settings.cors.allowed_origins == ("https://yourdomain.com",)
    assert (settings.server.metrics_port, settings.server.port) == (9091, 8081)


def test_what_has_no_effect_is_told_with_the_reason(tmp_path: Path) -> None:
    told = unused(file=written(tmp_path, GUIDE), environ={})
    paths = {each.partition(" has no effect: ")[0] for each in told}
    assert {"performance.embedding.cache_ttl", "database.max_connections"} <= paths
    assert "embedding.ollama.base_url" not in paths
    assert all(each.partition(": ")[2] for each in told)
    assert unused(environ={}) == []


def test_the_environment_wins_over_a_guides_key_as_over_ours(tmp_path: Path) -> None:
    file = written(tmp_path, GUIDE)
    environ = {"MEMORY_BANK_LIMITS__BURST": "7"}
    assert load(file=file, environ=environ).limits.burst == 7
    sources = {each.path: each.source for each in explain(file=file, environ=environ)}
    assert sources["limits.burst"] == "the environment"
    assert sources["limits.requests_per_minute"] == str(file)


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("database: {backup_enabled: true}", "database.backup_enabled", "memorybank backup copy"),
        ("vector: {provider: milvus}", "vector.provider", "'embedded', 'chroma' or 'pgvector'"),
        ("vector: {flavour: x}", "vector.flavour", "the known ones are chroma, provider"),
        ("vector: {chromadb: {flavour: x}}", "vector.chromadb.flavour", "base_url, collection"),
        ("performance: {serach: 1}", "performance.serach", "did you mean `search`?"),
        (
            "performance: {embedding: {cache_sise: 1}}",
            "performance.embedding.cache_sise",
            "did you mean `cache_size`?",
        ),
        ("embedding: {provider: mock}", "embedding.provider", "builtin-tiny"),
        (
            "embedding: {provider: ollama, ollama: {model: m, timeout: soon}}",
            "embedding.ollama.timeout",
            "500ms",
        ),
        (
            "embedding: {provider: ollama, ollama: {model: m, base_url: 'ftp://x'}}",
            "embedding.ollama.base_url",
            "should match",
        ),
        (
            "performance: {embedding: {cache_size: -1}}",
            "performance.embedding.cache_size",
            "greater than or equal to 0",
        ),
        (
            "security: {encryption: {algorithm: DES}}",
            "security.encryption.algorithm",
            "AES-256-GCM",
        ),
        ("security: {audit: {log_file: /x}}", "security.audit.log_file", "audit export"),
        ("security: {audit: {events: [login]}}", "security.audit.events.0", "'write'"),
        (
            "security: {authentication: {enabled: false}}",
            "security.authentication.enabled",
            "needs a key",
        ),
        (
            "security: {authorization: {roles: {developer: {permissions: [read]}}}}",
            "security.authorization.roles.developer",
            "may delete, read, write",
        ),
        (
            "security: {rate_limiting: {enabled: true, burst: 0}}",
            "security.rate_limiting.burst",
            "greater than or equal to 1",
        ),
        (
            "{security: {rate_limiting: {burst: 1}}, limits: {burst: 2}}",
            "security.rate_limiting.burst",
            "remove one",
        ),
        ("logging: {output: /x.log}", "logging.output", "standard error"),
        ("monitoring: {metrics_enabled: false}", "monitoring.metrics_enabled", "always there"),
    ],
)
def test_what_would_be_a_broken_promise_is_refused_with_path_and_cure(
    tmp_path: Path, text: str, field: str, said: str
) -> None:
    error = refusal(tmp_path, text)
    assert error.field == field
    assert field in error.message
    assert said in f"{error.message} {error.hint}"
    assert error.hint


def test_all_that_cannot_be_is_told_at_once(tmp_path: Path) -> None:
    error = refusal(tmp_path, "{logging: {output: /x}, security: {audit: {log_file: /y}}}")
    for path in ("logging.output", "security.audit.log_file"):
        assert path in error.message
        assert f"{path}: " in (error.hint or "")


def test_a_section_that_is_switched_off_does_nothing(tmp_path: Path) -> None:
    text = """\
security:
  rate_limiting: {enabled: false, requests_per_minute: 60, burst: 10}
  cors: {enabled: false, allowed_origins: ["https://yourdomain.com"]}
performance: {embedding: {cache_enabled: false, cache_size: 1000}}
"""
    settings = load(file=written(tmp_path, text), environ={})
    assert settings.limits.requests_per_minute is None
    assert settings.cors.allowed_origins == ()
    assert settings.embedding.cache_entries == 0


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("MEMORY_BANK_ENV", "MEMORY_BANK_ENVIRONMENT"),
        ("MEMORY_BANK_LOG_LEVEL", "MEMORY_BANK_LOGGING__LEVEL"),
        ("MEMORY_BANK_DB_PATH", "MEMORY_BANK_DATABASE__PATH"),
        ("MEMORY_BANK_ENCRYPTION_KEY", "MEMORY_BANK_ENCRYPTION_KEY_RING"),
        ("MEMORY_BANK_ENCRYPTION_KEY_FILE", "MEMORY_BANK_ENCRYPTION__KEY_RING_FILE"),
    ],
)
def test_a_guides_variables_are_refused_with_the_name_here(name: str, cure: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(environ={name: "x"})
    assert cure in (caught.value.hint or "")


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = load(file=written(tmp_path, "database: {path: '~/bank/m.db'}"), environ={})
    assert settings.database_path == tmp_path / "bank/m.db"
    assert refusal(tmp_path, "data: '~nobody-of-this-name/x'").field == "data"


def _nested(path: str, value: Any) -> dict[str, Any]:
    name, _, rest = path.partition(".")
    return {name: _nested(rest, value) if rest else value}


@given(
    st.sampled_from(sorted(RULES)),
    st.none() | st.booleans() | st.integers(-1, 9) | st.text(max_size=5) | st.just([{}]),
)
def test_any_value_of_a_guides_key_is_taken_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, path: str, value: Any
) -> None:
    content = _nested(path, value)
    before = json.dumps(content)
    translate(content)
    assert json.dumps(content) == before
    file = written(tmp_path_factory.mktemp("guide"), before)
    try:
        assert isinstance(load(file=file, environ={}), Settings)
    except ConfigurationError as error:
        assert error.hint  # noqa: PT017  # either outcome is right; a refusal must say what to do
