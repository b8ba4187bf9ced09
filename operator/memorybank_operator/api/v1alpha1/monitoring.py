"""The part of a spec that says who looks at the bank's metrics."""

from __future__ import annotations

from pydantic import Field

from memorybank_operator.api.base import ApiModel
from memorybank_operator.api.v1alpha1.types import Duration, HttpUrl, Labels


class ServiceMonitor(ApiModel):
    """What tells Prometheus to read the bank's metrics."""

    labels: Labels = Field(default_factory=dict)
    """Labels for the ServiceMonitor, by which your Prometheus selects (its
    serviceMonitorSelector).
    """
    interval: Duration = "30s"
    """How often."""


class PrometheusRule(ApiModel):
    """The alerts about the bank."""

    labels: Labels = Field(default_factory=dict)
    """Labels for the PrometheusRule, by which your Prometheus selects (its ruleSelector)."""
    runbook_url: HttpUrl | None = None
    """Where you keep the pages of docs/runbooks/alerts; each alert's name is added. Left out, where
    this project has them.
    """


class Monitoring(ApiModel):
    """Objects of the Prometheus Operator, monitoring.coreos.com/v1, which has to be there."""

    service_monitor: ServiceMonitor | None = None
    """Has Prometheus read the metrics of all of the bank's pods, with the labels `namespace` and
    `bank`. Left out, nobody is told.
    """
    prometheus_rule: PrometheusRule | None = None
    """The alerts about this bank. They need its metrics by those labels, as serviceMonitor gives
    them. Left out, there are none.
    """
