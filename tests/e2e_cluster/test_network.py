"""Every local cluster gets addresses of its own."""

from __future__ import annotations

import json
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.cluster.errors import ClusterError
from e2e.cluster.network import BLOCKS, Network, allocate, parse_routes

names = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True)
taken_networks = st.lists(
    st.builds(
        lambda block, prefix: IPv4Network(f"10.{block}.0.0/{prefix}", strict=False),
        st.integers(0, 255),
        st.integers(12, 24),
    ),
    max_size=30,
)


@given(names, taken_networks)
def test_a_new_cluster_overlaps_nothing_that_is_taken(name: str, taken: list[IPv4Network]) -> None:
    try:
        network = allocate(name, taken)
    except ClusterError:
        assert all(any(Network(b).cidr.overlaps(t) for t in taken) for b in BLOCKS)
    else:
        assert not any(network.cidr.overlaps(other) for other in taken)


@given(names)
def test_a_cluster_that_comes_back_gets_the_same_addresses(name: str) -> None:
    assert allocate(name, []) == allocate(name, [])


def test_a_machine_without_a_free_block_is_told_so() -> None:
    with pytest.raises(ClusterError, match="no free network"):
        allocate("dev", [IPv4Network("10.0.0.0/8")])


def test_the_parts_of_a_block_are_inside_it_and_apart() -> None:
    network = Network(130)
    link = IPv4Network(f"{network.node}/{network.link_prefix}", strict=False)
    parts = [link, network.pods, network.services]
    assert all(part.subnet_of(network.cidr) for part in parts)
    assert not any(a.overlaps(b) for a in parts for b in parts if a is not b)
    assert network.host in link
    assert network.dns in network.services
    assert network.api_service == network.services[1]


def test_device_names_fit_into_the_kernels_fifteen_characters() -> None:
    devices = {Network(block).device for block in BLOCKS}
    assert len(devices) == len(BLOCKS)
    assert max(map(len, devices)) <= 15


def test_routes_are_read_and_the_default_route_is_no_network() -> None:
    routes = [{"dst": "default"}, {"dst": "10.223.0.0/16"}, {"dst": "192.0.2.7", "type": "local"}]
    assert parse_routes(json.dumps(routes)) == [
        IPv4Network("10.223.0.0/16"),
        IPv4Network("192.0.2.7/32"),
    ]


def test_a_machine_without_routes_has_no_networks() -> None:
    assert parse_routes("") == []
