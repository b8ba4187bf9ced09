"""What an agent needs to use the bank, in the form of the Service Binding specification: an agent's
pod mounts the Secret and finds URL and key in files.

https://servicebinding.io/spec/core/1.1.0/#well-known-secret-entries
"""

from __future__ import annotations

import base64
from typing import Any

from memorybank_operator.constants import APP_NAME, GROUP, HTTP_PORT
from memorybank_operator.resources import names
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.labels import metadata

TOKEN = "token"  # noqa: S105 - the name of the entry
TYPE = f"servicebinding.io/{APP_NAME}"


def build_key_secret(ctx: BuildContext) -> dict[str, Any] | None:
    """Build the Secret, None while there is no key.

    Its entries are rendered as `data`: what is sent as `stringData` never shows in the object, so
    server-side apply could not tell whether it changed.
    """
    if ctx.admin_key is None:
        return None
    entries = {
        "type": APP_NAME,
        "provider": GROUP,
        "uri": names.http_url(ctx.bank),
        "host": names.host(ctx.bank),
        "port": str(HTTP_PORT),
        TOKEN: ctx.admin_key,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(ctx.bank, names.key_secret(ctx.bank)),
        "type": TYPE,
        "data": {key: _encoded(value) for key, value in entries.items()},
    }


def _encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()
