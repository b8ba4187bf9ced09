"""Which version of the memory service may follow which, as far as versions are numbers.

A database is migrated forwards only, and only a new minor version migrates it (ADR 65).
A version that is no number, such as the tag of a development build, is not judged: the service
itself refuses a database that is too new for it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_SKIPPED = 1
"""Minor versions that may be left out: upgrades are tested from the last two."""

_VERSION = re.compile(r"v?([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})(?:[-+][0-9A-Za-z.+-]*)?")


class Version(NamedTuple):
    """A semantic version, without what follows the numbers."""

    major: int
    minor: int
    patch: int


def parse(text: str) -> Version | None:
    """Read a version, None when the text is none."""
    found = _VERSION.fullmatch(text)
    return Version(*(int(each) for each in found.groups())) if found else None


def tag_of(image: str) -> str:
    """Return the tag of an image, empty when it has none; a digest says nothing about a version."""
    _, _, last = image.partition("@")[0].rpartition("/")
    return last.partition(":")[2]


def refusal(present: str, wanted: str) -> str | None:
    """Say why a version must not follow another one and what to do; None when it may."""
    old, new = parse(present), parse(wanted)
    if old is None or new is None:
        return None
    if new[:2] < old[:2]:
        return (
            f"version {wanted} is older than {present}, which has run on this data and may have "
            f"migrated it: stay with {old.major}.{old.minor}.x or a later one, or import an export "
            "of this bank into a new bank of the older version"
        )
    step = f"{old.major}.{old.minor + 1 + MAX_SKIPPED}"
    if new.major > old.major + 1 or (
        new.major == old.major and new.minor > old.minor + 1 + MAX_SKIPPED
    ):
        way = f"{old.major + 1}.0" if new.major > old.major else step
        return (
            f"version {wanted} is too far from {present}: go to {way} first, and on when the bank "
            "is Ready with it"
        )
    return None
