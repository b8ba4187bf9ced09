"""Enforces the NetworkPolicies of a local cluster by the packet filter of its node.

    python -m e2e.cluster.policies --kubeconfig FILE

Every packet from a pod, and every one to a pod that is not of the node itself (such as those of the
kubelet's probes), passes the chains that are made here: one for each direction of each pod that a
policy is about. What no rule lets through is dropped, as most network plug-ins do. The chains are
in the node's own network namespace, and go with it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, collapse_addresses, ip_network

from kubernetes import client, config
from typing_extensions import override

from e2e.cluster.leveled import Controller, Listing, Object

ENTRY = "MB-POLICIES"
"""The chain that all these packets pass first."""
HOOKS = ("FORWARD", "INPUT")
"""From pod to pod or to the world, and from a pod to the node and its API server."""
PREFIX = "MB-POD-"
SETTLE_SECONDS = 0.1
OVER = {"Succeeded", "Failed"}
log = logging.getLogger("network-policies")

Namespaces = dict[str, dict[str, str]]
"""Labels of the namespaces by their names."""


@dataclass(frozen=True)
class Direction:
    """One way of a pod's traffic."""

    kind: str
    """As in policyTypes."""
    rules: str
    """The field of a policy that has its rules."""
    peers: str
    """The field of a rule that names the other side."""
    own: str
    """The option of iptables for the pod's own address."""
    other: str
    """And for the other side's."""


INGRESS = Direction("Ingress", "ingress", "from", own="-d", other="-s")
EGRESS = Direction("Egress", "egress", "to", own="-s", other="-d")


def chains(
    pods: Sequence[Object], namespaces: Namespaces, policies: Sequence[Object]
) -> dict[str, list[str]]:
    """Return the rules of each chain, ENTRY first. Pure."""
    there = [each for each in pods if is_on_the_network(each)]
    found: dict[str, list[str]] = {
        ENTRY: ["-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"],
    }
    for pod in there:
        metadata = pod["metadata"]
        about_it = [
            each["spec"]
            for each in policies
            if each["metadata"]["namespace"] == metadata["namespace"]
            and selects(each["spec"].get("podSelector") or {}, metadata.get("labels") or {})
        ]
        for way in (INGRESS, EGRESS):
            active = [spec for spec in about_it if way.kind in spec["policyTypes"]]
            if not active:
                continue
            name = chain_name(metadata["uid"], way)
            found[ENTRY].append(f"{way.own} {pod['status']['podIP']}/32 -j {name}")
            allowed = [
                line
                for spec in active
                for rule in spec.get(way.rules) or ()
                for line in lines(rule, way, pod, there, namespaces)
            ]
            found[name] = [*dict.fromkeys(allowed), "-j DROP"]
    return found


def is_on_the_network(pod: Object) -> bool:
    """Tell whether a pod has an address of its own that it may use."""
    status = pod.get("status", {})
    of_node = pod["spec"].get("hostNetwork", False)
    return bool(status.get("podIP")) and not of_node and status.get("phase") not in OVER


def chain_name(uid: str, way: Direction) -> str:
    """Return the name of a pod's chain; iptables knows names of up to 28 characters."""
    return f"{PREFIX}{way.kind[0]}-{hashlib.sha256(uid.encode()).hexdigest()[:16]}"


def lines(
    rule: Object, way: Direction, pod: Object, pods: Sequence[Object], namespaces: Namespaces
) -> Iterator[str]:
    """Yield what one rule of a policy about a pod lets through."""
    own = pod["metadata"]["namespace"]
    others: Iterator[tuple[str, Object | None]] = iter([("", None)])  # everybody
    if rule.get(way.peers):
        others = (
            (f"{way.other} {address} ", other)
            for peer in rule[way.peers]
            for address, other in addresses(peer, own, pods, namespaces)
        )
    for side, other in others:
        for port in ports(rule.get("ports") or [], pod if way is INGRESS else other):
            yield f"{side}{port}-j RETURN"


def addresses(
    peer: Object, own: str, pods: Sequence[Object], namespaces: Namespaces
) -> Iterator[tuple[str, Object | None]]:
    """Yield the addresses of a peer, each with its pod if it is one's."""
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        yield from ((str(each), None) for each in without(block["cidr"], block.get("except") or ()))
        return
    for pod in pods:
        metadata = pod["metadata"]
        namespace = metadata["namespace"]
        if "namespaceSelector" in peer:
            inside = selects(peer["namespaceSelector"], namespaces.get(namespace, {}))
        else:
            inside = namespace == own
        if inside and selects(peer.get("podSelector") or {}, metadata.get("labels") or {}):
            yield f"{pod['status']['podIP']}/32", pod


