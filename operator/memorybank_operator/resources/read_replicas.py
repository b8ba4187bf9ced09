"""What a bank's read replicas are made from: pods that follow its backups, rendered as those of a
standby of it, and a Service that leads to them alone.

They have the bank's settings and Secrets, and no volume: what they have can be had again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from memorybank_operator.api.v1alpha1.bootstrap import FromBank
from memorybank_operator.api.v1alpha1.disruption import PodDisruptionBudget
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.replicas import ReadReplicas
from memorybank_operator.api.v1alpha1.standby import Standby
from memorybank_operator.constants import HTTP_PORT, METRICS_PORT
from memorybank_operator.resources import names
from memorybank_operator.resources.config_map import build_config_map
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.deployment import ONE_BY_ONE
from memorybank_operator.resources.disruption_budget import budget_of
from memorybank_operator.resources.labels import metadata, read_selector
from memorybank_operator.resources.network_policy import build_network_policy
from memorybank_operator.resources.pod_template import build_pod_template
from memorybank_operator.resources.service import port

ONE_AWAY = PodDisruptionBudget(max_unavailable=1)


def build_read_replicas(ctx: BuildContext) -> tuple[dict[str, Any] | None, ...]:
    """Build all of their objects, the Deployment last; none for a bank without."""
    wanted = ctx.bank.spec.readers
    if wanted is None:
        return ()
    reading = replace(ctx, bank=_reader(ctx.bank, wanted), reads=True)
    return (
        build_config_map(reading),
        _service(ctx),
        build_network_policy(reading),
        budget_of(
            ctx.bank, names.read_replicas_budget(ctx.bank), ONE_AWAY, read_selector(ctx.bank)
        ),
        _deployment(reading, wanted),
    )


def _reader(bank: MemoryBank, wanted: ReadReplicas) -> MemoryBank:
    """Return the bank as one that follows it: this very one, and none that had its name before."""
    followed = Standby(
        from_bank=FromBank(name=bank.name, uid=bank.uid), max_lag=wanted.max_lag, fence=False
    )
    update = {
        "standby": followed,
        "bootstrap": None,
        "read_replicas": None,
        "resources": wanted.resources or bank.spec.resources,
    }
    return bank.model_copy(update={"spec": bank.spec.model_copy(update=update)})


def _service(ctx: BuildContext) -> dict[str, Any]:
    """Build the Service. The bank's own pod is not behind it: whether a write is refused must not
    depend on who happens to be asked.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(ctx.bank, names.read_replicas_service(ctx.bank)),
        "spec": {
            "type": "ClusterIP",
            "selector": read_selector(ctx.bank),
            "ports": [port("http", HTTP_PORT), port("metrics", METRICS_PORT)],
        },
    }


def _deployment(ctx: BuildContext, wanted: ReadReplicas) -> dict[str, Any] | None:
    """Build the Deployment, None while key or Secrets of the bank are missing."""
    if ctx.admin_key is None or ctx.secrets is None:
        return None
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(ctx.bank, names.read_replicas(ctx.bank)),
        "spec": {
            "replicas": wanted.replicas if ctx.bank.spec.pods else 0,
            "revisionHistoryLimit": 2,
            "strategy": ONE_BY_ONE,
            "selector": {"matchLabels": read_selector(ctx.bank)},
            "template": build_pod_template(ctx),
        },
    }
