"""Links that are slow, far, down or lossy: exact times, everything arrives once, and a stall says what waits."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from t3sim.hardware.network.conditions import Conditions

BYTE, LATENCY = 1_000, 5_000


def on(name, seed=0, **condition):
    """Give a condition on one link."""
    return Conditions.model_validate({"links": {name: condition}, "seed": seed})


def outage(start, end=None):
    return {"from": start} if end is None else {"from": start, "to": end}


def test_a_slow_link_holds_up_what_takes_it_and_nothing_else(traffic, wired, link):
    """At a quarter of its rate a link takes 160 byte times for 40 B, and the other direction still 40."""
    rig = traffic(wired("ring", 4, link()), conditions=on("Link[0->1]", rate=0.25))
    rig.send(0, 1, 40)
    rig.send(1, 0, 40)
    rig.run()
    assert rig.times(1) == [160 * BYTE + LATENCY]
    assert rig.times(0) == [40 * BYTE + LATENCY]
    assert [lnk.bytes_per_s for lnk in rig.network.out_links(0)] == [10**12 // 4, 10**12]


def test_a_long_link_takes_longer_once(traffic, wired, link):
    """Three times the latency of one of two links adds two latencies."""
    rig = traffic(wired("ring", 5, link()), conditions=on("Link[1->2]", latency=3))
    rig.send(0, 2, 40)
    assert rig.run().times() == [40 * BYTE + 4 * LATENCY]
    assert rig.network.route_latency_fs(0, 2) == 4 * LATENCY


@pytest.mark.parametrize(
    ("down", "expected"),
    [
        ([(0, 70)], 115),  # it waits until the link is up
        ([(10, 30)], 65),  # it stops for 20 byte times
        ([(10, 30), (35, 40), (59, 69)], 80),  # and again, for 5 and 10
        ([(40, 90)], 45),  # it has left by then: what is under way arrives
        ([(39, 90)], 96),  # all but the last byte
    ],
)
def test_what_is_on_the_wire_stops_while_the_link_is_down(traffic, wired, link, down, expected):
    """40 B sent at 0 arrive by as much later as the link is down while it carries them."""
    outages = tuple(outage(start * BYTE, end * BYTE) for start, end in down)
    rig = traffic(wired("ring", 4, link()), conditions=on("Link[0->1]", down=outages))
    rig.send(0, 1, 40)
    assert rig.run().times() == [expected * BYTE]
    assert rig.network.links["Link[0->1]"].busy_fs == 40 * BYTE


def test_the_next_link_waits_for_the_last_byte(traffic, wired, link):
    """A message that stops on its first link for 20 byte times holds the second one for its own 40 only."""
    rig = traffic(wired("ring", 5, link()), conditions=on("Link[0->1]", down=(outage(10 * BYTE, 30 * BYTE),)))
    rig.send(0, 2, 40)
    assert rig.run().times() == [70 * BYTE]
    assert rig.network.links["Link[1->2]"].busy_fs == 40 * BYTE


def test_nothing_goes_on_before_its_first_byte_is_there(traffic, wired, link):
    """A message that waits until 70 for its first link starts at 75 on the next, which takes twice as long for it."""
    conditions = Conditions.model_validate(
        {"links": {"Link[0->1]": {"down": (outage(0, 70 * BYTE),)}, "Link[1->2]": {"rate": 0.5}}}
    )
    rig = traffic(wired("ring", 5, link()), conditions=conditions)
    rig.send(0, 2, 40)
    assert rig.run().times() == [160 * BYTE]


def test_a_link_that_is_down_for_good_stalls_and_says_what_waits(traffic, wired, link):
    """Nothing arrives over it, everything else does, and the report names the link and the first message."""
    rig = traffic(wired("ring", 4, link()), conditions=on("Link[0->1]", down=(outage(10 * BYTE),)))
    for piece in range(3):
        rig.send(0, 1, 40, piece=piece)
        rig.send(1, 0, 40)
    rig.env.run()
    assert rig.times(0) == [45_000, 85_000, 125_000]
    assert rig.times(1) == []
    assert rig.network.waiting() == [
        "Link[0->1]: 3 packets queued, down for good; first: operation 0, piece 0 of 9 from 0 to 1"
    ]


def test_a_lost_packet_is_sent_again_after_the_retry_time(traffic, wired, link):
    """Every try holds the wire; between two the retry time passes, and nothing else goes."""
    rig = traffic(wired("ring", 4, link()), conditions=on("Link[0->1]", loss=0.6, retry=7_000, seed=3))
    rig.send(0, 1, 40, piece=0)
    rig.send(0, 1, 40, piece=1)
    rig.run()
    carrier = rig.network.links["Link[0->1]"]
    tries = carrier.wire_bytes // 40
    assert tries > 2, "this seed loses a packet"
    assert carrier.busy_fs == tries * 40 * BYTE
    assert rig.times()[-1] == tries * 40 * BYTE + (tries - 2) * 7_000 + LATENCY


@settings(max_examples=40)
@given(
    st.floats(0, 0.99),
    st.integers(0, 3),
    st.lists(st.tuples(st.integers(0, 200), st.integers(1, 30)), max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 40)), min_size=1, max_size=30),
)
def test_whatever_is_wrong_with_a_link_all_arrives_once_and_in_order(traffic, wired, link, loss, seed, gaps, sends):
    """Outages that end and losses below certainty delay messages, and neither lose nor double nor reorder them."""
    down, time = [], 0
    for gap, length in gaps:
        down.append(outage((time + gap) * BYTE, (time + gap + length) * BYTE))
        time += gap + length
    conditions = on("Link[1->2]", seed, loss=loss, retry=2_000, down=tuple(down), rate=0.5, latency=2.5)
    small = link(receive_buffer=50, send_buffer=50)
    rig = traffic(wired("ring", 4, small), conditions=conditions)
    for number, (source, offset, nbytes) in enumerate(sends):
        rig.send(source, (source + offset) % 4, nbytes, piece=2 * number)
    rig.run()
    assert sorted(message.piece for _, _, message in rig.arrived) == [2 * number for number in range(len(sends))]
    for source in range(4):
        for gpu in range(4):
            pieces = [m.piece for _, at, m in rig.arrived if (m.source, at) == (source, gpu)]
            assert pieces == sorted(pieces)


def test_what_is_lost_depends_on_the_seed_and_the_link_alone(traffic, wired, link):
    """The same seed loses the same packets, another one others; traffic elsewhere changes nothing."""

    def times(seed, name="Link[0->1]", *, busy=False):
        rig = traffic(wired("ring", 4, link()), conditions=on(name, loss=0.5, retry=0, seed=seed))
        for piece in range(20):
            rig.send(0, 1, 10, piece=piece)
            if busy:
                rig.send(2, 3, 10)
        return rig.run().times(1)

    assert times(1) == times(1, busy=True)
    assert times(1) != times(2)
    assert times(1) != times(1, name="Link[2->3]") == [(n + 1) * 10 * BYTE + LATENCY for n in range(20)]


def test_a_condition_on_no_link_is_refused(traffic, wired, link):
    """The error names the nearest link and all that there are."""
    with pytest.raises(ValueError, match=r"unknown link 'Link\[0->3\]' \(did you mean Link.*known: .*Link\[2->1\]"):
        traffic(wired("ring", 3, link()), conditions=on("Link[0->3]", loss=0.5))


def test_conditions_need_all_gpus(traffic, wired, link):
    """One rank cannot stand for all where one link differs."""
    with pytest.raises(ValueError, match="a condition on a link makes ranks differ"):
        traffic(wired("ring", 3, link()), conditions=on("Link[0->1]", rate=0.5), mirrored=True)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"loss": 1.0}, "less than or equal to 0.99"),
        ({"rate": 0.0}, "greater than or equal to 0.001"),
        ({"down": (outage(5, 5),)}, "goes down at 5 fs and must come up later, not at 5 fs"),
        (
            {
                "down": (
                    outage(5, 9),
                    outage(8, 12),
                )
            },
            "the outage from 8 fs begins before the one before it has ended",
        ),
        (
            {
                "down": (
                    outage(5),
                    outage(8, 12),
                )
            },
            "the outage from 8 fs begins before the one before it has ended",
        ),
    ],
)
def test_impossible_conditions_are_refused(wrong, complaint):
    """Certain loss would never end; outages take time and follow one another."""
    with pytest.raises(ValidationError, match=complaint):
        on("Link[0->1]", **wrong)
