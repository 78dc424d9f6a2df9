"""Messages over several links: exact times, fair turns, finite buffers, order, and nothing lost."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

BYTE, LATENCY = 1_000, 5_000


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
def test_a_message_goes_on_before_it_is_there(traffic, wired, link, hops):
    """Over h links of one rate 40 B take 40 byte times and h latencies, not h times both."""
    rig = traffic(wired("ring", 9, link()))
    rig.send(1, 1 + hops, 40)
    assert rig.run().times() == [40 * BYTE + hops * LATENCY]
    assert rig.network.route_latency_fs(1, 1 + hops) == hops * LATENCY


def test_a_switch_adds_no_latency(traffic, wired, link):
    """Through a switch a message takes as long as over a link: an odd latency is split without loss."""
    rig = traffic(wired("switch", 4, link(latency=5_001)))
    rig.send(1, 3, 40)
    assert rig.run().times() == [40 * BYTE + 5_001]
    assert rig.network.route_latency_fs(1, 3) == 5_001


def test_planes_share_a_gpus_bandwidth_and_take_turns(traffic, wired, link):
    """With 4 planes a piece takes four times as long, and four pieces over different planes arrive together."""
    rig = traffic(wired("switch", 3, link(), planes=4))
    for piece in range(8):
        rig.send(0, 2, 10, piece=piece)
    assert rig.run().times() == [40 * BYTE + LATENCY] * 4 + [80 * BYTE + LATENCY] * 4
    assert [lnk.name for lnk in rig.network.out_links(0)] == [f"Link[0->Switch[{plane}]]" for plane in range(4)]
    assert sum(lnk.bytes_per_s for lnk in rig.network.out_links(0)) == 10**12


def nodes_of_two(wired, link, nic, **fields):
    return wired("multi-node", 4, link(), nodes=2, nic=nic, **fields)


def test_rail_and_spine_times(traffic, wired, link):
    """At a tenth of the rate 40 B to the same rail take 400 byte times and a NIC's latency; to the other, half more."""
    wiring = nodes_of_two(wired, link, link(bandwidth=10**11, latency=8_000))
    for destination, expected in ((1, 40 * BYTE + LATENCY), (2, 400 * BYTE + 8_000), (3, 400 * BYTE + 12_000)):
        rig = traffic(wiring)
        rig.send(0, destination, 40)
        assert rig.run().times() == [expected]


def test_a_slower_link_sets_the_pace_and_a_faster_one_waits_for_the_last_byte(traffic, wired, link):
    """Over rail, spine at a half, and rail, 40 B take the spine's time; the NIC behind it is busy for its own time."""
    wiring = nodes_of_two(wired, link, link(bandwidth=10**11, latency=8_000), oversubscription=2)
    rig = traffic(wiring)
    rig.send(0, 3, 40)
    assert rig.run().times() == [800 * BYTE + 12_000]
    busy = {name: lnk.busy_fs for name, lnk in rig.network.links.items() if lnk.busy_fs}
    assert busy == {
        "Link[0->Nic[0]]": 400 * BYTE,
        "Link[Nic[0]->Rail[0]]": 400 * BYTE,
        "Link[Rail[0]->Spine[0]]": 800 * BYTE,
        "Link[Spine[0]->Rail[1]]": 800 * BYTE,
        "Link[Rail[1]->Nic[3]]": 400 * BYTE,
        "Link[Nic[3]->3]": 400 * BYTE,
    }


def test_flows_take_turns_at_a_shared_link(traffic, wired, link):
    """Two GPUs with ten messages each for a third get every other turn at its link, nearest source first."""
    rig = traffic(wired("switch", 3, link()))
    for number in range(10):
        rig.send(0, 2, 10, piece=number)
        rig.send(1, 2, 10, piece=number)
    rig.run()
    assert [message.source for _, _, message in rig.arrived] == [1, 0] * 10
    assert rig.times() == [(n + 1) * 10 * BYTE + LATENCY for n in range(20)]


def test_a_ring_link_is_shared_fairly_with_what_comes_through(traffic, wired, link):
    """Own messages and those from one and two links back each get a third of a link while all have some."""
    rig = traffic(wired("ring", 8, link()))
    for number in range(30):
        for source in (0, 1, 2):
            rig.send(source, 3, 10, piece=number)
    rig.run()
    first = Counter(message.source for _, _, message in rig.arrived[:45])
    assert set(first.values()) == {15}


