"""Names of a bank's objects and where they are reached. The CRD limits a bank's name to 40
characters, so that all of them stay within 63.
"""

from __future__ import annotations

from collections.abc import Sequence

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.constants import HTTP_PORT, METRICS_PORT
from memorybank_operator.reconcile.observed import ChildKey
from memorybank_operator.resources.backend import backends


def service_account(bank: MemoryBank) -> ChildKey:
    """Name the service account."""
    return ChildKey("ServiceAccount", bank.name)


def config_map(bank: MemoryBank) -> ChildKey:
    """Name the ConfigMap with config.yaml."""
    return ChildKey("ConfigMap", f"{bank.name}-config")


def key_secret(bank: MemoryBank) -> ChildKey:
    """Name the Secret with URL and admin key."""
    return ChildKey("Secret", f"{bank.name}-key")


def key_ring(bank: MemoryBank) -> ChildKey:
    """Name the Secret with the generated key ring, whether the bank has one or not."""
    return ChildKey("Secret", f"{bank.name}-key-ring")


def volume_claim(bank: MemoryBank) -> ChildKey:
    """Name the claim of the volume."""
    return ChildKey("PersistentVolumeClaim", f"{bank.name}-data")


def postgres_cluster(bank: MemoryBank) -> ChildKey:
    """Name the Cluster of CloudNativePG, whether the bank has one or not."""
    return ChildKey("Cluster", f"{bank.name}-postgres")


def deployment(bank: MemoryBank) -> ChildKey:
    """Name the Deployment."""
    return ChildKey("Deployment", bank.name)


def service(bank: MemoryBank) -> ChildKey:
    """Name the Service."""
    return ChildKey("Service", bank.name)


def external_service(bank: MemoryBank) -> ChildKey:
    """Name the Service of a load balancer, whether the bank has one or not."""
    return ChildKey("Service", f"{bank.name}-external")


def read_replicas(bank: MemoryBank) -> ChildKey:
    """Name the Deployment of the read replicas, whether the bank has any or not."""
    return ChildKey("Deployment", _read(bank))


def read_replicas_service(bank: MemoryBank) -> ChildKey:
    """Name their Service."""
    return ChildKey("Service", _read(bank))


def read_replicas_config(bank: MemoryBank) -> ChildKey:
    """Name their ConfigMap."""
    return ChildKey("ConfigMap", f"{_read(bank)}-config")


def read_replicas_policy(bank: MemoryBank) -> ChildKey:
    """Name their NetworkPolicy."""
    return ChildKey("NetworkPolicy", _read(bank))


def read_replicas_budget(bank: MemoryBank) -> ChildKey:
    """Name their PodDisruptionBudget."""
    return ChildKey("PodDisruptionBudget", _read(bank))


def of_read_replicas(bank: MemoryBank) -> tuple[ChildKey, ...]:
    """Name all of their objects, the fence before the pods; none for a bank without."""
    if bank.spec.readers is None:
        return ()
    return (
        read_replicas_config(bank),
        read_replicas_service(bank),
        *([read_replicas_policy(bank)] if bank.spec.network_policy.enabled else []),
        read_replicas_budget(bank),
        read_replicas(bank),
    )


def network_policy(bank: MemoryBank) -> ChildKey:
    """Name the NetworkPolicy, whether the bank has one or not."""
    return ChildKey("NetworkPolicy", bank.name)


def backup_policy(bank: MemoryBank) -> ChildKey:
    """Name the NetworkPolicy of what works on backups, whether the bank has one or not."""
    return ChildKey("NetworkPolicy", f"{bank.name}-backup")


def disruption_budget(bank: MemoryBank) -> ChildKey:
    """Name the PodDisruptionBudget, whether the bank has one or not."""
    return ChildKey("PodDisruptionBudget", bank.name)


def autoscaler(bank: MemoryBank) -> ChildKey:
    """Name the HorizontalPodAutoscaler, whether the bank has one or not."""
    return ChildKey("HorizontalPodAutoscaler", bank.name)


def ingress(bank: MemoryBank) -> ChildKey:
    """Name the Ingress, whether the bank has one or not."""
    return ChildKey("Ingress", bank.name)


