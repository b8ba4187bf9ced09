"""`memorybank audit verify`: is the log what was recorded? Asks nobody: reads files alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path

from pydantic import ValidationError

from memorybank.cli.show import show
from memorybank.domain.audit import AuditRecord, Chain, broken
from memorybank.errors import InvalidRequest, MemoryBankError
from memorybank.schemas.audit import AuditHeader, AuditRecordView
from memorybank.settings import DATABASE_NAME

Logs = Iterable[tuple[Chain, Iterator[AuditRecord]]]


class _Unreadable(Exception):
    """A line of an export that is no record."""


def audit(arguments: argparse.Namespace) -> int:
    """Verify every log of a data folder, or an export; return 1 when one was tampered with."""
    logs = _exported(arguments.file) if arguments.data is None else _stored(arguments.data)
    results = [_verified(chain, records) for chain, records in logs]
    expected = arguments.head
    if expected is not None and not any(_reaches(result, expected) for result in results):
        results.append({"tenant": "", "records": 0, "problem": f"no log ends with {expected}"})
    show(arguments, {"logs": results}, "\n".join(map(_sentence, results)))
    return 1 if any(result["problem"] for result in results) else 0


def _verified(chain: Chain, records: Iterator[AuditRecord]) -> dict[str, str | int | None]:
    try:
        problem = broken(chain, records)
    except _Unreadable as error:
        problem = str(error)
    return {
        "tenant": chain.tenant,
        "records": chain.seq - chain.pruned_seq,
        "head": f"{chain.seq}:{chain.hash}",
        "problem": problem,
    }


def _reaches(result: dict[str, str | int | None], head: str) -> bool:
    return result.get("head") == head


def _sentence(result: dict[str, str | int | None]) -> str:
    if result["problem"]:
        return f"BROKEN {result['tenant']}: {result['problem']}"
    return f"intact {result['tenant']}: {result['records']} records, head {result['head']}"


def _stored(data: Path) -> Logs:
    # Loaded here: an export is verified without a database.
    from memorybank.stores.sqlite.audit import stored_chains

    database = data / DATABASE_NAME if data.is_dir() else data
    if not database.is_file():
        raise InvalidRequest(
            f"there is no database in {data}", field="data", hint="name a bank's data folder"
        )
    return stored_chains(database)


def _exported(file: str) -> Logs:
    try:
        with nullcontext(sys.stdin) if file == "-" else Path(file).open(encoding="utf-8") as lines:
            yield _header(file, next(lines, "")).chain(), _records(lines)
    except OSError as error:
        raise InvalidRequest(
            f"{file} cannot be read: {error.strerror}", field="file", hint="name an export"
        ) from None
    except UnicodeDecodeError:
        raise _no_export(file) from None


def _header(file: str, line: str) -> AuditHeader:
    try:
        return AuditHeader.model_validate_json(line)
    except ValidationError:
        raise _no_export(file) from None


def _no_export(file: str) -> MemoryBankError:
    return MemoryBankError(
        f"{file} does not begin as an export of an audit log does",
        hint="make one: memorybank audit export FILE",
    )


def _records(lines: Iterable[str]) -> Iterator[AuditRecord]:
    for number, line in enumerate(lines, start=2):
        try:
            yield AuditRecordView.model_validate_json(line).record()
        except (ValidationError, UnicodeDecodeError):
            raise _Unreadable(f"line {number} is no record") from None
