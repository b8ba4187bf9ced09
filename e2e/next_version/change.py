"""Makes the memory service that is installed here one with a newer schema that finds nothing."""

from __future__ import annotations

from importlib.util import cache_from_source, find_spec
from pathlib import Path

NOTHING_FOUND = """

async def _finds_nothing(self: _Canary) -> None:
    raise StoreUnavailable("this version finds nothing", hint="take another one")


_Canary.find = _finds_nothing
"""


def main() -> None:
    """Change it."""
    found = find_spec("memorybank.services.selftest")
    if found is None or found.origin is None:
        raise SystemExit("the memory service is not installed here")
    selftest = Path(found.origin)
    migrations = selftest.parents[1] / "stores/sqlite/migrations"
    newest = max(int(each.name.partition("_")[0]) for each in migrations.glob("*.sql"))
    later = migrations / f"{newest + 1:04}_later.sql"
    later.write_text("CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT;\n")
    selftest.write_text(selftest.read_text() + NOTHING_FOUND)
    # It was compiled when the image was made, never to be looked at again.
    Path(cache_from_source(str(selftest))).unlink()


if __name__ == "__main__":
    main()