def http_route(bank: MemoryBank) -> ChildKey:
    """Name the HTTPRoute, whether the bank has one or not."""
    return ChildKey("HTTPRoute", bank.name)


def service_monitor(bank: MemoryBank) -> ChildKey:
    """Name the ServiceMonitor, whether the bank has one or not."""
    return ChildKey("ServiceMonitor", bank.name)


def prometheus_rule(bank: MemoryBank) -> ChildKey:
    """Name the PrometheusRule, whether the bank has one or not."""
    return ChildKey("PrometheusRule", bank.name)


def children(bank: MemoryBank) -> tuple[ChildKey, ...]:
    """Name all of them, in the order in which they are made: the key ring, of a bank that has a
    generated one, before the volume that may hold something encrypted by it; what fences the pod
    in before the pod.
    """
    return (
        service_account(bank),
        config_map(bank),
        key_secret(bank),
        *([key_ring(bank)] if bank.spec.encryption.ring_is_generated else []),
        *([volume_claim(bank)] if bank.spec.storage.has_volume else []),
        *([postgres_cluster(bank)] if bank.spec.storage.cluster is not None else []),
        service(bank),
        *([backup_policy(bank)] if _fences_backups(bank) else []),
        *([network_policy(bank)] if bank.spec.network_policy.enabled else []),
        *(child for each in backends(bank.spec) for child in each.children(bank)),
        *([disruption_budget(bank)] if bank.spec.disruption_budget is not None else []),
        deployment(bank),
        *([autoscaler(bank)] if bank.spec.autoscaled is not None else []),
        *([ingress(bank)] if bank.spec.expose.ingress is not None else []),
        *([http_route(bank)] if bank.spec.expose.gateway is not None else []),
        *([external_service(bank)] if bank.spec.expose.load_balancer is not None else []),
        *of_read_replicas(bank),
        *([service_monitor(bank)] if bank.spec.monitoring.service_monitor is not None else []),
        *([prometheus_rule(bank)] if bank.spec.monitoring.prometheus_rule is not None else []),
    )


def _fences_backups(bank: MemoryBank) -> bool:
    return bool(bank.spec.network_policy.enabled) and bank.spec.backed_up is not None


def _read(bank: MemoryBank) -> str:
    return f"{bank.name}-read"


def host(bank: MemoryBank) -> str:
    """Return the Service's host name, valid in the whole cluster whatever its domain is."""
    return f"{bank.name}.{bank.namespace}.svc"


def hosts(bank: MemoryBank, cluster_domain: str) -> tuple[str, ...]:
    """Return every host name by which a pod may address the Service."""
    return _hosts(bank.name, bank.namespace, cluster_domain)


def read_hosts(bank: MemoryBank, cluster_domain: str) -> tuple[str, ...]:
    """Return every host name by which a pod may address the Service of the read replicas."""
    return _hosts(_read(bank), bank.namespace, cluster_domain)


def _hosts(service: str, namespace: str, cluster_domain: str) -> tuple[str, ...]:
    within = f"{service}.{namespace}"
    return (service, within, f"{within}.svc", f"{within}.svc.{cluster_domain}")


def http_url(bank: MemoryBank) -> str:
    """Return the base URL of REST and MCP."""
    return f"http://{host(bank)}:{HTTP_PORT}"


def read_url(bank: MemoryBank) -> str:
    """Return the base URL of the read replicas."""
    return f"http://{_read(bank)}.{bank.namespace}.svc:{HTTP_PORT}"


def public_url(bank: MemoryBank, addresses: Sequence[str]) -> str:
    """Return the base URL for clients: from outside of the cluster where the bank is exposed.
    `addresses` are those of its load balancer, the first one for people.
    """
    expose = bank.spec.expose
    if expose.url is None and expose.load_balancer is not None and addresses:
        return expose.load_balancer.url(addresses[0])
    return expose.url or http_url(bank)


def metrics_url(bank: MemoryBank) -> str:
    """Return the URL for Prometheus."""
    return f"http://{host(bank)}:{METRICS_PORT}/metrics"
