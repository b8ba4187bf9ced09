"""Namespaces that are there for as long as somebody needs them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from e2e.stack import Stack


@contextmanager
def restricted_namespace(stack: Stack, words: str) -> Iterator[str]:
    """A fresh namespace that admits only pods of the `restricted` Pod Security Standard."""
    words = re.sub(r"[^a-z0-9]+", "-", words.lower())[:40]
    name = f"{words.strip('-')}-{uuid.uuid4().hex[:6]}"
    stack.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        }
    )
    yield name
    stack.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
