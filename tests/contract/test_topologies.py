"""What every topology must keep; a new one is tested here without editing this file."""

from itertools import pairwise

import networkx as nx
import pytest
from pydantic import ValidationError

from t3sim.collectives.grid import rotated
from t3sim.hardware.network.link import LinkSpec
from t3sim.hardware.network.topologies import KIND
from t3sim.hardware.network.wiring import Hop
from t3sim.registry import get, names

LINK = LinkSpec(
    bandwidth=12 * 10**9,
    direction="per_direction",
    latency=1_000_001,
    send_buffer=1 << 20,
    receive_buffer=1 << 20,
)


def grids(gpus):
    """Give all grids of two or three axes."""
    pairs = [(a, gpus // a) for a in range(1, gpus + 1) if gpus % a == 0]
    return [
        *pairs,
        *((a, b, c) for a, rest in pairs for b in range(1, rest + 1) if rest % b == 0 for c in (rest // b,)),
    ]


def specs(name, gpus):
    """Give the registered topology as it can be configured for so many GPUs."""
    for fields in (
        {},
        {"planes": 3},
        *({"shape": shape} for shape in grids(gpus)),
        *({"nodes": nodes, "nic": LINK} for nodes in range(1, gpus + 1) if gpus % nodes == 0),
    ):
        try:
            yield get(KIND, name)(**fields)
        except ValidationError:
            continue


@pytest.fixture(params=[(name, gpus) for name in names(KIND) for gpus in range(1, 17)], ids=lambda case: f"{case}")
def wirings(request):
    """Give each registered topology, as it can be configured for 1 to 16 GPUs."""
    name, gpus = request.param
    made = [spec.wire(LINK, gpus) for spec in specs(name, gpus)]
    assert made, f"no configuration of {name} is known here"
    return made


def everywhere(wiring):
    """Give every source, destination and piece for which routes may differ."""
    for source in range(wiring.gpus):
        for destination in range(wiring.gpus):
            for piece in range(wiring.cabling.spread):
                yield source, destination, piece


def test_routes_lead_from_source_to_destination(wirings):
    """Each route goes over links that there are, through no node twice, from its source to its destination."""
    for wiring in wirings:
        for source, destination, piece in everywhere(wiring):
            route = wiring.route(source, destination, piece)
            if source == destination:
                continue
            nodes = [source, *(hop.edge[1] for hop in route)]
            assert [hop.edge for hop in route] == list(pairwise(nodes))
            assert nodes[-1] == destination
            assert len(set(nodes)) == len(nodes)
            assert all(hop.edge in wiring.graph.edges for hop in route)


def test_routes_cannot_deadlock(wirings):
    """No channel of a link waits, by way of the routes, for itself."""
    for wiring in wirings:
        waits = nx.DiGraph()
        for source, destination, piece in everywhere(wiring):
            route = wiring.route(source, destination, piece)
            if source != destination:
                waits.add_edges_from(pairwise(route))
        assert nx.is_directed_acyclic_graph(waits)


def test_one_link_of_each_kind_stands_for_all(wirings):
    """Rotations gather the links of the whole graph in sets of one for each rank, with one of rank 0's in each."""
    for wiring in wirings:
        left = dict(wiring.graph.edges.items())
        for edge, link in wiring.cabling.links(0).items():
            alike = {wiring.moved_edge(edge, by) for by in range(wiring.gpus)}
            assert len(alike) == wiring.gpus
            assert all(left.pop(other)["link"] == link for other in alike)
            assert all(wiring.representative(other) == edge for other in alike)
        assert not left


def test_every_rotation_maps_routes_to_routes(wirings):
    """However far all ranks move on, the route from one to another becomes that between those they become."""
    for wiring in wirings:
        assert wiring.rotations
        for source, destination, piece in everywhere(wiring):
            route = wiring.route(source, destination, piece)
            for by in range(wiring.gpus):
                moved = tuple(Hop(wiring.moved_edge(hop.edge, by), hop.channel) for hop in route)
                ends = rotated(source, by, wiring.shape), rotated(destination, by, wiring.shape)
                assert moved == wiring.route(*ends, piece)


def test_switches_are_the_nodes_that_are_no_gpus(wirings):
    """Every node is a GPU, numbered from 0, or a switch with a spec; each has links out and in."""
    for wiring in wirings:
        for node, fields in wiring.graph.nodes.items():
            assert ("switch" in fields) == isinstance(node, str)
            assert wiring.gpus == 1 or (wiring.graph.in_degree(node) and wiring.graph.out_degree(node))
        assert sorted(node for node in wiring.graph if isinstance(node, int)) == list(range(wiring.gpus))


def test_topology_is_registered_under_its_own_name():
    """The name a topology is registered by is the one its own ``kind`` field carries, so YAML finds it."""
    for name in names(KIND):
        assert get(KIND, name).model_fields["kind"].default == name
