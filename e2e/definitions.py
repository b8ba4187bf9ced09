"""Kinds of other projects as they publish them, without who looks after them: their part is played
by the tests.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from e2e.cluster import binaries, paths


class _Loader(yaml.CSafeLoader):
    """Takes a bare `=` for a text, as Kubernetes does: there are such operators of matchers."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: node.value)


@cache
def http_route_crd() -> dict[str, Any]:
    """Return the CRD of HTTPRoute, of the Gateway API."""
    return _read(
        "gateway-api",
        "sigs.k8s.io/gateway-api",
        "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
    )


@cache
def postgres_cluster_crd() -> dict[str, Any]:
    """Return the CRD of Cluster, of CloudNativePG."""
    return _read(
        "cloudnative-pg",
        "github.com/cloudnative-pg/cloudnative-pg",
        "config/crd/bases/postgresql.cnpg.io_clusters.yaml",
    )


@cache
def argo_cd_crds() -> tuple[dict[str, Any], ...]:
    """Return the CRDs of Argo CD that say what is applied."""
    return tuple(
        _read("argo-cd", "github.com/argoproj/argo-cd/v3", f"manifests/crds/{kind}-crd.yaml")
        for kind in ("application", "applicationset")
    )


@cache
def flux_crds() -> tuple[dict[str, Any], ...]:
    """Return the CRDs of Flux that say what is applied, and where it comes from."""
    controllers = (
        ("flux-kustomize", "kustomize-controller", "kustomize", "kustomizations"),
        ("flux-source", "source-controller", "source", "gitrepositories"),
    )
    return tuple(
        _read(
            folder, f"github.com/fluxcd/{controller}",
            f"config/crd/bases/{group}.toolkit.fluxcd.io_{kind}.yaml",
        )
        for folder, controller, group, kind in controllers
    )  # fmt: skip


@cache
def service_monitor_crd() -> dict[str, Any]:
    """Return the CRD of ServiceMonitor, of the Prometheus Operator."""
    return _of_prometheus_operator("servicemonitors")


@cache
def prometheus_rule_crd() -> dict[str, Any]:
    """Return the CRD of PrometheusRule, likewise."""
    return _of_prometheus_operator("prometheusrules")


@cache
def prometheus_operator_crds() -> tuple[dict[str, Any], ...]:
    """Return all CRDs of the Prometheus Operator, which it needs to run."""
    plurals = (
        "alertmanagerconfigs", "alertmanagers", "podmonitors", "probes", "prometheusagents",
        "prometheuses", "prometheusrules", "scrapeconfigs", "servicemonitors", "thanosrulers",
    )  # fmt: skip
    return tuple(map(_of_prometheus_operator, plurals))


def _of_prometheus_operator(plural: str) -> dict[str, Any]:
    return _read(
        "prometheus-operator",
        "github.com/prometheus-operator/prometheus-operator",
        f"example/prometheus-operator-crd/monitoring.coreos.com_{plural}.yaml",
    )


def _read(folder: str, module: str, file: str) -> dict[str, Any]:
    """Read a file of the Go module that is pinned in a folder under e2e/cluster/modules/."""
    found = binaries.required(paths.MODULES / folder, module)
    return dict(yaml.load((found / file).read_text(), Loader=_Loader))  # noqa: S506  # a safe one