def test_who_goes_next_is_decided_when_all_that_comes_in_an_instant_is_there(traffic, wired, link):
    """As GPU 0's message leaves, GPU 1's waits and GPU 3's comes in, in this instant: it is GPU 3's turn."""
    rig = traffic(wired("switch", 4, link()))
    for source, at in ((0, 0), (1, 10), (3, 40)):
        rig.send(source, 2, 40, at=at * BYTE)
    rig.run()
    assert [message.source for _, _, message in rig.arrived] == [0, 3, 1]


def test_own_messages_take_turns_with_those_that_turn_a_corner(traffic, wired, link):
    """At GPU 0's link along the second axis own messages and those from both sides of the first get a third each."""
    rig = traffic(wired("torus", 9, link(), shape=(3, 3)))
    for number in range(30):
        for source in (0, 3, 6):
            rig.send(source, 1, 10, piece=number)
    rig.run()
    first = Counter(message.source for _, _, message in rig.arrived[:45])
    assert first == {0: 15, 3: 15, 6: 15}


def test_flows_of_one_offset_and_channel_are_told_apart(traffic, wired, link, one_channel):
    """Where GPUs 0, 1 and 2 each send three links far, all in one channel, each has a third of the link they share."""
    rig = traffic(one_channel(wired("ring", 8, link())))
    for number in range(30):
        for source in (0, 1, 2):
            rig.send(source, source + 3, 10, piece=number)
    rig.run()
    at_3 = [message.source for time, _, message in rig.arrived if time <= 450 * BYTE]
    assert max(Counter(at_3).values()) - min(Counter(at_3).values()) <= 3


def test_a_large_message_is_not_starved_by_small_ones(traffic, wired, link):
    """With room for 100 B at GPU 2, 100 B of one flow get their turn though 10 B of another would always fit."""
    rig = traffic(wired("switch", 3, link(receive_buffer=100)), hold_fs=50_000)
    for number in range(40):
        rig.send(1, 2, 10, piece=number)
    rig.send(0, 2, 100, at=20 * BYTE)
    rig.run()
    assert [message.nbytes for _, _, message in rig.arrived].index(100) <= 15


def test_room_is_given_back_link_by_link(traffic, wired, link):
    """With room for one message at every node, the next one starts a latency after the last left or was consumed."""
    rig = traffic(wired("ring", 5, link(receive_buffer=40)), hold_fs=100_000)
    rig.send(0, 2, 40, piece=0)
    rig.send(0, 2, 40, piece=1)
    rig.send(0, 2, 40, piece=2)
    rig.run()
    # The first: on link 1 from 5, leaves it at 45, arrives at 50, consumed at 150 (all in thousands of fs).
    # The second starts on link 0 at 50, is at GPU 1 from 55 on; link 1 has room from 155 on: it arrives at 200.
    # It leaves link 1 at 195, so the third starts on link 0 at 200, and on link 1 once the second is consumed: at 305.
    assert rig.times() == [50_000, 200_000, 350_000]


def test_a_full_destination_holds_up_the_sender(traffic, wired, link):
    """When GPU 2 takes nothing, both nodes' buffers and the send buffer fill, and no more is accepted."""
    rig = traffic(wired("ring", 5, link(receive_buffer=40, send_buffer=40)), hold_fs=None)
    for number in range(5):
        rig.send(0, 2, 40, piece=number)
    rig.env.run()
    assert [message.piece for _, message in rig.accepted] == [0, 1, 2]
    assert [message.piece for _, _, message in rig.arrived] == [0]
    assert rig.network.waiting() == [
        "Link[0->1]: 3 packets queued, waiting for receiver buffer space; first: operation 0, piece 2 of 9 from 0 to 2",
        "Link[1->2]: 1 packets queued, waiting for receiver buffer space; first: operation 0, piece 1 of 9 from 0 to 2",
    ]
    assert rig.network.faults(int(rig.env.now)) == [
        "Link[0->1]: 80 B sent, 40 B received",
        "Link[0->1]: credits of channel 0 are not home, 0 B of 40 B",
        "Link[1->2]: credits of channel 1 are not home, 0 B of 40 B",
    ]


def test_links_that_wait_for_each_other_are_named(traffic, wired, link, one_channel):
    """Where all of a ring's routes share one channel and every buffer is full, the report names the circle."""
    rig = traffic(one_channel(wired("ring", 5, link(receive_buffer=40))))
    for source in range(5):
        for number in range(3):
            rig.send(source, (source + 2) % 5, 40, piece=number)
    rig.env.run()
    *queued, circle = rig.network.waiting()
    assert len(queued) == 5
    head, *links = circle.split(" waits for ")
    assert head.startswith("a circle: Link[")
    assert sorted(links) == [f"Link[{gpu}->{(gpu + 1) % 5}] channel 0" for gpu in range(5)]


