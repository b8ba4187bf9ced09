"""app/deploy/compose.yaml against the schema of the Compose specification itself."""

from __future__ import annotations

import json

import jsonschema  # type: ignore[import-untyped]
import yaml

from e2e.cluster import binaries, paths
from tests.repo.checkout import ROOT


def test_the_compose_file_is_one() -> None:
    module = binaries.required(
        paths.MODULES / "compose-go", "github.com/compose-spec/compose-go/v2"
    )
    schema = json.loads((module / "schema/compose-spec.json").read_text())
    file = yaml.safe_load((ROOT / "app/deploy/compose.yaml").read_text())
    jsonschema.validate(file, schema)
