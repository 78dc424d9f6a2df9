"""The link: exact times, buffers that push back, credits that travel, and never more than its rate."""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from t3sim.hardware.clock import call_at
from t3sim.hardware.network.link import LinkSpec

_spec = importlib.util.spec_from_file_location("one_link", Path(__file__).with_name("one_link.py"))
one_link = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(one_link)

# 10^12 B/s is 1000 fs a byte.
BASE = {
    "bandwidth": 10**12,
    "direction": "per_direction",
    "latency": 5_000,
    "send_buffer": 100,
    "receive_buffer": 100,
}


class _Rig:
    """A link and what happened on it: (what, packet, time)."""

    def __init__(self, **changes):
        self.one = one_link.OneLink(LinkSpec(**{**BASE, **changes}))
        self.env, self.link = self.one.env, self.one.link
        self.delivered = {}
        self.accepted = {}

    def send(self, name, nbytes):
        """Send a packet now."""
        self.one.send(
            nbytes,
            lambda: self.delivered.update({name: self.env.now}),
            lambda: self.accepted.update({name: self.env.now}),
        )

    def at(self, time, action, *arguments):
        """Do something later."""
        call_at(self.env, time, lambda: action(*arguments))


def test_serialization_and_latency_are_exact():
    """A packet of 40 B arrives 40 byte times and one latency after it was sent."""
    rig = _Rig()
    rig.send("a", 40)
    rig.env.run()
    assert rig.delivered == {"a": 45_000}


def test_serialization_rounds_up():
    """At 3 x 10^12 B/s a byte takes 334 fs and three take 1000: never faster than specified."""
    one, three = _Rig(bandwidth=3 * 10**12), _Rig(bandwidth=3 * 10**12)
    one.send("a", 1)
    three.send("a", 3)
    one.env.run()
    three.env.run()
    assert one.delivered == {"a": 5_334}
    assert three.delivered == {"a": 6_000}


def test_bidirectional_bandwidth_is_halved():
    """A bidirectional figure counts both ways: each gets half."""
    rig = _Rig(direction="bidirectional")
    rig.send("a", 40)
    rig.env.run()
    assert rig.delivered == {"a": 85_000}


def test_packets_go_back_to_back():
    """The second packet follows the first without a gap, and latency is paid once by each."""
    rig = _Rig()
    rig.send("a", 40)
    rig.send("b", 10)
    rig.env.run()
    assert rig.delivered == {"a": 45_000, "b": 55_000}
    assert rig.link.busy_fs == 50_000
    assert (rig.link.sent_bytes, rig.link.delivered_bytes) == (50, 50)


def test_send_buffer_fills_to_its_last_byte():
    """A packet that fills the send buffer exactly is accepted at once; one byte more waits for room."""
    fits, exceeds = _Rig(), _Rig()
    fits.send("a", 60)
    fits.send("b", 40)
    exceeds.send("a", 60)
    exceeds.send("b", 41)
    fits.env.run()
    exceeds.env.run()
    assert fits.accepted == {"a": 0, "b": 0}
    assert exceeds.accepted == {"a": 0, "b": 60_000}


def test_acceptance_keeps_the_order():
    """A packet that would fit does not pass one that waits for send-buffer space."""
    rig = _Rig(receive_buffer=1_000)
    for name, nbytes in (("a", 60), ("b", 80), ("c", 1)):
        rig.send(name, nbytes)
    assert rig.accepted == {"a": 0}
    rig.env.run()
    assert rig.accepted == {"a": 0, "b": 60_000, "c": 60_000}
    assert rig.delivered == {"a": 65_000, "b": 145_000, "c": 146_000}


def test_send_from_accepted_keeps_the_order():
    """A packet sent by the acceptance of another goes behind what is queued already."""
    rig = _Rig(receive_buffer=1_000)
    order = []
    rig.one.send(60, lambda: order.append("a"))
    rig.one.send(60, lambda: order.append("b"), lambda: rig.one.send(10, lambda: order.append("d")))
    rig.one.send(10, lambda: order.append("c"))
    rig.env.run()
    assert order == ["a", "b", "c", "d"]


