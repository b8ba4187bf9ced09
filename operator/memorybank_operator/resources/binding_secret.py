"""The Secret that a MemoryBankKey is delivered in, in the form of the Service Binding convention.

`envFrom` and volumes take it as it is. It belongs to the MemoryBankKey, not to
the bank: a bank that is deleted and made again takes the same key.
"""

from __future__ import annotations

import base64
from typing import Any

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.memorybankkey import MemoryBankKey
from memorybank_operator.resources.build import with_hash
from memorybank_operator.resources.key_record import KeyRecord, as_annotations
from memorybank_operator.resources.key_secret import TOKEN, TYPE


def build_binding_secret(key: MemoryBankKey, token: str, record: KeyRecord) -> dict[str, Any]:
    """Build the Secret, with the hash of its rendering. The rendering holds the token, of which the
    hash tells nothing: it has 256 random bits.
    """
    namespace, bank = key.namespace, key.spec.bank_ref.name
    host = f"{bank}.{namespace}.svc"
    uri = f"http://{host}:{constants.HTTP_PORT}"
    entries = {
        "type": constants.APP_NAME,
        "provider": constants.GROUP,
        "uri": uri,
        "host": host,
        "port": str(constants.HTTP_PORT),
        "mcp-uri": f"{uri}/mcp",
        "tenant": key.spec.tenant,
        TOKEN: token,
    }
    return with_hash(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": key.secret,
                "namespace": namespace,
                "labels": {
                    constants.LABEL_NAME: constants.APP_NAME,
                    constants.LABEL_BANK: bank,
                    constants.LABEL_COMPONENT: constants.COMPONENT_KEY,
                    constants.LABEL_MANAGED_BY: constants.FIELD_MANAGER,
                },
                "annotations": as_annotations(record),
                "ownerReferences": [
                    {
                        "apiVersion": constants.API_VERSION,
                        "kind": constants.KEY_KIND,
                        "name": key.name,
                        "uid": key.uid,
                        "controller": True,
                    }
                ],
            },
            "type": TYPE,
            "data": {
                name: base64.b64encode(text.encode()).decode() for name, text in entries.items()
            },
        }
    )
