"""What an image is made from, and how that is told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from e2e.images import build, inputs
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