def test_no_circle_is_named_where_there_is_none(traffic, wired, link):
    """A chain of links that wait for a GPU that takes nothing is no circle."""
    rig = traffic(wired("ring", 8, link(receive_buffer=40)), hold_fs=None)
    for source in range(3):
        for number in range(4):
            rig.send(source, 3, 40, piece=number)
    rig.env.run()
    assert len(rig.network.waiting()) == 3
    assert not [line for line in rig.network.waiting() if "circle" in line]


def test_what_no_route_can_do_is_refused(traffic, wired, link):
    """To itself, to several without a switch that multiplies, and to be added up without one that adds."""
    ring, switch = traffic(wired("ring", 4, link())), traffic(wired("switch", 4, link()))
    for rig, to, fields, complaint in (
        (ring, 1, {}, "no way for a message from GPU 1 to itself"),
        (ring, (2, 0), {}, "GPU 1 cannot multiply messages, and has no one link to all of the GPUs 2, 0"),
        (ring, (2, 3), {}, "GPU 2 cannot multiply messages"),
        (ring, 2, {"merges": 2}, "nothing on the way from GPU 1 to GPU 2 adds up messages"),
        (switch, (2, 3), {}, r"Switch\[0\] cannot multiply messages"),
        (switch, 2, {"merges": 2}, "nothing on the way from GPU 1 to GPU 2 adds up messages"),
    ):
        rig.send(1, to, 10, **fields)
        with pytest.raises(ValueError, match=complaint):
            rig.env.run()


@pytest.mark.parametrize(
    ("kind", "gpus", "fields"),
    [
        ("ring", 5, {}),
        ("torus", 16, {"shape": (4, 4)}),
        ("torus", 8, {"shape": (2, 2, 2)}),
        ("torus", 5, {"shape": (5, 1)}),
        ("switch", 6, {"planes": 2}),
        ("fully-connected", 5, {}),
    ],
)
@settings(max_examples=30)
@given(data=st.data())
def test_heavy_traffic_through_tiny_buffers_arrives_once_and_in_order(traffic, wired, link, kind, gpus, fields, data):
    """Whatever is sent, with room for hardly a message: all arrives, once, in the order of its flow and way."""
    small = link(receive_buffer=data.draw(st.integers(10, 30)), send_buffer=data.draw(st.integers(1, 30)))
    wiring = wired(kind, gpus, small, **fields)
    rig = traffic(wiring, hold_fs=data.draw(st.integers(0, 100_000)))
    ranks = st.integers(0, gpus - 1)
    pairs = st.tuples(ranks, ranks).filter(lambda pair: pair[0] != pair[1])
    sends = data.draw(st.lists(st.tuples(pairs, st.integers(1, 40), st.integers(0, 50)), min_size=20, max_size=120))
    for number, ((source, destination), nbytes, time) in enumerate(sends):
        rig.send(source, destination, nbytes, at=time * BYTE, piece=number)
    rig.run()
    assert len(rig.arrived) == len(sends)
    order = sorted(range(len(sends)), key=lambda number: sends[number][2])
    sent, got = defaultdict(list), defaultdict(list)
    for number in order:
        source, destination = sends[number][0]
        sent[source, destination, wiring.route(source, destination, number)].append(number)
    for _, gpu, message in rig.arrived:
        assert message.destinations == (gpu,)
        got[message.source, gpu, wiring.route(message.source, gpu, message.piece)].append(message.piece)
    assert got == sent


def test_nothing_is_faster_than_its_links(traffic, wired, link):
    """Sixteen GPUs that all send to one deliver at the rate of its links, and each link carries what it has to."""
    rig = traffic(wired("torus", 16, link(), shape=(4, 4)))
    for source in range(1, 16):
        for number in range(4):
            rig.send(source, 0, 100, piece=number)
    rig.run()
    carried = {name: lnk.sent_bytes for name, lnk in rig.network.links.items() if name.endswith("->0]")}
    assert sum(carried.values()) == 15 * 400
    # Routes go along the second axis last: 12 of 15 ranks come by one of its two links.
    busiest = max(carried.values())
    assert rig.times()[-1] >= busiest * BYTE + LATENCY
    assert all(lnk.sent_bytes == lnk.delivered_bytes for lnk in rig.network.links.values())
