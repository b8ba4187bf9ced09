"""Which line of states a database goes on with.

Changes are numbered, and whoever keeps a copy of what can be derived from them, such as a vector
server, remembers the number that it has seen. A database that was put back to an earlier state
counts on from there: the same numbers mean other changes then. So each restore begins a line of its
own, and a number means something within one line alone. It is a number in the header of the file
that SQLite keeps for applications, 0 for a bank that was never restored.
"""

from __future__ import annotations

import secrets
from contextlib import closing
from pathlib import Path

import apsw

from memorybank.stores.sqlite.errors import translated

_MOST = 2**31 - 1


def lineage_of(connection: apsw.Connection) -> int:
    """Return the line that a database goes on with."""
    return int(connection.pragma("user_version"))


def begin_lineage(copy: Path) -> None:
    """Let a database that was restored begin a line of its own. Raises StoreUnavailable."""
    with translated(), closing(apsw.Connection(str(copy))) as connection:
        connection.pragma("user_version", 1 + secrets.randbelow(_MOST))
