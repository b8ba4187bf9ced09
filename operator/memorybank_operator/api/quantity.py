"""Kubernetes quantities such as `1Gi` or `250m`, read as exact numbers so that they can be
compared.

Grammar and suffixes: k8s.io/apimachinery/pkg/api/resource/quantity.go.
"""

from __future__ import annotations

import re
from decimal import Decimal

_SYNTAX = re.compile(
    r"(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+))"
    r"(?:(?P<suffix>[numkMGTPE]|[KMGTPE]i)|[eE](?P<exponent>[+-]?\d{1,3}))?",
    re.ASCII,
)
_FACTORS = {
    "n": Decimal(10) ** -9, "u": Decimal(10) ** -6, "m": Decimal(10) ** -3,
    "k": Decimal(10) ** 3, "M": Decimal(10) ** 6, "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12, "P": Decimal(10) ** 15, "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10, "Mi": Decimal(2) ** 20, "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40, "Pi": Decimal(2) ** 50, "Ei": Decimal(2) ** 60,
}  # fmt: skip


def parse_quantity(text: str) -> Decimal:
    """Return the number a quantity stands for. Raises ValueError with the cure when it is none."""
    found = _SYNTAX.fullmatch(text)
    if found is None:
        raise ValueError("not a quantity: write a number and a unit, such as 1Gi or 250m")
    number = Decimal(found["number"])
    if found["suffix"]:
        return number * _FACTORS[found["suffix"]]
    if found["exponent"]:
        return number.scaleb(int(found["exponent"]))
    return number
