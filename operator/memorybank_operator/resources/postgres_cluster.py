"""PostgreSQL servers of a bank's own, as CloudNativePG runs them,
https://cloudnative-pg.io/documentation/current/cloudnative-pg.v1/.

It makes a database `app`, a user of that name who owns it, and a Secret with the address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.resources import names
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.labels import metadata

ADDRESS = "uri"
"""Entry of the Secret with the address of the database."""
HIBERNATION = "cnpg.io/hibernation"
"""https://cloudnative-pg.io/documentation/current/declarative_hibernation/: `on` or `off`."""
LABEL_CLUSTER = "cnpg.io/cluster"
"""On each pod of a server: the name of its Cluster."""
WITH_VECTOR: Mapping[str, Any] = {
    "database": "app",
    "owner": "app",
    "postInitApplicationSQL": ["CREATE EXTENSION IF NOT EXISTS vector"],
}
"""How servers begin whose database has pgvector (`spec.bootstrap.initdb`): only a superuser may add
it, which CloudNativePG is, once. The names are those that it takes where nobody says any."""


def build_postgres_cluster(ctx: BuildContext) -> dict[str, Any] | None:
    """Build the Cluster, None where none is asked for or nobody knows the kind. Under Retain nobody
    owns it, so it outlives the bank.
    """
    wanted, name = ctx.bank.spec.storage.cluster, names.postgres_cluster(ctx.bank)
    if wanted is None or name.kind not in ctx.settings.installed:
        return None
    storage: dict[str, Any] = {"size": wanted.size}
    if wanted.storage_class_name is not None:
        storage["storageClass"] = wanted.storage_class_name
    spec: dict[str, Any] = {"instances": wanted.instances, "storage": storage}
    if ctx.begins_with_vector:
        spec["bootstrap"] = {"initdb": dict(WITH_VECTOR)}
    if wanted.image is not None:
        spec["imageName"] = wanted.image
    resources = wanted.resources.model_dump(exclude_defaults=True)
    if resources:
        spec["resources"] = resources
    made = metadata(
        ctx.bank,
        name,
        annotations={HIBERNATION: "on" if ctx.bank.spec.hibernate else "off"},
        owned=ctx.bank.spec.deletion_policy == "Delete",
    )
    # Some have labels of a Cluster copied to its pods, which are not to be taken for the bank's.
    made["labels"] |= {constants.LABEL_NAME: "postgres", constants.LABEL_COMPONENT: "database"}
    return {
        "apiVersion": "postgresql.cnpg.io/v1",
        "kind": name.kind,
        "metadata": made,
        "spec": spec,
    }


def address_secret(bank: MemoryBank) -> str:
    """Return the name of the Secret with the address."""
    return f"{names.postgres_cluster(bank).name}-app"


def peer(bank: MemoryBank) -> dict[str, Any]:
    """Return its pods as a network policy names them."""
    cluster = names.postgres_cluster(bank).name
    return {"podSelector": {"matchLabels": {LABEL_CLUSTER: cluster}}}
