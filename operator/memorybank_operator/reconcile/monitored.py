"""Whether what a bank is to be watched by can be made."""

from __future__ import annotations

from collections.abc import Iterator

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.steps import Problem
from memorybank_operator.resources import names
from memorybank_operator.resources.context import RenderSettings


def decide_monitoring(bank: MemoryBank, settings: RenderSettings) -> Iterator[Problem]:
    """Yield which of the kinds that spec.monitoring asks for the cluster does not have."""
    wanted = bank.spec.monitoring
    for field, name, asked in (
        ("serviceMonitor", names.service_monitor(bank), wanted.service_monitor is not None),
        ("prometheusRule", names.prometheus_rule(bank), wanted.prometheus_rule is not None),
    ):
        if asked and name.kind not in settings.installed:
            yield Problem(
                Reason.PROMETHEUS_OPERATOR_NOT_INSTALLED,
                f"spec.monitoring.{field}: the cluster has no {name.kind}: have the Prometheus "
                f"Operator installed (its CRDs, monitoring.coreos.com/v1), or remove {field}",
            )
