"""The CRD as a whole: generated, complete, and in the form that the API server asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from memorybank_operator.api import crd
from memorybank_operator.api.v1alpha1.spec import Spec

ROOT = Path(__file__).parents[3]
MAX_ANNOTATION = 262_144
"""`kubectl apply` keeps the whole object in an annotation of at most this many bytes."""


def root_schema() -> dict[str, Any]:
    [version] = crd.build()["spec"]["versions"]
    return dict(version["schema"]["openAPIV3Schema"])


def every_schema(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from every_schema(inner, f"{path}.{name}".lstrip("."))
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from every_schema(schema[key], f"{path}[]")


SCHEMAS = dict(every_schema(root_schema()))
FIELDS = [path for path in SCHEMAS if path and not path.endswith("[]") and path != "metadata"]


def test_the_file_is_what_the_models_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert crd.main(["--check"]) == 0


def test_a_file_that_differs_from_the_models_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert crd.main(["--check", "--output", str(tmp_path)]) == 1
    assert crd.main(["--output", str(tmp_path)]) == 0
    assert crd.main(["--check", "--output", str(tmp_path)]) == 0
    file = tmp_path / crd.file_of(crd.build_keys())
    file.write_text(file.read_text() + "# by hand\n")
    assert crd.main(["--check", "--output", str(tmp_path)]) == 1
    assert "python -m memorybank_operator.api.crd --output" in capsys.readouterr().err


def test_the_text_reads_back_as_the_object() -> None:
    assert yaml.safe_load(crd.text(crd.build())) == crd.build()


def test_it_is_small_enough_for_kubectl_apply() -> None:
    assert len(crd.text(crd.build()).encode()) < MAX_ANNOTATION


@pytest.mark.parametrize("path", [each for each in FIELDS if each not in ("apiVersion", "kind")])
def test_every_field_explains_itself(path: str) -> None:
    description = SCHEMAS[path].get("description", "")
    assert description.endswith("."), "kubectl explain would show nothing useful"
    assert "\n" not in description


def test_every_rule_says_what_to_write_instead() -> None:
    rules = [
        rule for schema in SCHEMAS.values() for rule in schema.get("x-kubernetes-validations", ())
    ]
    assert len(rules) > 20
    assert all(len(rule["message"].split()) > 3 for rule in rules)


def test_the_schema_is_structural() -> None:
    for path, schema in SCHEMAS.items():
        assert "$ref" not in schema, path
        assert "anyOf" not in schema or schema.get("x-kubernetes-int-or-string"), path
        assert "type" in schema or schema.get("x-kubernetes-int-or-string"), path


def test_texts_and_lists_of_the_spec_are_bounded() -> None:
    """Without bounds the API server takes the worst for granted and refuses rules as too dear."""
    for path, schema in SCHEMAS.items():
        if not path.startswith("spec"):
            continue
        if schema.get("type") == "string":
            assert "maxLength" in schema or "enum" in schema, path
        if schema.get("type") == "array":
            assert "maxItems" in schema, path
        if "additionalProperties" in schema:
            assert "maxProperties" in schema, path


def test_the_default_of_the_spec_is_what_the_models_default_to() -> None:
    default = SCHEMAS["spec"]["default"]
    assert Spec.model_validate(default) == Spec()
    # Rules of the resource read these, and are evaluated on the bare default.
    assert default["storage"] == {
        "engine": "sqlite",
        "volume": {
            "size": "1Gi",
            "accessMode": "ReadWriteOnce",
            "autoGrow": {"enabled": False, "thresholdPercent": 80, "step": "25%"},
        },
    }
    assert default["auth"] == {}


def test_a_bank_that_the_operator_has_not_seen_does_not_look_finished() -> None:
    assert SCHEMAS["status"]["default"] == {"observedGeneration": -1}
    defaults = [p for p, s in SCHEMAS.items() if p.startswith("status.") and "default" in s]
    assert defaults == []


def test_no_category_is_a_word_that_names_a_kind() -> None:
    names = [
        yaml.safe_load(file.read_text())["spec"]["names"]
        for file in ROOT.glob("crds/memorybank.dev_*.yaml")
    ]
    kinds = {word for each in names for word in (each["plural"], each["singular"])}
    assert kinds.isdisjoint(category for each in names for category in each["categories"])
