"""`memorybank check`, `backup` and `migrate`: the database as a file that somebody cares for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memorybank.cli.bank import open_bank
from memorybank.cli.census import Steps, counted, listed, told_broken
from memorybank.cli.show import Progress, fields, show, table
from memorybank.errors import InvalidRequest

if TYPE_CHECKING:
    from memorybank.settings import Settings


def check(arguments: argparse.Namespace) -> int:
    """Have the bank read every page of its database."""
    with open_bank(arguments) as bank:
        report = bank.request("POST", "/v1/admin/check").value(bank.name)
    shown = {name: value for name, value in report.items() if name != "problems"}
    text = "\n".join(["the database is sound" if report["ok"] else "THE DATABASE IS DAMAGED"])
    problems = [f"  {each}" for each in report["problems"]]
    show(arguments, report, "\n".join([text, *problems, fields(shown)]))
    return 0 if report["ok"] else 1


def index(arguments: argparse.Namespace) -> int:
    """Have the bank compare its search index with the database, or build it anew."""
    with open_bank(arguments) as bank:
        report = bank.request("POST", f"/v1/admin/index/{arguments.action}").value(bank.name)
    if report.get("ok", True):
        said = "the index is as the database says" if "ok" in report else "the index was built anew"
    else:
        said = "THE INDEX WAS DAMAGED, and was built anew"
    show(arguments, report, f"{said}\n{fields(report)}")
    return 0 if report.get("ok", True) else 1


def embedding(arguments: argparse.Namespace) -> int:
    """Tell how far embedding is, or go over between models."""
    path = "/v1/admin/embedding"
    with open_bank(arguments) as bank:
        if arguments.action == "status":
            report = bank.request("GET", path).value(bank.name)
        else:
            report = bank.request("POST", f"{path}/{arguments.action}").value(bank.name)
    if "generations" not in report:
        show(arguments, report, f"{report['vectors']} vectors dropped")
        return 0
    said = fields({name: value for name, value in report.items() if name != "generations"})
    columns = ("model", "state", "dimensions", "vectors", "activated_at")
    models = table(report["generations"], columns, nothing="no vectors")
    show(arguments, report, f"{said}\n\n{models}")
    return 0


def backup(arguments: argparse.Namespace) -> int:
    """Copy the database of one moment, whether or not a server writes to it."""
    from memorybank.stores.sqlite.care import copy_database

    target: Path = arguments.file
    settings = _settings(arguments)
    if settings.database.engine == "postgres":
        return _copy_from_server(arguments, settings, target)
    bar = Progress("copying")
    pages = copy_database(
        _database(settings), target, progress=lambda done, total: bar.at(done, f"{done}/{total}")
    )
    bar.over()
    size = target.stat().st_size
    answer: dict[str, Any] = {"file": str(target), "pages": pages, "bytes": size}
    show(arguments, answer, f"{target}: {size:,} bytes, checked")
    return 0


def migrate(arguments: argparse.Namespace) -> int:
    """Bring the schema up to this version, as `serve` does at its start."""
    from memorybank.stores.sqlite.care import migrate_database, schema_versions

    database = _database(_settings(arguments))
    before, newest = schema_versions(database)
    if not arguments.dry_run and before < newest:
        migrate_database(database)
    changed = before < newest
    said = "would be brought" if arguments.dry_run else "brought"
    text = f"{said} from schema {before} to {newest}" if changed else f"schema {newest}: up to date"
    show(arguments, {"from": before, "to": newest, "changed": changed}, text)
    return 0


def _copy_from_server(arguments: argparse.Namespace, settings: Settings, target: Path) -> int:
    """Copy a bank in PostgreSQL into a file that this program serves."""
    # Loaded here: the driver is of use to nobody else on the command line.
    from memorybank.server.postgres import copy_bank

    watcher = Steps()
    try:
        copied = copy_bank(settings, target, watcher)
    finally:
        watcher.over()
    size = target.stat().st_size
    tenants = counted(copied.census)
    answer: dict[str, Any] = {
        "file": str(target), "bytes": size, "change": copied.census.seq, "tenants": tenants,
        "broken_audit_logs": list(copied.broken_logs),
    }  # fmt: skip
    said = f"{target}: {size:,} bytes, compared with the PostgreSQL database\n{listed(tenants)}"
    show(arguments, answer, "\n".join([said, *told_broken(copied.broken_logs)]))
    return 0


def _settings(arguments: argparse.Namespace) -> Settings:
    from memorybank.configuration import load

    overrides = {} if arguments.data is None else {"data": str(arguments.data)}
    return load(file=arguments.config, overrides=overrides)


def _database(settings: Settings) -> Path:
    if settings.database.engine != "sqlite":
        raise InvalidRequest(
            f"the bank is on {settings.database.engine}, not in a file",
            field="database.engine",
            hint="`memorybank serve` brings its schema up to date",
        )
    path = settings.database_path
    if not path.exists():
        raise InvalidRequest(
            f"there is no database at {path}", hint="name the data folder by --data"
        )
    return path
