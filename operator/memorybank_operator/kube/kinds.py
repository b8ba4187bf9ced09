"""The kinds this operator speaks of, and where the API server keeps them. Nothing else is ever
called.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from memorybank_operator import constants


@dataclass(frozen=True, slots=True)
class ApiKind:
    """One kind of the Kubernetes API."""

    api_version: str
    """As in an object: `v1`, `apps/v1`."""
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        group, slash, _ = self.api_version.partition("/")
        return group if slash else ""

    @property
    def version(self) -> str:
        """The version within the group."""
        return self.api_version.rpartition("/")[2]

    def collection(self, namespace: str | None = None) -> str:
        """Return the URL path of all objects of this kind, or of those in one namespace."""
        root = "apis" if self.group else "api"
        scope = f"/namespaces/{namespace}" if namespace is not None else ""
        return f"/{root}/{self.api_version}{scope}/{self.plural}"

    def item(self, namespace: str | None, name: str, *, subresource: str = "") -> str:
        """Return the URL path of one object or of its subresource."""
        path = f"{self.collection(namespace)}/{name}"
        return f"{path}/{subresource}" if subresource else path


MEMORY_BANK = ApiKind(constants.API_VERSION, constants.KIND, "memorybanks")
MEMORY_BANK_KEY = ApiKind(constants.API_VERSION, constants.KEY_KIND, "memorybankkeys")
MEMORY_BANK_BACKUP = ApiKind(constants.API_VERSION, constants.BACKUP_KIND, "memorybankbackups")
MEMORY_BANK_RESTORE = ApiKind(constants.API_VERSION, constants.RESTORE_KIND, "memorybankrestores")
SERVICE_ACCOUNT = ApiKind("v1", "ServiceAccount", "serviceaccounts")
CONFIG_MAP = ApiKind("v1", "ConfigMap", "configmaps")
SECRET = ApiKind("v1", "Secret", "secrets")
VOLUME_CLAIM = ApiKind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
SERVICE = ApiKind("v1", "Service", "services")
DEPLOYMENT = ApiKind("apps/v1", "Deployment", "deployments")
STATEFUL_SET = ApiKind("apps/v1", "StatefulSet", "statefulsets")
NETWORK_POLICY = ApiKind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
DISRUPTION_BUDGET = ApiKind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
AUTOSCALER = ApiKind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
INGRESS = ApiKind("networking.k8s.io/v1", "Ingress", "ingresses")
HTTP_ROUTE = ApiKind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
SERVICE_MONITOR = ApiKind("monitoring.coreos.com/v1", "ServiceMonitor", "servicemonitors")
PROMETHEUS_RULE = ApiKind("monitoring.coreos.com/v1", "PrometheusRule", "prometheusrules")
POSTGRES_CLUSTER = ApiKind("postgresql.cnpg.io/v1", "Cluster", "clusters")
JOB = ApiKind("batch/v1", "Job", "jobs")
POD = ApiKind("v1", "Pod", "pods")
STORAGE_CLASS = ApiKind("storage.k8s.io/v1", "StorageClass", "storageclasses", namespaced=False)
EVENT = ApiKind("v1", "Event", "events")
LEASE = ApiKind("coordination.k8s.io/v1", "Lease", "leases")

CHILDREN = (
    SERVICE_ACCOUNT,
    CONFIG_MAP,
    SECRET,
    VOLUME_CLAIM,
    POSTGRES_CLUSTER,
    SERVICE,
    NETWORK_POLICY,
    DISRUPTION_BUDGET,
    DEPLOYMENT,
    STATEFUL_SET,
    AUTOSCALER,
    INGRESS,
    HTTP_ROUTE,
    SERVICE_MONITOR,
    PROMETHEUS_RULE,
)
"""What a bank consists of, by our own hand."""

OPTIONAL = frozenset({HTTP_ROUTE, POSTGRES_CLUSTER, SERVICE_MONITOR, PROMETHEUS_RULE})
"""Kinds of other projects, which are there once somebody installs them."""

LABELLED = (*CHILDREN, JOB, POD)
"""Watched with a server-side selector for our label, so that nobody else's objects reach us."""

OURS_ALONE = (MEMORY_BANK, MEMORY_BANK_KEY, MEMORY_BANK_BACKUP, MEMORY_BANK_RESTORE)
"""The kinds that this operator is for."""

WATCHED = (*OURS_ALONE, *LABELLED, STORAGE_CLASS)

OURS = f"{constants.LABEL_MANAGED_BY}={constants.FIELD_MANAGER}"


def watched(installed: Collection[ApiKind]) -> tuple[ApiKind, ...]:
    """Return what is watched where these optional kinds are installed."""
    return tuple(kind for kind in WATCHED if kind not in OPTIONAL or kind in installed)


def selector(kind: ApiKind) -> str:
    """Return the label selector that keeps everybody else's objects of a kind out of this process;
    empty for kinds that are watched as a whole.
    """
    return OURS if kind in LABELLED else ""


_BY_KIND = {each.kind: each for each in (*WATCHED, EVENT, LEASE)}


def by_kind(kind: str) -> ApiKind:
    """Look a kind up by its name. Raises KeyError for a kind this operator does not speak of."""
    return _BY_KIND[kind]