def test_credits_run_out_and_come_back_after_a_latency():
    """With the receiver's buffer full the next packet starts one latency after space is given back."""
    rig = _Rig()
    rig.send("a", 60)
    rig.send("b", 40)
    rig.at(10_000, rig.send, "c", 1)
    rig.at(200_000, rig.one.consumed, 60)
    rig.env.run(until=199_999)
    assert rig.link.waiting() == [
        "Link[0->1]: 1 packets queued, waiting for receiver buffer space; first: operation 0, piece 0 of 1 from 0 to 1"
    ]
    rig.env.run()
    assert rig.delivered == {"a": 65_000, "b": 105_000, "c": 200_000 + 5_000 + 1_000 + 5_000}
    assert rig.link.waiting() == []


def test_credit_one_byte_short_is_not_enough():
    """A packet of 60 B waits while 59 B are free at the receiver, and starts at 60 B."""
    rig = _Rig()
    rig.send("a", 100)
    rig.send("b", 60)
    rig.at(200_000, rig.one.consumed, 59)
    rig.at(300_000, rig.one.consumed, 1)
    rig.env.run()
    assert rig.delivered == {"a": 105_000, "b": 300_000 + 5_000 + 60_000 + 5_000}


def test_packet_larger_than_both_buffers_passes_alone():
    """A packet larger than the buffers passes when they are empty, and the next one waits for its credit."""
    rig = _Rig()
    rig.send("small", 1)
    rig.send("large", 250)
    rig.send("next", 1)
    rig.at(50_000, rig.one.consumed, 1)
    rig.at(400_000, rig.one.consumed, 250)
    rig.env.run()
    assert rig.accepted == {"small": 0, "large": 1_000, "next": 55_000 + 250_000}
    assert rig.delivered == {"small": 6_000, "large": 55_000 + 255_000, "next": 405_000 + 6_000}


def test_receive_buffer_must_cover_the_round_trip():
    """A receive buffer of a round trip at full rate (10 B here) is accepted and one byte less is refused."""
    assert LinkSpec(**{**BASE, "receive_buffer": 10}).receive_buffer == 10
    with pytest.raises(ValidationError, match="receive_buffer 9 B is less than a round trip at full rate"):
        LinkSpec(**{**BASE, "receive_buffer": 9})


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 300_000), st.integers(1, 150), st.integers(0, 50_000)), min_size=1, max_size=25)
)
def test_never_above_its_rate(packets):
    """However packets come and are consumed, arrivals are in order and a packet's own time apart, none lost."""
    one, arrivals = one_link.OneLink(LinkSpec(**BASE)), []
    env = one.env
    packets = sorted(packets, key=lambda packet: packet[0])

    def deliver(number):
        arrivals.append((number, env.now))
        call_at(env, env.now + packets[number][2], lambda: one.consumed(packets[number][1]))

    for number, (time, nbytes, _) in enumerate(packets):
        call_at(env, time, lambda n=number, size=nbytes: one.send(size, lambda: deliver(n)))
    env.run()
    assert [number for number, _ in arrivals] == list(range(len(packets)))
    free_at = 0
    for number, arrived in arrivals:
        time, nbytes, _ = packets[number]
        assert arrived - 5_000 - 1_000 * nbytes >= max(time, free_at)
        free_at = arrived - 5_000
    assert one.link.busy_fs == 1_000 * sum(nbytes for _, nbytes, _ in packets)


def test_wire_can_be_held_for_longer_than_the_packet():
    """A packet of 10 B that holds the wire for 40 B arrives as one of 40 B would, and counts as 10 B."""
    rig = _Rig()
    rig.one.send(10, lambda: rig.delivered.update({"a": rig.env.now}), wire_bytes=40)
    rig.env.run()
    assert rig.delivered == {"a": 45_000}
    assert (rig.link.sent_bytes, rig.link.wire_bytes, rig.link.busy_fs) == (10, 40, 40_000)


def test_efficiency_is_taken_off_the_quoted_rate():
    """A link quoted at 100 B/ns both ways with 80% for payload moves 40 B/ns each way."""
    fields = {"bandwidth": 100 * 10**9, "direction": "bidirectional", "efficiency": 0.8, "receive_buffer": 8 << 20}
    assert LinkSpec(**{**BASE, **fields}).bytes_per_s == 40 * 10**9
