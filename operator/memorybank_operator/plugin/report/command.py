"""The command itself."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from argparse import Namespace
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from memorybank_operator.kube import kinds
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.plugin import reading
from memorybank_operator.plugin.problems import DONE, USAGE, Problem
from memorybank_operator.plugin.report.contents import Report
from memorybank_operator.plugin.showing import put


async def report(asked: Namespace, api: KubeClient) -> int:
    """Write a report, and say where it is and what it lacks."""
    now = datetime.now(UTC)
    title = f"memorybank-report-{asked.name or asked.namespace}-{now:%Y%m%d-%H%M%S}"
    file = _free(Path(asked.file or f"{title}.tar.gz"))
    if asked.name:
        await reading.one(api, kinds.MEMORY_BANK, asked.namespace, asked.name)
    files = await Report(api, asked.namespace, asked.name, now).files()
    write(file, title, files, now)
    told = {"file": str(file), "files": sorted(files)}
    put(
        asked, told,
        lambda: f"{file}: {len(files)} files, without secrets as far as they are known. Read "
        "report.yaml and doctor.txt in it first, and look through it before you give it away.",
    )  # fmt: skip
    return DONE


def _free(file: Path) -> Path:
    if file.exists():
        raise Problem(f"--file: {file} is there already: name another one", USAGE)
    if not file.absolute().parent.is_dir():
        raise Problem(f"--file: there is no folder {file.parent}", USAGE)
    return file


def write(file: Path, title: str, files: Mapping[str, str], now: datetime) -> None:
    """Write files into an archive that only its owner may read: all of it, or nothing."""
    handle, partial = tempfile.mkstemp(dir=file.absolute().parent, prefix=".memorybank-report-")
    try:
        with (
            os.fdopen(handle, "wb") as stream,
            tarfile.open(fileobj=stream, mode="w:gz") as archive,
        ):
            for name, text in sorted(files.items()):
                content = text.encode()
                entry = tarfile.TarInfo(f"{title}/{name}")
                entry.size, entry.mode, entry.mtime = len(content), 0o600, int(now.timestamp())
                archive.addfile(entry, io.BytesIO(content))
        os.link(partial, file)  # unlike a rename, it does not take the place of another file
    except FileExistsError:
        raise Problem(f"--file: {file} is there already: name another one", USAGE) from None
    finally:
        Path(partial).unlink()
