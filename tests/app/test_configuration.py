"""Settings: sources, order, and sentences for everything that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank.configuration import load
from memorybank.errors import ConfigurationError
from memorybank.settings import Settings

RENDERED = """\
environment: production
database: {path: /data/memory_bank.db}
embedding: {provider: builtin}
security: {allowed_hosts: [agents, agents.team, agents.team.svc, agents.team.svc.cluster.local]}
limits: {max_body_bytes: 2097152}
logging: {level: warning, format: json}
"""
KEY = "mb_" + "k" * 43


def written(folder: Path, text: str) -> Path:
    file = folder / "config.yaml"
    file.write_text(text)
    return file


def refusal(**arguments: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load(**{"environ": {}} | arguments)
    error = caught.value
    assert error.message
    assert error.hint
    assert "\n" not in error.message
    return error


@pytest.mark.parametrize(
    ("database", "strange"),
    [
        ("{readers: 2}", "no readers with the engine sqlite"),
        ("{engine: postgres, path: bank.db}", "no path with the engine postgres"),
    ],
)
def test_a_setting_of_the_other_database_is_refused(
    tmp_path: Path, database: str, strange: str
) -> None:
    assert strange in refusal(file=written(tmp_path, f"database: {database}")).message


def test_no_configuration_at_all_is_enough(tmp_path: Path) -> None:
    settings = load(environ={})
    assert settings.server.host == "127.0.0.1"
    assert (settings.server.port, settings.server.metrics_port) == (8080, 9090)
    assert settings.admin_key is None
    assert load(overrides={"data": tmp_path}, environ={}).database_path == (
        tmp_path / "memory_bank.db"
    )


def test_the_operators_file_is_understood(tmp_path: Path) -> None:
    settings = load(file=written(tmp_path, RENDERED), environ={})
    assert settings.environment == "production"
    assert settings.database_path == Path("/data/memory_bank.db")
    assert "agents.team.svc" in settings.security.allowed_hosts
    assert settings.limits.max_body_bytes == 2_097_152
    assert (settings.logging.level, settings.logging.format) == ("warning", "json")


def test_the_environment_beats_the_file_and_the_command_line_beats_both(tmp_path: Path) -> None:
    file = written(tmp_path, "logging: {level: error, format: json}\nenvironment: in-file\n")
    environ = {"MEMORY_BANK_LOGGING__LEVEL": "info", "MEMORY_BANK_SERVER__PORT": "1"}
    settings = load(file=file, environ=environ, overrides={"server": {"port": "2"}})
    assert settings.environment == "in-file"
    assert (settings.logging.level, settings.logging.format) == ("info", "json")
    assert settings.server.port == 2


def test_a_list_comes_from_one_variable() -> None:
    hosts = load(environ={"MEMORY_BANK_SECURITY__ALLOWED_HOSTS": "a, b.example,"}).security
    assert hosts.allowed_hosts == ("a", "b.example")


def test_nothing_but_the_given_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_BANK_LOGGING__LEVEL", "error")
    assert load(environ={}).logging.level == "info"
    assert load().logging.level == "error"


def test_settings_cannot_be_changed() -> None:
    settings = load(environ={})
    with pytest.raises(ValueError, match="frozen"):
        settings.environment = "x"  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        settings.logging.level = "debug"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "field", "said", "cure"),
    [
        ("loging: {level: info}", "loging", "not a known setting", "did you mean `logging`?"),
        ("logging: {lvl: info}", "logging.lvl", "not a known setting", "did you mean `level`?"),
        ("logging: {xyzzy: 1}", "logging.xyzzy", "not a known", "the known ones are format, level"),
        ("logging: {level: loud}", "logging.level", "'debug', 'info', 'warning' or 'error'", ""),
        ("logging: info", "logging", "", "write its settings below it"),
        ("limits: {max_body_bytes: 5}", "limits.max_body_bytes", "greater than or equal to", ""),
        ("limits: {max_body_bytes: big}", "limits.max_body_bytes", "valid integer", ""),
        ("embedding: {provider: magic}", "embedding.provider", "'builtin'", ""),
        ("embedding: {provider: ollama}", "embedding", "model should be given", "embedding.model"),
        ("embedding: {model: x}", "embedding", "model should be left out", "remove it"),
        (
            "embedding: {provider: ollama, model: x, ollama: {url: 'ftp://x'}}",
            "embedding.ollama.url",
            "should match",
            "",
        ),
        (
            "embedding: {provider: openai, model: x, openai: {base_url: 'https://u:p@x'}}",
            "embedding.openai.base_url",
            "should match",
            "",
        ),
        ("security: {allowed_hosts: [a, 'b:80']}", "security.allowed_hosts.1", "without port", ""),
        ("server: {port: 70000}", "server.port", "less than or equal to 65535", ""),
        ("environment: Prod uction", "environment", "should match", ""),
        ("database: {path: 7}", "database.path", "path", ""),
        (f"admin_key: {KEY}", "admin_key", "is a secret", "MEMORY_BANK_ADMIN_KEY_FILE"),
        ("admin_key_file: /x", "admin_key_file", "is a secret", "MEMORY_BANK_ADMIN_KEY_FILE"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file_and_cure(
    tmp_path: Path, text: str, field: str, said: str, cure: str
) -> None:
    file = written(tmp_path, text)
    error = refusal(file=file)
    assert error.field == field
    assert str(file) in error.message
    assert said in error.message
    assert cure in (error.hint or "")
    assert KEY not in error.message


@pytest.mark.parametrize("text", ["- a", "text", "a: [", "\t- x", "1: 2", "a: !!python/name:x y"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    refusal(file=written(tmp_path, text))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "--config" in (refusal(file=tmp_path / "none.yaml").hint or "")
    assert refusal(file=tmp_path).message


def test_an_empty_file_is_fine(tmp_path: Path) -> None:
    assert load(file=written(tmp_path, "# nothing\n"), environ={}) == load(environ={})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MEMORY_BANK_LOGGING__LEVLE", "info", "did you mean `level`?"),
        ("MEMORY_BANK_LOGING__LEVEL", "info", "did you mean `MEMORY_BANK_LOGGING`?"),
        ("MEMORY_BANK_LOG_LEVEL", "info", ""),
        ("MEMORY_BANK_LIMITS", "{broken", "MEMORY_BANK_LOGGING__LEVEL=info"),
        ("MEMORY_BANK_LIMITS__MAX_BODY_BYTES", "many", ""),
    ],
)
def test_a_wrong_variable_is_refused(name: str, value: str, said: str) -> None:
    error = refusal(environ={name: value})
    assert said in (error.hint or "")


def test_what_kubernetes_and_the_client_set_is_no_setting() -> None:
    environ = {
        "MEMORY_BANK_SERVICE_HOST": "10.96.0.7",
        "MEMORY_BANK_SERVICE_PORT": "8080",
        "MEMORY_BANK_SERVICE_PORT_METRICS": "9090",
        "MEMORY_BANK_PORT": "tcp://10.96.0.7:8080",
        "MEMORY_BANK_PORT_8080_TCP_ADDR": "10.96.0.7",
        "MEMORY_BANK_TWO_PORT_8080_TCP": "tcp://10.96.0.8:8080",
        "MEMORY_BANK_URL": "http://x",
        "MEMORY_BANK_KEY": "y",
    }
    assert load(environ=environ) == load(environ={})


def test_the_admin_key_comes_from_a_variable_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    for environ in ({"MEMORY_BANK_ADMIN_KEY": KEY}, {"MEMORY_BANK_ADMIN_KEY_FILE": str(file)}):
        settings = load(environ=environ)
        assert settings.admin_key is not None
        assert settings.admin_key.get_secret_value() == KEY
        assert KEY not in repr(settings)


@pytest.mark.parametrize("bad", ["hunter2", KEY[:-1], KEY + "x", f"{KEY[:-1]}!", "é" * 46])
def test_a_malformed_admin_key_is_refused_and_never_repeated(tmp_path: Path, bad: str) -> None:
    file = tmp_path / "key"
    file.write_text(bad)
    for environ in ({"MEMORY_BANK_ADMIN_KEY": bad}, {"MEMORY_BANK_ADMIN_KEY_FILE": str(file)}):
        error = refusal(environ=environ)
        assert "basenc" in (error.hint or "")
        assert bad not in f"{error.message} {error.hint} {error.field}"
        assert bad not in repr(error.__cause__)


def test_a_missing_key_file_and_two_keys_are_refused(tmp_path: Path) -> None:
    missing = {"MEMORY_BANK_ADMIN_KEY_FILE": str(tmp_path / "none")}
    assert str(tmp_path) in refusal(environ=missing).message
    both = missing | {"MEMORY_BANK_ADMIN_KEY": KEY}
    assert "either" in (refusal(environ=both).hint or "")


YAML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*Settings.model_fields, "level", "port", "path", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(YAML_VALUES)
def test_any_file_is_taken_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    file = tmp_path_factory.mktemp("config") / "config.yaml"
    file.write_text(json.dumps(value))  # YAML reads JSON
    try:
        load(file=file, environ={})
    except ConfigurationError as error:
        assert error.hint  # noqa: PT017  # either outcome is right; a refusal must say what to do
