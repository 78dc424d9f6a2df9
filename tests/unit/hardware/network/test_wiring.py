"""Which links there are, which rank's they are, and which way messages go."""

from math import prod

import pytest
from pydantic import ValidationError

from t3sim.hardware.network.wiring import Hop, link_name


def links(wiring):
    """Name all links of a wiring."""
    return sorted(link_name(edge) for edge in wiring.graph.edges)


def test_a_ring_links_neighbours_both_ways(wired, link):
    """Four GPUs have eight links; two have two; one has none."""
    assert links(wired("ring", 4, link())) == sorted(f"Link[{g}->{(g + d) % 4}]" for g in range(4) for d in (1, 3))
    assert links(wired("ring", 2, link())) == ["Link[0->1]", "Link[1->0]"]
    assert links(wired("ring", 1, link())) == []


def test_fully_connected_links_each_pair(wired, link):
    """Four GPUs have twelve links, each with the given rate."""
    wiring = wired("fully-connected", 4, link())
    assert len(wiring.graph.edges) == 12
    assert {fields["link"] for fields in wiring.graph.edges.values()} == {link()}


def test_a_switch_divides_rate_and_latency(wired, link):
    """Each of three planes has a link up and one down for each GPU, with a third of the rate and half the latency."""
    wiring = wired("switch", 2, link(latency=7), planes=3)
    names = [f"Switch[{plane}]" for plane in range(3)]
    assert links(wiring) == sorted(
        [f"Link[{g}->{n}]" for g in (0, 1) for n in names] + [f"Link[{n}->{g}]" for g in (0, 1) for n in names]
    )
    assert wiring.graph.edges[0, "Switch[1]"]["link"].bytes_per_s == 10**12 // 3
    assert wiring.graph.edges[0, "Switch[1]"]["link"].latency == 4
    assert wiring.graph.edges["Switch[1]", 0]["link"].latency == 3


@pytest.mark.parametrize(("kind", "links_out"), [("ring", 2), ("fully-connected", 3), ("switch", 1)])
def test_a_gpu_sends_to_all_others_over_all_its_links(kind, links_out, wired, link):
    """Two neighbours on a ring of four, three others, or one port; to one other it sends over one link."""
    wiring = wired(kind, 4, link())
    assert wiring.out_bytes_per_s(0) == links_out * 10**12
    assert wiring.bytes_per_s(0, 1) == 10**12


@pytest.mark.parametrize(
    ("shape", "count"), [((4, 4), 64), ((2, 3), 18), ((2, 2, 2), 24), ((1, 5), 10), ((3, 2, 4), 120)]
)
def test_a_torus_has_two_links_an_axis_or_one_or_none(wired, link, shape, count):
    """Each GPU has two links out for each axis longer than 2, one for each of length 2, none for each of length 1."""
    assert len(wired("torus", prod(shape), link(), shape=shape).graph.edges) == count


def test_torus_routes_take_the_axes_in_order_and_the_shorter_way(wired, link):
    """On 4 x 5, from (0, 0) to (3, 2): one step back along the first axis, then two ahead along the second."""
    wiring = wired("torus", 20, link(), shape=(4, 5))
    route = wiring.route(0, 17, 0)
    assert [hop.edge for hop in route] == [(0, 15), (15, 16), (16, 17)]
    assert [hop.channel for hop in route] == [0, 0, 1]


def test_pieces_halfway_around_a_ring_alternate(wired, link):
    """In a ring of 4 even pieces go to the opposite GPU forward and odd ones back; nearer ones do not alternate."""
    wiring = wired("ring", 4, link())
    ways = [[hop.edge for hop in wiring.route(1, 3, piece)] for piece in range(3)]
    assert ways == [[(1, 2), (2, 3)], [(1, 0), (0, 3)], [(1, 2), (2, 3)]]
    assert wiring.route(1, 2, 0) == wiring.route(1, 2, 1)


def test_nodes_are_joined_by_rails_and_a_spine(wired, link):
    """Of 2 nodes of 3: inside by the switch, to the same place by its rail, to another over the own node's spine."""
    nic = link(bandwidth=10**11, latency=8)
    wiring = wired("multi-node", 6, link(), nodes=2, nic=nic, oversubscription=4)

    def nodes(source, destination):
        return [source, *(hop.edge[1] for hop in wiring.route(source, destination, 0))]

    assert nodes(3, 5) == [3, "Switch[1]", 5]
    assert nodes(1, 4) == [1, "Nic[1]", "Rail[1]", "Nic[4]", 4]
    assert nodes(4, 0) == [4, "Nic[4]", "Rail[1]", "Spine[1]", "Rail[0]", "Nic[0]", 0]
    assert wiring.graph.edges["Rail[1]", "Spine[1]"]["link"].bytes_per_s == 10**11 // 4
    assert wiring.graph.edges["Nic[4]", "Rail[1]"]["link"].bytes_per_s == 10**11
    assert len(wiring.graph.edges) == 6 * 8


