"""How addresses spread over channels, and which accesses of a region fall to one of them; compiled.

Consecutive blocks of ``interleave`` bytes go to consecutive channels, rotated by a hash of the address above, so that
no stride keeps to one channel: channel = (block + hash(block // channels)) mod channels. Inside its channel a block
comes after those of lower addresses.
"""

from typing import NamedTuple

from t3sim.compiled import IntArray, Records, compiled, record_type
from t3sim.hardware.memory.banked.dram.address import AddressBits, bank_of, row_of

REQUEST = record_type("bank", "row", "burst")
"""One access that waits for its channel: where it is, and the number of the burst that it belongs to."""


class Spread(NamedTuple):
    """How a GPU's addresses are spread."""

    channels: int
    interleave: int
    """Consecutive bytes on one channel."""
    access: int
    """Bytes of one access."""
    hashed: bool
    """Whether higher address bits rotate the channels."""


@compiled
def channel_of(spread: Spread, block: int) -> int:
    """Channel of an interleaving block."""
    if not spread.hashed:
        return int(block % spread.channels)
    above = block // spread.channels
    mixed = above ^ (above >> 5) ^ (above >> 10) ^ (above >> 15) ^ (above >> 20)
    return int((block + mixed) % spread.channels)


@compiled
def requests_of(
    region: IntArray, places: Records, channel: int, ring: Records, first: int, room: int, burst: int
) -> int:
    """Write the accesses of ``region`` that fall to ``channel`` into ``ring`` from ``first`` on; return how many.

    An access belongs to the row in which it starts, so that neighbouring regions share none. No more than ``room`` are
    written; all are counted. ``places``, shape (1,), has the fields of ``Spread`` and of ``AddressBits``.
    """
    spread: Spread = places[0]
    bits: AddressBits = places[0]
    count, entries = 0, ring.shape[0]
    access, interleave = spread.access, spread.interleave
    for index in range(region.shape[0]):
        for row in range(region[index, 1]):
            start = region[index, 0] + row * region[index, 3]
            address = -(-start // access) * access
            end = start + region[index, 2]
            while address < end:
                block = address // interleave
                stop = min(end, (block + 1) * interleave)
                if channel_of(spread, block) == channel:
                    inside = block // spread.channels * interleave + address % interleave
                    while address < stop:
                        if count < room:
                            request = ring[(first + count) % entries]
                            request.bank = bank_of(bits, inside)
                            request.row = row_of(bits, inside)
                            request.burst = burst
                        count += 1
                        address += access
                        inside += access
                address = max(address, (block + 1) * interleave)
    return count
