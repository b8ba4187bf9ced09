"""What is read of the address of a database."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memorybank_operator.resources.database import Database, read_address

SERVER = (("db.data.svc", 5432),)


@pytest.mark.parametrize(
    ("text", "servers", "name"),
    [
        ("postgresql://bank:secret@db.data.svc:5432/memories", SERVER, "memories"),
        ("postgres://bank:secret@db.data.svc/memories?sslmode=require", SERVER, "memories"),
        ("postgresql://bank:a%2Fb%40c@db.data.svc:/memories", SERVER, "memories"),
        ("postgresql://bank@db.data.svc", SERVER, "bank"),
        ("postgresql://db.data.svc/memories", SERVER, "memories"),
        ("postgresql://bank:1@db.data.svc?dbname=memories", SERVER, "memories"),
        ("postgresql://u:p@10.0.0.7:6432/m", (("10.0.0.7", 6432),), "m"),
        ("postgresql://u:p@[2001:db8::1]:6432/m", (("2001:db8::1", 6432),), "m"),
        ("postgresql://u:p@a:1,b/m", (("a", 1), ("b", 5432)), "m"),
        ("postgresql://u:p@/m?host=a,b&port=7", (("a", 7), ("b", 7)), "m"),
        ("postgresql://u:p@a/m?hostaddr=10.0.0.7", (("10.0.0.7", 5432),), "m"),
        ("postgresql://u:p@/m?host=/run/postgresql", (("/run/postgresql", 5432),), "m"),
    ],
)
def test_servers_and_name_are_read(
    text: str, servers: tuple[tuple[str, int], ...], name: str
) -> None:
    assert read_address(text) == Database(servers, name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "db.data.svc",
        "mysql://u:p@a/m",
        "host=a dbname=m",
        "postgresql://",
        "postgresql:///memories",
        "postgresql://db.data.svc",
        "postgresql://u:p@a:port/m",
        "postgresql://u:p@a:0/m",
        "postgresql://u:p@a:65536/m",
        "postgresql://u:p@a b/m",
        "postgresql://u:p@a,/m",
        "postgresql://u:p@a,b/m?port=1,2,3",
        "postgresql://u:p@a/m?sslmode",
    ],
)
def test_what_names_no_server_or_database_is_refused(text: str) -> None:
    assert read_address(text) is None


@given(st.text(), st.text())
@example("[::", "")
@example("%", "port=%FF")
def test_nothing_that_somebody_writes_makes_it_fail(servers: str, more: str) -> None:
    read_address(f"postgresql://{servers}?{more}")
    read_address(servers)


def test_who_uses_it_does_not_tell_databases_apart_and_where_it_is_does() -> None:
    prints = [
        found.fingerprint
        for text in (
            "postgresql://bank:one@a/m",
            "postgresql://other:two@a:5432/m?sslmode=require",
            "postgresql://bank:one@b/m",
            "postgresql://bank:one@a/n",
            "postgresql://bank:one@a:5433/m",
        )
        if (found := read_address(text))
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4
