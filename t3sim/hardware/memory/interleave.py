"""How addresses spread over channels, and which accesses of a region fall to one of them; compiled.

Consecutive blocks of ``interleave`` bytes go to consecutive channels, rotated by a hash of the address above, so that
no stride keeps to one channel: channel = (block + hash(block // channels)) mod channels. Inside its channel a block
comes after those of lower addresses.
"""

import numpy as np

from t3sim.hardware.memory.dram.address import bank_of, row_of
from t3sim.kernels import IntArray, kernel

# Entries of the spread array.
CHANNELS, INTERLEAVE, HASHED, ACCESS = range(4)
# Columns of a request ring.
BANK, ROW, BURST = range(3)


def spread_array(channels: int, interleave: int, access: int, *, hashed: bool) -> IntArray:
    """Tabulate the interleaving for compiled code."""
    return np.array([channels, interleave, hashed, access], np.int64)


@kernel
def channel_of(spread: IntArray, block: int) -> int:
    """Channel of an interleaving block."""
    channels = spread[CHANNELS]
    if not spread[HASHED]:
        return int(block % channels)
    above = block // channels
    mixed = above ^ (above >> 5) ^ (above >> 10) ^ (above >> 15) ^ (above >> 20)
    return int((block + mixed) % channels)


@kernel
def requests_of(
    region: IntArray, spread: IntArray, mapping: IntArray, channel: int, ring: IntArray, first: int, burst: int
) -> int:
    """Write the accesses of ``region`` that fall to ``channel`` into ``ring`` from ``first`` on; return how many.

    An access belongs to the row in which it starts, so that neighbouring regions share none. With an empty ring they
    are only counted.
    """
    count, entries = 0, ring.shape[0]
    access, interleave = spread[ACCESS], spread[INTERLEAVE]
    for index in range(region.shape[0]):
        for row in range(region[index, 1]):
            start = region[index, 0] + row * region[index, 3]
            address = -(-start // access) * access
            end = start + region[index, 2]
            while address < end:
                block = address // interleave
                stop = min(end, (block + 1) * interleave)
                if channel_of(spread, block) == channel:
                    inside = block // spread[CHANNELS] * interleave + address % interleave
                    while address < stop:
                        if entries:
                            at = (first + count) % entries
                            ring[at, BANK] = bank_of(mapping, inside)
                            ring[at, ROW] = row_of(mapping, inside)
                            ring[at, BURST] = burst
                        count += 1
                        address += access
                        inside += access
                address = max(address, (block + 1) * interleave)
    return count
