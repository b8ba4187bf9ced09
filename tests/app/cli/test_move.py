"""`memorybank move`: what it says, asks for and refuses."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from memorybank.settings import DATABASE_NAME
from tests.app.cli.conftest import Run
from tests.support import postgres
from tests.support.full_bank import contents, fill_both_spaces

pytestmark = pytest.mark.slow


@pytest.fixture
def url() -> Iterator[str]:
    """The address of an empty database."""
    name = f"cli-{uuid.uuid4().hex[:12]}"
    yield postgres.server().database(name)
    postgres.server().drop(name)


@pytest.fixture
def url_file(url: str, tmp_path: Path) -> str:
    file = tmp_path / "database-url"
    file.write_text(f"{url}\n")
    return str(file)


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    asyncio.run(fill_both_spaces(tmp_path / "bank"))
    return tmp_path / "bank"


def test_a_bank_goes_to_postgres_and_back(
    run: Run, bank: Path, url_file: str, tmp_path: Path
) -> None:
    code, out, err = run("move", "to-postgres", "--data", str(bank), "--url-file", url_file)
    assert code == 0, err
    assert f"the bank was moved from the file {bank / DATABASE_NAME}" in out
    assert "to the PostgreSQL database" in out
    assert [line.split()[:2] for line in out.splitlines() if line.startswith("acme")] == [
        ["acme", "5"]
    ]
    assert "the source takes no writes now" in err
    back = tmp_path / "back"
    code, out, err = run(
        *("move", "to-sqlite", "--data", str(back), "--url-file", url_file, "--output", "json")
    )
    assert code == 0, err
    report = json.loads(out)
    assert [each["tenant"] for each in report["tenants"]] == [
        "acme", "beta", "default", "full", "gone", "leaving",
    ]  # fmt: skip
    assert report["target"] == f"the file {back / DATABASE_NAME}"
    assert report["broken_audit_logs"] == []
    assert contents(back / DATABASE_NAME) == contents(bank / DATABASE_NAME)
    code, out, err = run("move", "to-sqlite", "--data", str(back), "--url-file", url_file)
    assert (code, err) == (0, "")
    assert "all of it had been compared before" in out
    assert postgres.PASSWORD not in out + err


def test_the_address_may_come_from_the_environment_and_a_file_be_named(
    run: Run, bank: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_BANK_DATABASE_URL", url)
    code, out, err = run("move", "to-postgres", "--data", str(bank / DATABASE_NAME))
    assert code == 0, err
    assert postgres.PASSWORD not in out + err


def test_a_bank_that_was_moved_answers_no_command(run: Run, bank: Path, url_file: str) -> None:
    run("move", "to-postgres", "--data", str(bank), "--url-file", url_file)
    code, _, err = run("store", "A fact.", "--data", str(bank))
    assert code == 2
    assert "the bank was moved to another database" in err


def test_no_address_no_folder_no_file(
    run: Run, bank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEMORY_BANK_DATABASE_URL", raising=False)
    code, _, err = run("move", "to-postgres", "--data", str(bank))
    assert code == 2
    assert "--url-file, or set MEMORY_BANK_DATABASE_URL" in err
    code, _, err = run("move", "to-postgres", "--url-file", "x")
    assert code == 2
    assert "--data" in err
    code, _, err = run(
        "move", "to-postgres", "--data", str(bank), "--url-file", str(tmp_path / "no")
    )
    assert code == 2
    assert "cannot be read" in err


@pytest.mark.parametrize(
    "wrong", ["not an address", "postgresql://bank:p-a-secret@/nothing?host=/nowhere"]
)
def test_an_address_that_leads_nowhere_is_told_without_its_password(
    run: Run, bank: Path, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_BANK_DATABASE_URL", wrong)
    code, out, err = run("move", "to-postgres", "--data", str(bank))
    assert code in (2, 5)
    assert "the database server cannot be reached" in err or "URL of the database" in err
    assert "p-a-secret" not in out + err
    monkeypatch.delenv("MEMORY_BANK_DATABASE_URL")
    assert run("store", "The bank goes on.", "--data", str(bank))[0] == 0


def test_a_target_that_holds_a_bank_is_refused(
    run: Run, bank: Path, url_file: str, tmp_path: Path
) -> None:
    run("move", "to-postgres", "--data", str(bank), "--url-file", url_file)
    asyncio.run(fill_both_spaces(tmp_path / "other"))
    code, _, err = run(
        "move", "to-postgres", "--data", str(tmp_path / "other"), "--url-file", url_file
    )
    assert code == 1
    assert "the PostgreSQL database holds a bank already" in err
    assert "name an empty database by --url-file" in err
