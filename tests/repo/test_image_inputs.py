"""What an image is made from, and what a build is told about this machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from e2e.images import build, index, inputs
from e2e.images.inputs import Inputs

DOCKERFILE = """\
FROM base AS project
COPY LICENSE /src/
COPY app locks/app.txt /src/
COPY --from=model /models /models
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small checkout with one commit."""
    files = {
        "Dockerfile.app": DOCKERFILE,
        "LICENSE": "free",
        "README.md": "hello",
        "app/pyproject.toml": '[project]\nname = "memorybank"\nversion = "1.2.3"\n',
        "app/memorybank/main.py": "print(1)\n",
        "locks/app.txt": "httpx==1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(inputs, "ROOT", tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{name}_NAME", "tester")
        monkeypatch.setenv(f"{name}_EMAIL", "tester@example.com")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "1700000000 +0000")
    git("init", "--quiet", folder=tmp_path)
    commit_all(tmp_path)
    return tmp_path


def git(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit_all(folder: Path) -> None:
    git("add", "--all", folder=folder)
    git("commit", "--quiet", "--message", "change", folder=folder)


def test_the_dockerfile_alone_says_what_its_inputs_are(checkout: Path) -> None:
    assert Inputs("app").sources() == ["Dockerfile.app", "LICENSE", "app", "locks/app.txt"]


def test_a_change_of_an_input_changes_the_digest(checkout: Path) -> None:
    before = Inputs("app").digest()
    (checkout / "app/memorybank/main.py").write_text("print(2)\n")
    assert Inputs("app").digest() != before


def test_a_renamed_input_changes_the_digest(checkout: Path) -> None:
    before = Inputs("app").digest()
    (checkout / "app/memorybank/main.py").rename(checkout / "app/memorybank/other.py")
    assert Inputs("app").digest() != before


def test_what_else_decides_the_image_changes_the_digest(checkout: Path) -> None:
    assert Inputs("app").digest("base:1") != Inputs("app").digest("base:2")


def test_other_files_and_bytecode_do_not_change_the_digest(checkout: Path) -> None:
    before = Inputs("app").digest()
    (checkout / "README.md").write_text("changed")
    (checkout / "app/memorybank/__pycache__").mkdir()
    (checkout / "app/memorybank/__pycache__/main.pyc").write_text("bytecode")
    assert Inputs("app").digest() == before


def test_the_revision_is_the_last_commit_that_changed_an_input(checkout: Path) -> None:
    commit = git("rev-parse", "HEAD", folder=checkout)
    (checkout / "README.md").write_text("changed")
    commit_all(checkout)
    assert Inputs("app").revision() == commit
    (checkout / "app/memorybank/main.py").write_text("print(2)\n")
    assert Inputs("app").revision() == f"{commit}-dirty"


def test_an_image_is_dated_as_its_last_change(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Inputs("app").epoch() == 1_700_000_000
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "5")
    assert Inputs("app").epoch() == 5


def test_the_version_is_the_distribution_s(checkout: Path) -> None:
    assert Inputs("app").version() == "1.2.3"


def test_an_unpacked_archive_without_git_can_be_built(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(checkout / "nowhere"))
    assert Inputs("app").revision() == "unknown"
    assert Inputs("app").epoch() == 0


@pytest.mark.parametrize(
    ("remote", "shown"),
    [
        ("https://example.com/team/bank.git", "https://example.com/team/bank.git"),
        ("https://user:secret@example.com/bank", "https://example.com/bank"),
        ("git@example.com:team/bank.git", ""),
        ("/srv/git/bank", ""),
        ("", ""),
    ],
)
def test_a_label_never_holds_credentials(
    remote: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "git", lambda *_: remote)
    assert build.source() == shown


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which pip has nothing set but what a test writes into the file returned."""
    for name in list(os.environ):
        if name.startswith("PIP_") or name == "SSL_CERT_FILE":
            monkeypatch.delenv(name)
    monkeypatch.setattr(index, "SYSTEM_FILES", ())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    file = tmp_path / ".config/pip/pip.conf"
    file.parent.mkdir(parents=True)
    return file


def test_a_build_is_told_nothing_where_nothing_is_set(pip: Path) -> None:
    with index.secrets() as given:
        assert given == {}


def test_a_build_uses_the_index_and_the_authority_of_this_machine(pip: Path) -> None:
    pip.write_text("[global]\nindex-url = https://mirror.example/simple\ncert = /etc/ssl/own.pem\n")
    with index.secrets() as given:
        text = given["pip.conf"].read_text()
        assert "index-url = https://mirror.example/simple" in text
        assert f"cert = {index.CERTIFICATES}" in text
        assert given["ca.crt"] == Path("/etc/ssl/own.pem")
        assert given["pip.conf"].parent.stat().st_mode & 0o077 == 0
    assert not given["pip.conf"].exists()


def test_a_variable_wins_over_a_file(pip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip.write_text("[global]\nindex-url = https://file.example\n")
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable.example")
    assert index.pip_settings()["index-url"] == "https://variable.example"


def test_what_only_this_machine_has_is_not_passed_on(
    pip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "/opt/wheels")
    with index.secrets() as given:
        assert given == {}
