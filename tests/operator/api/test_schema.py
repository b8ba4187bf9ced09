"""How a model becomes a structural schema."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from memorybank_operator.api.base import ApiModel, cel, rules
from memorybank_operator.api.schema import structural_schema

OF_MODEL, OF_FIELD = cel("self.a > 0", "write more"), cel("self.a < 9", "write less")


class Inner(ApiModel):
    """An inner part."""

    model_config = ConfigDict(json_schema_extra=rules(OF_MODEL))

    a: int = 1
    """A number.

    Of some kind.
    """
    items: tuple[str, ...] = ()
    """Texts."""


class Outer(ApiModel):
    """A whole."""

    inner: Annotated[Inner, Field(json_schema_extra=rules(OF_FIELD))] = Inner()
    """What is inside."""
    maybe: Inner | None = None
    """What may be inside."""
    one: Literal["only"] = "only"
    """A choice of one."""


SCHEMA = structural_schema(Outer, defaults=True)["properties"]


def test_rules_of_a_model_and_of_its_use_add_up() -> None:
    assert SCHEMA["inner"]["x-kubernetes-validations"] == [OF_MODEL, OF_FIELD]
    assert SCHEMA["maybe"]["x-kubernetes-validations"] == [OF_MODEL]


def test_the_text_at_the_field_wins_over_that_of_the_model() -> None:
    assert SCHEMA["inner"]["description"] == "What is inside."


def test_texts_are_one_line() -> None:
    assert SCHEMA["inner"]["properties"]["a"]["description"] == "A number. Of some kind."


def test_what_may_be_left_out_is_optional_and_not_null() -> None:
    assert SCHEMA["maybe"]["type"] == "object"
    assert "default" not in SCHEMA["maybe"]


def test_a_choice_of_one_is_an_enumeration() -> None:
    assert SCHEMA["one"]["enum"] == ["only"]
    assert "const" not in SCHEMA["one"]


def test_defaults_are_spelled_out_without_what_is_empty() -> None:
    assert SCHEMA["inner"]["default"] == {"a": 1}
    assert "default" not in SCHEMA["inner"]["properties"]["items"]
    without = structural_schema(Outer, defaults=False)["properties"]
    assert "default" not in without["inner"]
    assert "default" not in without["inner"]["properties"]["a"]
