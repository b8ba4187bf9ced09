"""What is in an image, in the words of CycloneDX: packages of Debian and of Python, and the
embedding model, each with its licence as far as the image tells it.

It is read from the image itself, not from what it was to be made of. Equal images give equal files:
the serial number is made of what the image was made from, and the date is that of its sources.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License, LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from .build import DIGEST_LABEL, IMAGES
from .engines import Engine
from .errors import ImageError
from .inputs import Inputs

VERSION = SchemaVersion.V1_6
PYTHON = "/opt/memorybank/bin/python"
LONGEST_NAME = 100
"""Characters of a licence's name; what is longer is its text."""
UNKNOWN = {"", "UNKNOWN", "Dual License"}
"""What says nothing: the classifiers are asked then."""
# Run inside the image: what is installed there, as one JSON object.
LOOK = """
import importlib.metadata, json, pathlib, platform
def told(of):
    said = of.metadata
    return {
        "name": of.name, "version": of.version,
        "expression": said.get("License-Expression", ""), "license": said.get("License", ""),
        "classifiers": [each for each in said.get_all("Classifier") or ()
                        if each.startswith("License ::")],
    }
def text(path):
    return path.read_text() if path.exists() else ""
print(json.dumps({
    "python": platform.python_version(),
    "packages": [told(each) for each in importlib.metadata.distributions()],
    "debian": text(pathlib.Path("/var/lib/dpkg/status")),
    "release": text(pathlib.Path("/etc/os-release")),
    "model": text(pathlib.Path("/opt/memorybank/models/manifest.json")),
}))
"""


def write(distribution: str, engine: Engine, image: str, folder: Path) -> Iterator[Path]:
    """Write the bill of materials of an image that is there, and the list of its licences; yield
    both files, each of which is whole or not there. Raises ImageError.
    """
    made = bill(distribution, engine, image)
    document = make_outputter(made, OutputFormat.JSON, VERSION).output_as_string(indent=2)
    wrong = JsonStrictValidator(VERSION).validate_str(document)
    if wrong is not None:
        raise ImageError(f"{image}: what was read of it is no CycloneDX: {wrong}")
    folder.mkdir(parents=True, exist_ok=True)
    name = IMAGES[distribution]
    for file, text in (
        (folder / f"{name}.cdx.json", f"{document}\n"),
        (folder / f"{name}.licences.md", licences(name, made.components)),
    ):
        partial = file.with_name(f".{file.name}.partial")
        partial.write_text(text)
        partial.replace(file)
        yield file


def bill(distribution: str, engine: Engine, image: str) -> Bom:
    """Return what is in an image. Raises ImageError when it is not there."""
    labels = engine.labels(image)
    if labels is None:
        raise ImageError(f"{image} is not here: run `make images`")
    seen = json.loads(engine.run(image, PYTHON, "-c", LOOK))
    name = IMAGES[distribution]
    described = Component(
        name=name, version=labels.get("org.opencontainers.image.version", ""), bom_ref=name,
        type=ComponentType.CONTAINER,
    )  # fmt: skip
    found = components(seen)
    made = Bom(
        components=found,
        serial_number=uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {labels.get(DIGEST_LABEL, image)}"),
        metadata=BomMetaData(
            timestamp=datetime.fromtimestamp(Inputs(distribution).epoch(), UTC),
            component=described,
        ),
    )
    made.register_dependency(described, found)
    return made


def components(seen: Mapping[str, Any]) -> list[Component]:
    """Return what LOOK found."""
    release = dict(_fields(seen["release"].splitlines(), "="))
    system = release.get("ID", "debian").strip('"')
    found = [
        Component(name="python", version=seen["python"], bom_ref="python",
                  type=ComponentType.PLATFORM,
                  licenses=[LicenseFactory().make_from_string("PSF-2.0")]),
        Component(name=system, version=release.get("VERSION_ID", "").strip('"'), bom_ref=system,
                  type=ComponentType.OPERATING_SYSTEM),
    ]  # fmt: skip
    found += [_of_python(each) for each in seen["packages"]]
    found += _of_debian(seen["debian"], system)
    if seen["model"]:
        found.append(_of_model(json.loads(seen["model"])))
    return found


def licence(told: Mapping[str, Any]) -> License | None:
    """Return the licence of a Python package by its metadata: an SPDX expression, else what the
    field says, else the classifiers; None where nothing is said.

    https://packaging.python.org/en/latest/specifications/core-metadata/
    """
    field = told["license"].strip()
    if len(field) > LONGEST_NAME or "\n" in field or field in UNKNOWN:
        field = ""
    names = [each.rpartition(" :: ")[2] for each in told["classifiers"]]
    said = told["expression"] or field or " or ".join(names)
    return LicenseFactory().make_from_string(said) if said else None


def licences(image: str, of: Iterable[Component]) -> str:
    """Return the list of licences, for people."""
    rows = "".join(f"| {each.name} | {each.version} | {_words(each)} |\n" for each in sorted(of))
    return (
        f"# Licences of {image}\n\n"
        "Debian keeps those of its packages in their source packages, not in an image.\n\n"
        f"| Component | Version | Licence |\n| --- | --- | --- |\n{rows}"
    )


def _words(of: Component) -> str:
    said = (
        each.value if isinstance(each, LicenseExpression) else each.id or each.name
        for each in of.licenses
    )  # fmt: skip
    return ", ".join(filter(None, said)) or "not told"


def _of_python(told: Mapping[str, Any]) -> Component:
    found = licence(told)
    name = canonicalize_name(told["name"])
    purl = PackageURL("pypi", name=name, version=told["version"])
    return Component(
        name=name, version=told["version"], type=ComponentType.LIBRARY,
        licenses=[] if found is None else [found], purl=purl, bom_ref=str(purl),
    )  # fmt: skip


def _of_debian(status: str, system: str) -> Iterator[Component]:
    """Yield the packages that dpkg says are installed.

    https://www.debian.org/doc/debian-policy/ch-controlfields.html
    """
    for paragraph in filter(None, status.split("\n\n")):
        fields = dict(_fields(paragraph.splitlines(), ": "))
        if not fields.get("Status", "").endswith(" installed"):
            continue
        name, version = fields["Package"], fields["Version"]
        purl = PackageURL("deb", system, name, version, {"arch": fields["Architecture"]})
        yield Component(
            name=name, version=version, type=ComponentType.LIBRARY, purl=purl, bom_ref=str(purl)
        )


def _of_model(manifest: Mapping[str, Any]) -> Component:
    """Return the embedding model, each file of it by its hash."""
    return Component(
        name=manifest["name"],
        bom_ref=manifest["name"],
        type=ComponentType.MACHINE_LEARNING_MODEL,
        components=[
            Component(
                name=file, type=ComponentType.FILE, bom_ref=file,
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
            )
            for file, digest in manifest["files"].items()
        ],
    )  # fmt: skip


def _fields(lines: Iterable[str], sign: str) -> Iterator[tuple[str, str]]:
    """Yield the fields of `name<sign>value` lines; what goes on from a line before is left out."""
    for line in lines:
        name, found, value = line.partition(sign)
        if found and not name.startswith(" "):
            yield name, value
