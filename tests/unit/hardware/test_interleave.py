"""Interleaving: every access of a region falls to one channel, at a place of its own."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t3sim.compiled import compiled, record_of
from t3sim.hardware.memory.banked.dram.address import AddressBits
from t3sim.hardware.memory.banked.interleave import REQUEST, Spread, channel_of, requests_of
from t3sim.hardware.plane.state import REGION

QUICK = settings(deadline=None, derandomize=True, max_examples=100)
ACCESS = 32
# Bank and row that together are the address inside the channel: 4 x 4 banks of rows above bit 9.
BY_ADDRESS = AddressBits(
    group_shift=5,
    group_shift_2=63,
    group_mask=3,
    bank_shift=7,
    bank_shift_2=63,
    bank_mask=3,
    row_shift=9,
    banks_per_group=4,
)


@compiled
def _channel_of(places, block):
    return channel_of(places[0], block)


@compiled
def _requests_of(regions, places, channel, ring, first, room, burst):
    found = 0
    for number in range(regions.shape[0]):
        found += requests_of(
            places[0], regions[number], 0, channel, ring, 0, ring.shape[0], first + found, room - found, burst
        )
    return found


def written(region, spread, channel, ring, first, room, burst):
    """Write the requests of a region into a ring; return how many there are."""
    regions = np.zeros(len(region), REGION)
    regions.view(np.int64).reshape(-1, 4)[:] = region
    return _requests_of(regions, record_of(spread, BY_ADDRESS), channel, ring, first, room, burst)


def channel_at(spread, block):
    """Give the channel of a block."""
    return int(_channel_of(record_of(spread, BY_ADDRESS), block))


def accesses_of(region, access=ACCESS):
    """List the addresses of the accesses that start in a region, one by one."""
    return [
        address
        for first, rows, width, stride in region
        for start in (first + row * stride for row in range(rows))
        for address in range(-(-start // access) * access, start + width, access)
    ]


def on_channel(region, spread, channel, ring=4096):
    """Give the requests of a region on one channel: (bank, row, burst) each."""
    out = np.zeros(ring, REQUEST)
    counted = written(region, spread, channel, out, 0, 0, 7)
    assert not out["burst"].any()
    assert written(region, spread, channel, out, 0, ring, 7) == counted
    return out[:counted]


def inside(request):
    """Undo ``BY_ADDRESS``: bank group, bank and row are bits 5 and 6, 7 and 8, and those above."""
    return int(request["row"]) << 9 | int(request["bank"]) % 4 << 7 | int(request["bank"]) // 4 << 5


def regions():
    """Draw up to three blocks of rows, also narrower than an access and across interleaving blocks."""
    block = st.tuples(st.integers(0, 5000), st.integers(1, 6), st.integers(1, 900), st.integers(0, 2000))
    return st.lists(block, min_size=1, max_size=3).map(lambda blocks: np.array(blocks, np.int64))


SPREADS = st.builds(
    lambda channels, blocks, hashed: Spread(channels, blocks * ACCESS, ACCESS, hashed=hashed),
    st.sampled_from([1, 2, 3, 8, 32]),
    st.sampled_from([1, 2, 3, 8]),
    st.booleans(),
)


@QUICK
@given(regions(), SPREADS)
def test_every_access_falls_to_one_channel(region, spread):
    """Over all channels the requests are the region's accesses, each where its interleaving block is."""
    channels, interleave, *_ = spread
    expected = Counter(channel_at(spread, address // interleave) for address in accesses_of(region))
    assert expected.total() == len(accesses_of(region))
    for channel in range(channels):
        requests = on_channel(region, spread, channel)
        assert len(requests) == expected[channel]
        assert set(requests["burst"].tolist()) <= {7}


@QUICK
@given(SPREADS, st.integers(0, 300))
def test_addresses_inside_channels_are_a_bijection(spread, first):
    """No two accesses share a channel and an address in it, and each channel's addresses leave no holes."""
    channels, interleave, *_ = spread
    region = np.array([[0, 1, channels * interleave * (first + 3), 0]], np.int64)
    for channel in range(channels):
        places = [inside(request) for request in on_channel(region, spread, channel, ring=2**14)]
        assert places == list(range(0, interleave * (first + 3), ACCESS))


@QUICK
@given(st.integers(0, 2**30), SPREADS)
def test_neighbouring_regions_share_no_access(address, spread):
    """A run of bytes cut anywhere has the accesses of the whole."""
    cut = address % 700
    whole = np.array([[address, 1, 700, 0]], np.int64)
    parts = [np.array([[address, 1, cut, 0]], np.int64), np.array([[address + cut, 1, 700 - cut, 0]], np.int64)]
    for channel in range(int(spread[0])):
        both = np.concatenate([on_channel(part, spread, channel) for part in parts])
        assert both.tolist() == on_channel(whole, spread, channel).tolist()


@pytest.mark.parametrize("channels", [8, 32])
@pytest.mark.parametrize("factor", [1, 2, 4, 32])
def test_strides_over_all_channels_spread(channels, factor):
    """At a stride that would keep to one channel, the hash reaches all of them, about equally often."""
    blocks = [number * channels * factor for number in range(64 * channels)]
    plain, hashed = (Spread(channels, 256, 64, hashed=value) for value in (False, True))
    assert {channel_at(plain, block) for block in blocks} == {0}
    load = Counter(channel_at(hashed, block) for block in blocks)
    assert set(load) == set(range(channels))
    assert max(load.values()) <= 2 * 64


def test_requests_go_around_the_ring():
    """Requests are written from ``first`` on, and on from the ring's start."""
    spread = Spread(1, 256, 64, hashed=False)
    ring = np.full(4, -1, REQUEST)
    region = np.array([[0, 1, 192, 0]], np.int64)
    assert written(region, spread, 0, ring, 6, 4, 9) == 3
    assert ring["burst"].tolist() == [9, -1, 9, 9]
    assert [inside(ring[at]) for at in (2, 3, 0)] == [0, 64, 128]


def test_no_more_is_written_than_there_is_room_for():
    """Of three requests with room for two, two are written and three are counted."""
    spread = Spread(1, 256, 64, hashed=False)
    ring = np.full(4, -1, REQUEST)
    region = np.array([[0, 1, 192, 0]], np.int64)
    assert written(region, spread, 0, ring, 0, 2, 9) == 3
    assert ring["burst"].tolist() == [9, 9, -1, -1]
