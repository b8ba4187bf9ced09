"""How a build reaches the Python package index: as pip on this machine does.

A build runs in a container that knows nothing of this machine's mirror, or of the certificate
authority of a proxy that inspects TLS. Both are handed in as build secrets: files that the steps
which need them see, and that neither the image nor its history keeps.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.index import pip_settings

# Where the Dockerfiles mount the certificates.
CERTIFICATES = "/run/ca.crt"
PASSED_ON = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")


@contextmanager
def secrets() -> Iterator[dict[str, Path]]:
    """The files to give to a build, by the names the Dockerfiles use; none without settings."""
    settings = pip_settings()
    authority = settings.get("cert") or os.environ.get("SSL_CERT_FILE")
    lines = [f"{name} = {settings[name]}" for name in PASSED_ON if name in settings]
    given: dict[str, Path] = {}
    if authority:
        lines.append(f"cert = {CERTIFICATES}")
        given["ca.crt"] = Path(authority).resolve()
    # May hold an index's password: a folder that only this user can enter, gone after the build.
    with TemporaryDirectory(prefix="memorybank-") as folder:
        if lines:
            given["pip.conf"] = Path(folder) / "pip.conf"
            given["pip.conf"].write_text("\n".join(["[global]", *lines, ""]))
        yield given
