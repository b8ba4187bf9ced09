"""Kinds of text that several fields share, each with the rule that the API server checks."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from memorybank_operator.api.base import cel, rules
from memorybank_operator.api.cron import CURE, check_schedule
from memorybank_operator.api.cron import PATTERN as CRON
from memorybank_operator.api.duration import PATTERN, parse_duration
from memorybank_operator.api.quantity import parse_quantity

MAX_NAME = 253
"""Characters of an object's name: RFC 1123 subdomain."""
MAX_LABELS = 32
"""Labels, annotations and selectors per map; bounds what a rule over them costs the API server."""


def _checked_quantity(value: str) -> str:
    parse_quantity(value)
    return value


def _text_of_number(value: object) -> object:
    """`cpu: 1` is as good as `cpu: "1"`; booleans are numbers in Python only."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


INT_OR_STRING: dict[str, Any] = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "x-kubernetes-int-or-string": True,
}
"""The schema of a Kubernetes quantity, in place of the type."""

SizeQuantity = Annotated[str, AfterValidator(_checked_quantity), Field(max_length=32)]
"""A quantity that is written as text."""

ComputeQuantity = Annotated[
    str,
    BeforeValidator(_text_of_number),
    AfterValidator(_checked_quantity),
    Field(
        max_length=32,
        json_schema_extra=INT_OR_STRING
        | rules(
            cel(
                "[string(self)].all(q, isQuantity(q) && !quantity(q).isLessThan(quantity('0')))",
                "write a quantity of zero or more, such as 250m of cpu or 512Mi of memory",
            )
        ),
    ),
]
"""A quantity of cpu or memory; a plain number is one too."""

ObjectName = Annotated[
    str,
    Field(
        max_length=MAX_NAME,
        json_schema_extra=rules(
            cel(
                "!format.dns1123Subdomain().validate(self).hasValue()",
                "write the name of an object: lower-case letters, digits, '-' and '.', "
                "beginning and ending with a letter or digit",
            )
        ),
    ),
]

DataKey = Annotated[
    str,
    Field(
        max_length=MAX_NAME,
        json_schema_extra=rules(
            cel(
                "self.matches('^[-._a-zA-Z0-9]+$')",
                "write the key of an entry in a Secret or ConfigMap: letters, digits, '-', '_' "
                "and '.'",
            )
        ),
    ),
]

HttpUrl = Annotated[
    str,
    Field(
        max_length=1024,
        json_schema_extra=rules(
            cel(
                r"self.matches(r'^https?://[^/?#@\s]+(/[^?#@\s]*)?$')",
                "write http:// or https:// and a host, perhaps with port and path, without user, "
                "query and fragment",
            )
        ),
    ),
]

ImageReference = Annotated[
    str,
    Field(
        max_length=512,
        json_schema_extra=rules(
            cel(
                "self.matches('^[a-zA-Z0-9][a-zA-Z0-9._:/@-]*$')",
                "write the reference of an image, such as registry.example/server:1.5.9 or one "
                "with @sha256:...",
            )
        ),
    ),
]

DURATION_LENGTH = 7


def _checked_duration(value: str) -> str:
    parse_duration(value)
    return value


Duration = Annotated[
    str,
    AfterValidator(_checked_duration),
    Field(
        max_length=DURATION_LENGTH,
        json_schema_extra=rules(
            cel(
                f"self.matches('{PATTERN}')",
                "write a span of time: a number and s, m or h, such as 90s, 30m or 720h",
            )
        ),
    ),
]
"""A span of time, see api/duration.py."""

ClaimPath = Annotated[str, Field(min_length=1, max_length=256)]
"""Names a claim of a token; dots lead into objects."""

LabelValue = Annotated[
    str,
    Field(
        max_length=63,
        json_schema_extra=rules(
            cel(
                "!format.labelValue().validate(self).hasValue()",
                "write a label value: up to 63 letters, digits, '-', '_' and '.', beginning and "
                "ending with a letter or digit",
            )
        ),
    ),
]

VALID_KEYS = cel(
    "self.all(k, !format.qualifiedName().validate(k).hasValue())",
    "write keys as name or prefix/name, where name has up to 63 letters, digits, '-', '_' and '.'",
)
UNRESERVED_KEYS = cel(
    "self.all(k, !k.startsWith('memorybank.dev/') && !k.startsWith('app.kubernetes.io/'))",
    "keys that begin with memorybank.dev/ or app.kubernetes.io/ are the operator's: use others",
)

Labels = Annotated[
    dict[str, LabelValue],
    Field(max_length=MAX_LABELS, json_schema_extra=rules(VALID_KEYS, UNRESERVED_KEYS)),
]
NodeLabels = Annotated[
    dict[str, LabelValue],
    Field(
        max_length=MAX_LABELS,
        json_schema_extra=rules(VALID_KEYS) | {"x-kubernetes-map-type": "atomic"},
    ),
]
Annotations = Annotated[
    dict[str, Annotated[str, Field(max_length=4096)]],
    Field(max_length=MAX_LABELS, json_schema_extra=rules(VALID_KEYS, UNRESERVED_KEYS)),
]


def _checked_schedule(value: str) -> str:
    check_schedule(value)
    return value


Schedule = Annotated[
    str,
    AfterValidator(_checked_schedule),
    Field(
        max_length=100,
        json_schema_extra=rules(cel(f"self.matches('{CRON}')", CURE)),
    ),
]
"""When something is done, see api/cron.py."""
