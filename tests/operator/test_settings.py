"""A wrong setting stops the operator at the start, with the variable's name and meaning."""

from __future__ import annotations

import pytest

from memorybank_operator import settings
from memorybank_operator.settings import PREFIX, SettingsError


def test_without_any_variable_the_defaults_hold() -> None:
    loaded = settings.load()
    assert loaded.namespaces == ()
    assert loaded.canary_interval == 30


def test_namespaces_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}NAMESPACES", "team-a, team-b,")
    assert settings.load().namespaces == ("team-a", "team-b")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "many"),
        ("WORKERS", "0"),
        ("CANARY_INTERVAL", "-1"),
        ("CANARY_INTERVAL", "nan"),
        ("CANARY_CONNECT", "guess"),
        ("NAMESPACES", "Team_A"),
        ("CLUSTER_DOMAIN", "cluster local"),
        ("LOG_LEVEL", "loud"),
        ("APP_IMAGE", ""),
        ("DEFAULTS", "defaults"),
        ("DEFAULTS", "Team/defaults"),
        ("HTTP_PORT", "70000"),
    ],
)
def test_a_wrong_value_is_refused_with_the_variables_name_and_meaning(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError, match=rf"^{PREFIX}{name}: .*\. It is: [A-Z]"):
        settings.load()


def test_a_misspelt_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}NAMESPACE", "team")
    with pytest.raises(SettingsError, match=f"{PREFIX}NAMESPACE is no setting"):
        settings.load()


def test_all_mistakes_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}WORKERS", "x")
    monkeypatch.setenv(f"{PREFIX}LOG_FORMAT", "xml")
    with pytest.raises(SettingsError, match=r"WORKERS.*; .*LOG_FORMAT|LOG_FORMAT.*; .*WORKERS"):
        settings.load()


@pytest.mark.parametrize(
    "name", ["SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT", "PORT_8080_TCP_ADDR"]
)
def test_what_kubernetes_adds_for_our_service_is_no_mistake(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(PREFIX + name, "tcp://10.0.0.7:8080")
    settings.load()
