"""What has Prometheus read a bank's metrics and tell of its troubles, as the Prometheus Operator
understands it, https://prometheus-operator.dev/docs/api-reference/api/.
"""

from __future__ import annotations

from typing import Any

from memorybank_operator import constants
from memorybank_operator.resources import names
from memorybank_operator.resources.alerts import RUNBOOKS, bank_rules
from memorybank_operator.resources.backup import METRICS as BACKUP_METRICS
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.labels import metadata

VERSION = "monitoring.coreos.com/v1"


def build_service_monitor(ctx: BuildContext) -> dict[str, Any] | None:
    """Build the ServiceMonitor, None where none is asked for or nobody knows the kind.

    It selects all of the bank's Services: that of read replicas too; that of a load balancer has no
    port for metrics.
    """
    wanted, name = ctx.bank.spec.monitoring.service_monitor, names.service_monitor(ctx.bank)
    if wanted is None or name.kind not in ctx.settings.installed:
        return None
    ports = ["metrics"]
    if ctx.bank.spec.replicated is not None:
        ports.append(BACKUP_METRICS)
    # Whatever the job is called: the alerts, and what the operator tells, are by these two names.
    of_bank = {"action": "replace", "targetLabel": "bank", "replacement": ctx.bank.name}
    made = metadata(ctx.bank, name)
    made["labels"] = dict(wanted.labels) | made["labels"]
    return {
        "apiVersion": VERSION,
        "kind": name.kind,
        "metadata": made,
        "spec": {
            "selector": {"matchLabels": {constants.LABEL_BANK: ctx.bank.name}},
            "endpoints": [
                {
                    "port": port,
                    "path": "/metrics",
                    "interval": wanted.interval,
                    "relabelings": [of_bank],
                }
                for port in ports
            ],
        },
    }


def build_prometheus_rule(ctx: BuildContext) -> dict[str, Any] | None:
    """Build the PrometheusRule, None where none is asked for or nobody knows the kind."""
    wanted, name = ctx.bank.spec.monitoring.prometheus_rule, names.prometheus_rule(ctx.bank)
    if wanted is None or name.kind not in ctx.settings.installed:
        return None
    made = metadata(ctx.bank, name)
    made["labels"] = dict(wanted.labels) | made["labels"]
    return {
        "apiVersion": VERSION,
        "kind": name.kind,
        "metadata": made,
        "spec": bank_rules(
            ctx.bank.namespace, ctx.bank.name, runbooks=wanted.runbook_url or RUNBOOKS
        ),
    }
