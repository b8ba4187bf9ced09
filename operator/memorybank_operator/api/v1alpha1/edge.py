"""The parts of a spec that say who reaches a bank, and whom it reaches."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from memorybank_operator.api.base import ApiModel, cel, rules
from memorybank_operator.api.v1alpha1.types import Annotations, NodeLabels, ObjectName

MAX_PEERS = 16
"""Entries of one list of peers; bounds what the rules over them cost the API server."""

WHO = "say who is let in: namespace, namespaceLabels, podLabels or cidr"
ONE_NAMESPACE = (
    "set namespace, for one namespace by its name, or namespaceLabels, for all that have these "
    "labels: remove one of them"
)
ADDRESSES_ALONE = (
    "cidr is about addresses, and has no namespaces and pods: make two entries of it, one with "
    "cidr alone"
)
CIDR = "write a network, such as 10.20.0.0/16, or one address, such as 10.20.0.7/32"
NAMESPACE = "write the name of a namespace: lower-case letters, digits and '-'"


def _is_set(field: str) -> str:
    return f"(has(self.{field}) && size(self.{field}) > 0)"


Namespace = Annotated[
    str,
    Field(
        max_length=63,
        json_schema_extra=rules(cel("!format.dns1123Label().validate(self).hasValue()", NAMESPACE)),
    ),
]


Cidr = Annotated[
    str,
    Field(
        max_length=43,
        json_schema_extra=rules(cel("isCIDR(self) && cidr(self) == cidr(self).masked()", CIDR)),
    ),
]


class Peer(ApiModel):
    """Who may connect."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                f"has(self.namespace) || {_is_set('namespaceLabels')} || {_is_set('podLabels')}"
                " || has(self.cidr)",
                WHO,
            ),
            cel(f"!has(self.namespace) || !{_is_set('namespaceLabels')}", ONE_NAMESPACE),
            cel(
                f"!has(self.cidr) || !(has(self.namespace) || {_is_set('namespaceLabels')}"
                f" || {_is_set('podLabels')})",
                ADDRESSES_ALONE,
            ),
        )
    )

    namespace: Namespace | None = None
    """Name of the namespace that the pods are in. Without it and namespaceLabels, podLabels are
    about the bank's own namespace.
    """
    namespace_labels: NodeLabels = Field(default_factory=dict)
    """Labels of the namespaces that the pods are in."""
    pod_labels: NodeLabels = Field(default_factory=dict)
    """Labels of the pods. Left out, all pods of the namespaces."""
    cidr: Cidr | None = None
    """Addresses outside of the cluster, such as 10.20.0.0/16."""
    ports: Annotated[
        tuple[Literal["http", "metrics"], ...],
        Field(min_length=1, max_length=2, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ("http",)
    """What they may connect to: http (REST and MCP), metrics, or both."""


class NetworkPolicy(ApiModel):
    """Who may connect to the bank, and whom its pod may connect to."""

    enabled: bool | None = None
    """While true, nobody may connect but the operator and allowFrom, and the pod reaches nothing
    but DNS and the services that the spec names. Left out, the operator's defaults decide; without
    them it is off. It needs a network plug-in that enforces network policies.
    """
    allow_from: Annotated[
        tuple[Peer, ...],
        Field(max_length=MAX_PEERS, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = ()
    """Who else may connect, beside those that the operator's defaults let in to every bank."""


class IssuerReference(ApiModel):
    """Names an issuer of cert-manager."""

    name: ObjectName
    """Name of the issuer."""
    kind: Literal["Issuer", "ClusterIssuer"] = "Issuer"
    """Issuer for one of the bank's namespace, ClusterIssuer for one of the whole cluster."""


class IngressTls(ApiModel):
    """The certificate of the bank's host. Empty, it is the one that the controller has for all
    hosts, such as of a wildcard.
    """

    secret_name: ObjectName | None = None
    """Secret of the type kubernetes.io/tls with the certificate. With issuerRef it is the one that
    cert-manager makes, the bank's name with -tls where nothing is said.
    """
    issuer_ref: IssuerReference | None = None
    """Who makes the certificate, where cert-manager is installed."""


HOST = "must be a host name without scheme, port, path and '*', such as memory.example.org"


class Ingress(ApiModel):
    """The bank at a host name of an Ingress controller."""

    class_name: ObjectName | None = None
    """Ingress class. Left out, that of the operator's defaults, or the cluster's default class."""
    host: Annotated[
        str,
        Field(
            max_length=253,
            json_schema_extra=rules(
                cel(
                    "!format.dns1123Subdomain().validate(self).hasValue()",
                    f"spec.expose.ingress.host {HOST}",
                )
            ),
        ),
    ]
    """Host name by which clients ask for the bank, which is all that is at this name."""
    annotations: Annotations = Field(default_factory=dict)
    """Annotations for the Ingress, as its controller understands them. They win over those that the
    operator sets by itself, for NGINX and cert-manager.
    """
    tls: IngressTls | None = None
    """The certificate of the host. Left out, the Ingress asks for none, and the bank's URL begins
    with http.
    """
    timeout_seconds: Annotated[int, Field(ge=1, le=3600)] | None = None
    """How long an answer may take, for NGINX. Left out, the controller's own."""


class ParentReference(ApiModel):
    """Names a Gateway, or one of its listeners."""

    name: ObjectName
    """Name of the Gateway."""
    namespace: Namespace | None = None
    """Its namespace. Left out, that of the bank."""
    section_name: ObjectName | None = None
    """Name of one of its listeners. Left out, all of them that let the bank in."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port of the listeners. Left out, any."""


class Gateway(ApiModel):
    """The bank at host names of a Gateway."""

    parent_refs: Annotated[
        tuple[ParentReference, ...],
        Field(
            min_length=1,
            max_length=8,
            json_schema_extra={"x-kubernetes-list-type": "atomic"}
            | rules(
                cel(
                    "self.all(a, self.exists_one(b, a.name == b.name"
                    " && has(a.__namespace__) == has(b.__namespace__)"
                    " && (!has(a.__namespace__) || a.__namespace__ == b.__namespace__)"
                    " && (!has(a.sectionName) || !has(b.sectionName)"
                    " || a.sectionName == b.sectionName)))",
                    "name each Gateway in spec.expose.gateway.parentRefs once, or several of its "
                    "listeners, each by another sectionName",
                )
            ),
        ),
    ]
    """The Gateways by which the bank is reached. They have to let routes of its namespace in."""
    hostnames: Annotated[
        tuple[Annotated[str, Field(max_length=253)], ...],
        Field(
            min_length=1,
            max_length=8,
            json_schema_extra={"x-kubernetes-list-type": "set"}
            | rules(
                cel(
                    "self.all(h, !format.dns1123Subdomain().validate(h).hasValue())",
                    f"each of spec.expose.gateway.hostnames {HOST}",
                )
            ),
        ),
    ]
    """Host names by which clients ask for the bank, which is all that is at these names. The first
    one is in status.url.
    """
    scheme: Literal["https", "http"] = "https"
    """How the listener is addressed, which knows the certificate: the bank itself speaks HTTP."""
    annotations: Annotations = Field(default_factory=dict)
    """Annotations for the HTTPRoute."""
    timeout_seconds: Annotated[int, Field(ge=1, le=3600)] | None = None
    """How long an answer may take. Left out, as long as the Gateway lets it."""


MAX_SOURCE_RANGES = 32
"""Networks that a load balancer lets in; bounds what the rule over them costs the API server."""
USUAL_PORTS = {"http": 80, "https": 443}


class ExternalService(ApiModel):
    """The bank at an address of a load balancer."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.type == 'LoadBalancer' || !(has(self.port) || has(self.loadBalancerClass)"
                f" || {_is_set('annotations')} || {_is_set('loadBalancerSourceRanges')})",
                "annotations, port, loadBalancerClass and loadBalancerSourceRanges are those of a "
                "load balancer: write type: LoadBalancer, or remove them",
            ),
            cel(
                "self.type != 'LoadBalancer' || oldSelf.type != 'LoadBalancer'"
                " || (has(self.loadBalancerClass) ? has(oldSelf.loadBalancerClass)"
                " && self.loadBalancerClass == oldSelf.loadBalancerClass"
                " : !has(oldSelf.loadBalancerClass))",
                "loadBalancerClass cannot change while there is a load balancer: set type to "
                "ClusterIP, which gives its address up, then to LoadBalancer with the other class",
            ),
        )
    )

    type: Literal["ClusterIP", "LoadBalancer"] = "ClusterIP"
    """LoadBalancer asks the cluster for an address outside, which leads to REST and MCP and nothing
    else. ClusterIP asks for none: the bank is reached within the cluster, as it always is.
    """
    scheme: Literal["https", "http"] = "http"
    """How clients address the load balancer: https where it ends TLS itself, as annotations have
    some do. The bank speaks HTTP, by which keys and memories can be read on their way.
    """
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port at that address. Left out, 80, and 443 for https."""
    annotations: Annotations = Field(default_factory=dict)
    """Annotations for the Service, as the controller of the load balancer understands them."""
    load_balancer_class: (
        Annotated[
            str,
            Field(
                max_length=317,
                json_schema_extra=rules(
                    cel(
                        "!format.qualifiedName().validate(self).hasValue()",
                        "write the class as its controller names it, such as example.org/internal",
                    )
                ),
            ),
        ]
        | None
    ) = None
    """Which controller makes the load balancer. Left out, the cluster's own."""
    load_balancer_source_ranges: Annotated[
        tuple[Cidr, ...],
        Field(max_length=MAX_SOURCE_RANGES, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ()
    """Whom the load balancer lets in, as networks; a network policy of the bank lets in the same.
    Left out, the load balancer lets everybody in, and a network policy whom its allowFrom names.
    """
    external_traffic_policy: Literal["Cluster", "Local"] = "Cluster"
    """Local keeps the addresses of clients, for the network policy and the bank's log, and sends
    nothing through nodes without a pod. With Cluster the bank may see addresses of nodes instead.
    """

    def url(self, host: str) -> str:
        """Return the bank's address at a load balancer's."""
        port = self.outside_port
        shown = "" if port == USUAL_PORTS[self.scheme] else f":{port}"
        return f"{self.scheme}://{host}{shown}"

    @property
    def outside_port(self) -> int:
        """The port at the load balancer."""
        return USUAL_PORTS[self.scheme] if self.port is None else self.port


class Expose(ApiModel):
    """How the bank is reached from outside of the cluster."""

    ingress: Ingress | None = None
    """By an Ingress. Left out, there is none."""
    gateway: Gateway | None = None
    """By an HTTPRoute of the Gateway API, where that is installed. Left out, there is none. Beside
    an Ingress, such as while clients move from one to the other, status.url is that of the Gateway.
    """
    service: ExternalService | None = None
    """By a Service of type LoadBalancer, beside the one within the cluster. Left out, there is
    none. Beside an Ingress or a Gateway, status.url is theirs.
    """

    @property
    def load_balancer(self) -> ExternalService | None:
        """What is asked of a load balancer; None where none is asked for."""
        service = self.service
        return service if service is not None and service.type == "LoadBalancer" else None

    @property
    def hosts(self) -> tuple[str, ...]:
        """The host names by which clients outside address the bank, each once."""
        found = [*(self.gateway.hostnames if self.gateway is not None else ())]
        found += [self.ingress.host] if self.ingress is not None else []
        return tuple(dict.fromkeys(found))

    @property
    def url(self) -> str | None:
        """The bank's address for clients outside by the spec itself; None where it names none."""
        if self.gateway is not None:
            return f"{self.gateway.scheme}://{self.gateway.hostnames[0]}"
        if self.ingress is None:
            return None
        return f"{'http' if self.ingress.tls is None else 'https'}://{self.ingress.host}"
