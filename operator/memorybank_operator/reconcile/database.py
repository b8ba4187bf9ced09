"""Whether the bank's own servers of PostgreSQL, which CloudNativePG runs, are there to be used.

The pod is made, and woken, when they answer. What runs stays as it is while they are lost: its
service tells that better than their operator can.
"""

from __future__ import annotations

from collections.abc import Collection

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.postgres import PATH
from memorybank_operator.reconcile.observed import KubeObject, Observed
from memorybank_operator.reconcile.steps import Problem
from memorybank_operator.resources import names
from memorybank_operator.resources.postgres_cluster import HIBERNATION, WITH_VECTOR, address_secret

MAX_WORDS = 300
"""Characters of what CloudNativePG says that are passed on."""


def decide_database(
    bank: MemoryBank, observed: Observed, installed: Collection[str]
) -> Problem | None:
    """Say what the pod has to wait for; None when the servers answer, and where the bank has none.

    `installed` are the kinds of other projects that the API server serves.
    """
    name = names.postgres_cluster(bank)
    if bank.spec.storage.cluster is None or not bank.spec.pods:
        return None
    if name.kind not in installed:
        return Problem(
            Reason.CLOUD_NATIVE_PG_NOT_INSTALLED,
            f"{PATH}: the cluster has no {name.kind} of postgresql.cnpg.io/v1: have CloudNativePG "
            "installed, or make another bank with the address of a database "
            "(spec.storage.postgres.urlSecretRef)",
        )
    live, workload = observed.children.get(name), observed.children.get(names.deployment(bank))
    runs = workload is not None and bool(workload["spec"].get("replicas"))
    secret = address_secret(bank)
    if secret in observed.named_secrets:
        if runs or _answers(live):
            return None
    elif runs:
        return Problem(
            Reason.SECRET_NOT_FOUND,
            f"{PATH}: Secret {secret} with the address of the database is gone: the pods that run "
            "go on, and no other is made until CloudNativePG has made it again",
        )
    place = f"kubectl -n {bank.namespace} describe clusters.postgresql.cnpg.io {name.name}"
    return Problem(
        Reason.DATABASE_STARTING,
        f"{PATH}: the Cluster {name.name} does not answer yet{_said(live)}: `{place}` shows more",
    )


def begins_with_vector(bank: MemoryBank, observed: Observed) -> bool:
    """Tell whether the bank's own servers begin with pgvector in their database: unless somebody
    else began them, from a backup say, for which they would be refused a second beginning.
    """
    live = observed.children.get(names.postgres_cluster(bank)) or {"spec": {}}
    began = dict(live["spec"].get("bootstrap") or {})
    database = (began.pop("initdb", None) or {}).get("database") or WITH_VECTOR["database"]
    is_ours = not began and database == WITH_VECTOR["database"]
    return bank.spec.vector.provider == "pgvector" and is_ours


def _answers(live: KubeObject | None) -> bool:
    """Tell whether the servers take connections: what was said before they slept does not count."""
    conditions = (live or {}).get("status", {}).get("conditions") or ()
    said = {each["type"]: each["status"] for each in conditions}
    return said.get("Ready") == "True" and said.get(HIBERNATION) != "True"


def _said(live: KubeObject | None) -> str:
    """Return the phase in CloudNativePG's own words, and why."""
    status = (live or {}).get("status", {})
    words = [str(status[each]) for each in ("phase", "phaseReason") if status.get(each)]
    return f" ({': '.join(words)[:MAX_WORDS]})" if words else ""
