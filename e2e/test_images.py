"""The built images, tried out: who they run as, what they can do, what is not in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from e2e.images import base, engines, sbom
from e2e.images.build import IMAGES, build
from e2e.images.engines import Engine
from e2e.images.errors import ImageError
from e2e.images.inputs import Inputs
from scripts.locks import LOCKS

PYTHON = "/opt/memorybank/bin/python"
PROGRAMS = {"app": "memorybank", "operator": "memorybank-operator"}
# Run inside the image: what a person would look for there, as one JSON object.
LOOK = """
import importlib.metadata, importlib.util, json, os, pathlib, shutil, sys
site = next(pathlib.Path(path) for path in sys.path if path.endswith("site-packages"))
sources = [path for path in site.rglob("*.py")]
print(json.dumps({
    "user": [os.getuid(), os.getgid()],
    "modules": [name for name in sys.argv[1].split() if importlib.util.find_spec(name)],
    "programs": [name for name in sys.argv[2].split() if shutil.which(name)],
    "versions": {item.name: item.version for item in importlib.metadata.distributions()},
    "sources": len(sources),
    "uncompiled": [str(path) for path in sources
                   if not os.path.exists(importlib.util.cache_from_source(str(path)))],
    "writable": [str(path) for path in pathlib.Path("/opt").rglob("*")
                 if os.access(path, os.W_OK) and not path.is_symlink()],
    "tests": [str(path) for path in site.rglob("tests")],
}))
"""


@pytest.fixture(autouse=True)
def operator_log_has_no_traceback() -> None:
    """Takes the place of the fixture for clusters that run the operator; here none does."""


@pytest.fixture(scope="module")
def engine() -> Engine:
    return engines.find()


@pytest.fixture(scope="module", params=sorted(IMAGES))
def distribution(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def image(engine: Engine, distribution: str) -> str:
    return build(distribution, engine, base.choose(engine), tag="dev")


@pytest.fixture(scope="module")
def seen(engine: Engine, image: str) -> dict[str, object]:
    modules = "pip setuptools wheel uv hatchling pytest hypothesis mypy"
    programs = "gcc cc c++ ld make cargo go"
    return dict(json.loads(engine.run(image, PYTHON, "-c", LOOK, modules, programs)))


def test_it_runs_as_a_user_without_rights(seen: dict[str, object]) -> None:
    assert seen["user"] == [65532, 65532]
    assert seen["writable"] == []


def test_nothing_to_build_or_install_with_is_inside(seen: dict[str, object]) -> None:
    assert seen["modules"] == []
    assert seen["programs"] == []
    assert seen["tests"] == []


def test_its_packages_are_those_of_the_lock(seen: dict[str, object], distribution: str) -> None:
    assert isinstance(seen["versions"], dict)
    installed = {f"{canonicalize_name(n)}=={v}" for n, v in seen["versions"].items()}
    pinned = {line.split()[0] for line in (LOCKS / f"{distribution}.txt").read_text().splitlines()}
    # PROGRAMS are named after the distributions they come from.
    assert installed - pinned == {f"{PROGRAMS[distribution]}=={Inputs(distribution).version()}"}


def test_everything_is_compiled(seen: dict[str, object]) -> None:
    # The root file system is read-only: what is not compiled now is compiled at every start.
    assert isinstance(seen["sources"], int)
    assert seen["sources"] > 100
    assert seen["uncompiled"] == []


def test_the_service_tells_its_version(engine: Engine, image: str, distribution: str) -> None:
    if distribution == "app":
        shown = engine.run(image, "/opt/memorybank/bin/memorybank", "version")
        assert shown.strip() == Inputs("app").version()


def test_the_operator_says_what_it_misses(engine: Engine, image: str, distribution: str) -> None:
    if distribution == "operator":
        with pytest.raises(ImageError, match=r"memorybank-operator: .*KUBECONFIG"):
            engine.run(image, "/opt/memorybank/bin/memorybank-operator")


def test_its_labels_say_what_it_is(engine: Engine, image: str, distribution: str) -> None:
    inputs = Inputs(distribution)
    labels = engine.labels(image) or {}
    shown = {name.rpartition(".")[2]: value for name, value in labels.items()}
    assert shown["title"] == IMAGES[distribution].replace("-app", "")
    assert shown["licenses"] == "Apache-2.0"
    assert (shown["version"], shown["revision"]) == (inputs.version(), inputs.revision())
    assert "source" in shown


def test_its_bill_of_materials_tells_all_that_is_installed(
    engine: Engine, image: str, distribution: str, seen: dict[str, object], tmp_path: Path
) -> None:
    [document, licences] = sbom.write(distribution, engine, image, tmp_path / "once")
    told = json.loads(document.read_text())
    found = {each["name"]: each for each in told["components"]}
    assert isinstance(seen["versions"], dict)
    for name, version in seen["versions"].items():
        package = found[canonicalize_name(name)]
        assert package["version"] == version
        assert package["licenses"], name
    assert found["libc6"]["purl"].startswith("pkg:deb/debian/libc6@")
    models = [each for each in told["components"] if each["type"] == "machine-learning-model"]
    assert bool(models) is (distribution == "app")
    assert f"| {canonicalize_name(PROGRAMS[distribution])} |" in licences.read_text()
    [again, _] = sbom.write(distribution, engine, image, tmp_path / "again")
    assert again.read_bytes() == document.read_bytes()


def test_an_image_that_is_not_there_has_no_bill_of_materials(
    engine: Engine, tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match="is not here: run `make images`"):
        list(sbom.write("app", engine, "localhost/memorybank-app:none", tmp_path))


def test_an_image_that_is_up_to_date_is_not_built_again(
    engine: Engine, image: str, distribution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("built again")

    monkeypatch.setattr(engine, "build", refuse)
    assert build(distribution, engine, base.choose(engine), tag="dev") == image
