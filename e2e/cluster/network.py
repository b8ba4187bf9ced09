"""Addresses of a local cluster: one private /16 each, so that two clusters never clash.

Inside 10.X.0.0/16: the link between the host (.0.1) and the node (.0.2), the pods (.128.0/18) and
the Services (.192.0/18). The host needs a single route, to the whole block through the node.
"""

from __future__ import annotations

import json
import subprocess
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from e2e.cluster.errors import ClusterError

# 10.130.0.0/16 to 10.249.0.0/16: beside what Docker, kind and kubeadm take by default.
BLOCKS = range(130, 250)


@dataclass(frozen=True)
class Network:
    """The addresses in one block."""

    block: int

    @property
    def cidr(self) -> IPv4Network:
        """Everything of this cluster."""
        return IPv4Network(f"10.{self.block}.0.0/16")

    @property
    def host(self) -> IPv4Address:
        """This machine, seen from the cluster."""
        return IPv4Address(f"10.{self.block}.0.1")

    @property
    def node(self) -> IPv4Address:
        """The node, and with it the API server."""
        return IPv4Address(f"10.{self.block}.0.2")

    @property
    def link_prefix(self) -> int:
        """Prefix length of the link between host and node."""
        return 30

    @property
    def pods(self) -> IPv4Network:
        """Pod addresses."""
        return IPv4Network(f"10.{self.block}.128.0/18")

    @property
    def services(self) -> IPv4Network:
        """Service addresses."""
        return IPv4Network(f"10.{self.block}.192.0/18")

    @property
    def api_service(self) -> IPv4Address:
        """The `kubernetes` Service: always the first address of the range."""
        return self.services[1]

    @property
    def dns(self) -> IPv4Address:
        """The cluster's DNS Service."""
        return self.services[10]

    @property
    def device(self) -> str:
        """The host's end of the link."""
        return f"mbank{self.block}"


def allocate(name: str, taken: Iterable[IPv4Network]) -> Network:
    """Choose a block that overlaps nothing taken; the same name prefers the same block.

    Raises ClusterError when every block is taken.
    """
    used = list(taken)
    first = zlib.crc32(name.encode()) % len(BLOCKS)
    for offset in range(len(BLOCKS)):
        network = Network(BLOCKS[(first + offset) % len(BLOCKS)])
        if not any(network.cidr.overlaps(other) for other in used):
            return network
    raise ClusterError(
        f"no free network for the cluster: routes cover all of 10.{BLOCKS[0]}.0.0/16 to "
        f"10.{BLOCKS[-1]}.0.0/16; `ip route` shows them"
    )


def host_networks() -> list[IPv4Network]:
    """Return the networks that this machine has routes to, the default route left out."""
    done = subprocess.run(
        ["ip", "-json", "-4", "route", "show", "table", "all"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return parse_routes(done.stdout)


def parse_routes(document: str) -> list[IPv4Network]:
    """Read the JSON that `ip -json route` prints."""
    destinations = [str(route["dst"]) for route in json.loads(document or "[]")]
    return [IPv4Network(item, strict=False) for item in destinations if item != "default"]