def without(cidr: str, holes: Sequence[str]) -> Iterator[IPv4Network]:
    """Yield the networks that a block is without its holes; nothing of IPv6, which no pod here
    has.
    """
    whole = ip_network(cidr)
    if not isinstance(whole, IPv4Network):
        return
    left = [whole]
    for hole in (IPv4Network(each) for each in holes):
        left = [
            part
            for each in left
            for part in (each.address_exclude(hole) if hole.subnet_of(each) else [each])
        ]
    yield from collapse_addresses(left)


def ports(wanted: Sequence[Object], target: Object | None) -> Iterator[str]:
    """Yield the options for the ports of a rule; a port by its name is that of the target."""
    if not wanted:
        yield ""
    for each in wanted:
        protocol = each.get("protocol", "TCP").lower()
        port = each.get("port")
        if isinstance(port, str):
            port = named(port, protocol, target)
            if port is None:
                continue
        number = "" if port is None else f"--dport {port} "
        if "endPort" in each:
            number = f"--dport {port}:{each['endPort']} "
        yield f"-p {protocol} {number}"


def named(name: str, protocol: str, target: Object | None) -> int | None:
    """Return the number of a pod's port by its name, None when it has none of this name."""
    for container in target["spec"]["containers"] if target else ():
        for port in container.get("ports") or ():
            if (port.get("name"), port.get("protocol", "TCP").lower()) == (name, protocol):
                return int(port["containerPort"])
    return None


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Tell whether a label selector selects something with these labels; an empty one does all."""
    by_label = all(labels.get(k) == v for k, v in (selector.get("matchLabels") or {}).items())
    return by_label and all(_holds(each, labels) for each in selector.get("matchExpressions") or ())


def _holds(expression: Object, labels: dict[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case other:
            raise ValueError(f"a label selector knows no operator {other}")


def script(wanted: dict[str, list[str]], present: Sequence[str]) -> str:
    """Return what makes the packet filter so, as one step: the input of iptables-restore."""
    stale = [each for each in present if each not in wanted]
    return "\n".join(
        [
            "*filter",
            *(f":{name} - [0:0]" for name in wanted),  # made, or emptied
            *(f"-A {name} {rule}" for name, rules in wanted.items() for rule in rules),
            *(f"-F {name}\n-X {name}" for name in stale),
            "COMMIT\n",
        ]
    )


class Enforcer(Controller):
    """Has the packet filter be as the policies say."""

    settle_seconds = SETTLE_SECONDS

    def __init__(self, connection: client.ApiClient) -> None:
        core, networking = client.CoreV1Api(connection), client.NetworkingV1Api(connection)
        super().__init__(
            (
                networking.list_network_policy_for_all_namespaces,
                core.list_pod_for_all_namespaces,
                core.list_namespace,
            )
        )
        self._applied: dict[str, list[str]] | None = None

    @override
    def reconcile(self) -> None:
        wanted = chains(*self._observed())
        if wanted == self._applied:
            return
        self._applied = None  # whatever is there, if what follows fails half-way
        present = [
            line.split()[1]
            for line in _iptables("-S").splitlines()
            if line.startswith(f"-N {PREFIX}")
        ]
        _run("iptables-restore", "--noflush", "--wait", given=script(wanted, present))
        for hook in HOOKS:
            _pass_first(hook)
        self._applied = wanted
        log.info("%d chains", len(wanted) - 1)

    def _observed(self) -> tuple[list[Object], Namespaces, list[Object]]:
        of_policies, of_pods, of_namespaces = self._listings
        policies = _items(of_policies)
        if not policies:
            return [], {}, []
        labels = {
            each["metadata"]["name"]: each["metadata"].get("labels") or {}
            for each in _items(of_namespaces)
        }
        return _items(of_pods), labels, policies


def _pass_first(hook: str) -> None:
    """Have packets pass our chain first: kube-proxy puts its own there, and lets through by it."""
    _, *rules = _iptables("-S", hook).splitlines()
    jump = f"-A {hook} -j {ENTRY}"
    if rules[:1] == [jump]:
        return
    _iptables("-I", hook, "1", "-j", ENTRY)
    if jump in rules:
        _iptables("-D", hook, str(rules.index(jump) + 2))


def _items(listing: Listing) -> list[Object]:
    items: list[Object] = json.loads(listing(_preload_content=False).data)["items"]
    return items


def _iptables(*arguments: str) -> str:
    return _run("iptables", "--wait", *arguments)


def _run(*command: str, given: str = "") -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout


def main() -> None:
    """Run until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    # The client library has types, but not in this module.
    connection = config.new_client_from_config(arguments.kubeconfig)  # type: ignore[no-untyped-call]
    Enforcer(connection).run()


if __name__ == "__main__":
    main()
