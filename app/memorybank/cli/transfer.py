"""`memorybank export` and `memorybank import`: whole files, checked before and after."""

from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import json
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from memorybank.cli.bank import Bank, open_bank
from memorybank.cli.show import Progress, show, table
from memorybank.errors import InvalidRequest, MemoryBankError

_PART_LINES = 1_000
_PART_BYTES = 8 * 1024 * 1024
_COUNTS = (
    "added",
    "unchanged",
    "replaced",
    "kept",
    "history",
    "links",
    "skipped",
    "refused",
    "embedded",
)
_MEBIBYTE = 1 << 20
_SHOWN_PROBLEMS = 20


def export(arguments: argparse.Namespace) -> int:
    """Write everything into a file that appears when it is whole, or to standard output."""
    target = None if arguments.file == "-" else Path(arguments.file)
    compressed = arguments.gzip or (target is not None and target.suffix == ".gz")
    query = {
        "gzip": compressed,
        "embeddings": not arguments.no_embeddings,
        "events": not arguments.no_events,
        "all_tenants": arguments.all_tenants,
    }
    with open_bank(arguments) as bank:
        pieces = bank.fetch("/v1/export", query=query)
        if target is None:
            end = _copied(pieces, cast("IO[bytes]", sys.stdout.buffer), compressed=compressed)
            sys.stderr.write(f"{_exported(end)}\n")
            return 0
        with appearing(target) as file:
            end = _copied(pieces, file, compressed=compressed)
    show(arguments, {"file": str(target), **end}, _exported(end))
    return 0


def import_(arguments: argparse.Namespace) -> int:
    """Check the whole file, then send it part by part."""
    path = Path(arguments.file)
    try:
        end = _checked(path)
        total: dict[str, Any] = dict.fromkeys(("lines", *_COUNTS), 0)
        problems: list[dict[str, Any]] = []
        left_out = 0
        bar = Progress("importing", end["lines"])
        with open_bank(arguments) as bank:
            for number, part in _parts(path, arguments.start_line):
                report = _sent(bank, arguments, number, part)
                for name in _COUNTS:
                    total[name] += report[name]
                problems += report["problems"]
                left_out += report["problems_left_out"]
                total["lines"] = number + part.count(b"\n") - 2
                bar.at(total["lines"], f"{total['added']:,} added")
        bar.over()
    except OSError as error:
        raise InvalidRequest(
            f"the file {path} cannot be read: {error.strerror}", hint="correct the path"
        ) from None
    total |= {"lines": end["lines"], "problems": problems, "problems_left_out": left_out}
    show(arguments, total | {"dry_run": arguments.dry_run}, _reported(total, arguments))
    return 1 if total["refused"] or total["kept"] else 0


def _sent(bank: Bank, arguments: argparse.Namespace, number: int, part: bytes) -> dict[str, Any]:
    query = {
        "part": True,
        "first_line": number,
        "existing": arguments.existing,
        "dry_run": arguments.dry_run,
        "all_tenants": arguments.all_tenants,
    }
    try:
        report: dict[str, Any] = bank.send("/v1/import", part, query=query).value(bank.name)
    except MemoryBankError as error:
        hint = "repeat the command: what is stored already is left alone; or go on with"
        error.hint = "; ".join(
            each for each in (error.hint, f"{hint} --start-line {number}") if each
        )
        raise
    return report


def _checked(path: Path) -> dict[str, Any]:
    """Return the end line of a file that is whole; raises InvalidRequest."""
    hashed = hashlib.sha256()
    last = b""
    lines = 0
    for line in _lines(path):
        hashed.update(last)
        last = line
        lines += 1
    try:
        end = json.loads(last)
        whole = end["kind"] == "end" and end["lines"] == lines
        whole = whole and end["sha256"] == hashed.hexdigest()
    except (ValueError, LookupError, TypeError):
        raise InvalidRequest(
            f"the file {path} was cut, or is no export: it has no end line; nothing was changed",
            hint="export again",
        ) from None
    if not whole:
        raise InvalidRequest(
            f"the lines of {path} are not those that its end line tells of; nothing was changed",
            hint="export again; if the file was changed on purpose, see the part parameter of"
            " POST /v1/import",
        )
    return cast("dict[str, Any]", end)


def _parts(path: Path, start: int) -> Iterator[tuple[int, bytes]]:
    """Yield the number of the first line, and the header with some lines; never the end line."""
    header, part, size, first = b"", [], 0, max(start, 2)
    for number, line in enumerate(_lines(path), start=1):
        if number == 1:
            header = line
        elif number >= start and not line.startswith((b'{"kind":"end"', b'{"kind": "end"')):
            part.append(line)
            size += len(line)
        if len(part) >= _PART_LINES or size >= _PART_BYTES:
            yield first, b"".join([header, *part])
            part, size, first = [], 0, number + 1
    if part:
        yield first, b"".join([header, *part])


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as raw:
        compressed = raw.peek(2)[:2] == b"\x1f\x8b"
        source = cast("IO[bytes]", gzip.GzipFile(fileobj=raw) if compressed else raw)
        try:
            yield from source
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise InvalidRequest(
                f"the gzip file {path} was cut or is damaged; nothing was changed",
                hint="export again",
            ) from None


def _copied(pieces: Iterator[bytes], file: IO[bytes], *, compressed: bool) -> dict[str, Any]:
    """Copy to the end and return the end line; raises MemoryBankError when it is missing."""
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16) if compressed else None
    tail = b""
    done = 0
    bar = Progress("exporting")
    for piece in pieces:
        file.write(piece)
        done += len(piece)
        plain = piece if inflate is None else inflate.decompress(piece)
        tail = (tail + plain)[-_MEBIBYTE:] if len(plain) < _MEBIBYTE else plain[-_MEBIBYTE:]
        bar.at(done, f"{done / _MEBIBYTE:,.1f} MiB")
    bar.over()
    last = tail.rstrip(b"\n").rpartition(b"\n")[2]
    try:
        end = json.loads(last)
        if end["kind"] == "end":
            return {name: end[name] for name in ("lines", "counts", "sha256")}
    except (ValueError, LookupError, TypeError):
        pass
    raise MemoryBankError(
        "the export was cut before its end", hint="look at the service's log, and export again"
    )


@contextlib.contextmanager
def appearing(target: Path) -> Iterator[IO[bytes]]:
    """Write beside the target and move there at the end; on failure nothing is left."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with beside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except OSError as error:
        raise InvalidRequest(
            f"the file {target} cannot be written: {error.strerror}",
            hint="free some space, or name a file in a folder that is writable",
        ) from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def _exported(end: dict[str, Any]) -> str:
    return f"{end['counts'].get('memory', 0):,} memories exported"


def _reported(total: dict[str, Any], arguments: argparse.Namespace) -> str:
    said = "would be: " if arguments.dry_run else ""
    text = said + ", ".join(f"{total[name]:,} {name}" for name in _COUNTS if total[name])
    if not any(total[name] for name in _COUNTS):
        text = "nothing to import"
    problems = total["problems"][:_SHOWN_PROBLEMS]
    if problems:
        text += "\n" + table(problems, ("line", "field", "message", "hint"), nothing="")
    hidden = len(total["problems"]) - len(problems) + total["problems_left_out"]
    return (
        f"{text}\n{hidden:,} more lines; --output json tells up to 1,000 per part"
        if hidden
        else text
    )