@pytest.mark.parametrize(
    ("kind", "gpus", "fields", "complaint"),
    [
        ("torus", 8, {"shape": (3, 3)}, "a torus of 3 x 3 holds 9 GPUs, not 8"),
        ("torus", 8, {"shape": (8,)}, "at least 2 items"),
        ("torus", 16, {"shape": (2, 2, 2, 2)}, "at most 3 items"),
        ("torus", 4, {"shape": (4, 0)}, "greater than 0"),
        ("multi-node", 8, {"nodes": 3, "nic": None}, "8 GPUs cannot be divided equally among 3 nodes"),
        ("switch", 8, {"planes": 0}, "greater than 0"),
        ("ring", 8, {"shape": (8,)}, "shape"),
    ],
)
def test_what_does_not_fit_is_refused(wired, link, kind, gpus, fields, complaint):
    """Grids that the GPUs do not fill, unequal nodes, and keys that a topology does not have."""
    fields = {key: link() if key == "nic" else value for key, value in fields.items()}
    with pytest.raises((ValueError, ValidationError), match=complaint):
        wired(kind, gpus, link(), **fields)


def test_ranks_may_be_put_on_another_grid_where_the_links_allow_it(wired, link):
    """Around a switch or fully connected, 6 ranks rotate over 2 x 3 as well as over 6; in a ring over 6 alone."""
    for kind, other in (("switch", True), ("fully-connected", True), ("ring", False)):
        wiring = wired(kind, 6, link())
        assert wiring.rotations
        assert wiring.over((2, 3)).rotations is other
    assert not wired("torus", 6, link(), shape=(2, 3)).over((6,)).rotations
    with pytest.raises(ValueError, match="a grid of 2 x 2 ranks is not one of 6"):
        wired("switch", 6, link()).over((2, 2))


def test_ranks_differ_where_links_or_routes_do(wired, link, changed):
    """A ring with one slower link does not rotate, nor does one whose channels change at one place, a dateline."""
    ring = wired("ring", 6, link())

    def links_of(rank):
        return {
            edge: link(bandwidth=10**11) if edge == (3, 4) else spec for edge, spec in ring.cabling.links(rank).items()
        }

    def dated(source, destination, piece):
        hops = ring.cabling.route(source, destination, piece)
        crossed = [hop.edge in {(5, 0), (0, 5)} for hop in hops]
        return tuple(Hop(hop.edge, int(any(crossed[:number]))) for number, hop in enumerate(hops))

    assert ring.rotations
    assert not changed(ring, links=links_of).rotations
    assert not changed(ring, route=dated).rotations


def test_one_rank_cannot_stand_for_ranks_that_differ(traffic, wired, link):
    """A ring whose ranks are on a grid of 2 x 3 is not mirrored, and it is said why."""
    with pytest.raises(ValueError, match=r"not the same from each rank of a grid \(2, 3\): simulate all GPUs"):
        traffic(wired("ring", 6, link()).over((2, 3)), mirrored=True)


def test_a_switch_on_a_grid_mirrors_over_it(traffic, wired, link):
    """With 6 ranks on 2 x 3, what rank 0 sends to (1, 1) comes to it from (1, 2)."""
    rig = traffic(wired("switch", 6, link()).over((2, 3)), mirrored=True)
    rig.send(0, 4, 10, home=3)
    rig.run()
    ((_, _, message),) = rig.arrived
    assert (message.source, message.destinations, message.home) == (5, (0,), 2)


@pytest.mark.parametrize(
    ("kind", "fields", "count"),
    [
        ("switch", {"planes": 4}, 8),
        ("ring", {}, 2),
        ("torus", {"shape": (8, 8, 16)}, 6),
        ("fully-connected", {}, 1023),
        ("multi-node", {"nodes": 128, "nic": None}, 8),
    ],
)
def test_a_thousand_ranks_are_as_small_as_one(traffic, wired, link, kind, fields, count):
    """Mirrored, 1,024 GPUs have the links of one; a message goes all the way around and arrives."""
    fields = {key: link() if key == "nic" else value for key, value in fields.items()}
    rig = traffic(wired(kind, 1024, link(), **fields), mirrored=True)
    assert len(rig.network.links) == count
    rig.send(0, 500, 40)
    rig.run()
    ((time, _, message),) = rig.arrived
    assert message.source == (1024 - 500 if kind in {"switch", "ring", "fully-connected"} else message.source)
    assert time >= 45_000
    assert "graph" not in vars(rig.network.wiring), "the whole graph was built"
