"""How addresses spread over channels, and which accesses of a region fall to one of them; compiled.

Consecutive blocks of ``interleave`` bytes go to consecutive channels, rotated by a hash of the address above, so that
no stride keeps to one channel: channel = (block + hash(block // channels)) mod channels. Inside its channel a block
comes after those of lower addresses.
"""

from typing import NamedTuple

from t3sim.compiled import Record, Records, part, record_type
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


@part
def _rotation(spread: Spread, above: int) -> int:
    """Channels by which blocks number ``above`` x channels and the next ones are rotated."""
    return above ^ (above >> 5) ^ (above >> 10) ^ (above >> 15) ^ (above >> 20) if spread.hashed else 0


@part
def channel_of(spread: Spread, block: int) -> int:
    """Channel of an interleaving block."""
    return int((block + _rotation(spread, block // spread.channels)) % spread.channels)


@part
def requests_of(
    places: Record,
    region: Record,
    offset: int,
    channel: int,
    requests: Records,
    base: int,
    entries: int,
    first: int,
    room: int,
    burst: int,
) -> int:
    """Write the accesses of a block of rows that fall to ``channel`` into a ring; return how many.

    An access belongs to the row in which it starts, so that neighbouring regions share none. ``places`` has the fields
    of ``Spread`` and of ``AddressBits``; ``offset`` is added to the region's address. The ring is ``entries`` rows, a
    power of two, of ``requests`` from ``base`` on; request n stands at n modulo that, and ``first`` is the next. No
    more than ``room`` are written; all are counted.
    """
    spread: Spread = places
    bits: AddressBits = places
    count, access, interleave = 0, spread.access, spread.interleave
    around = interleave * spread.channels
    for row in range(region.rows):
        start = region.address + offset + row * region.stride
        address = -(-start // access) * access
        end = start + region.nbytes
        while address < end:
            above = address // around
            turned = channel - _rotation(spread, above) % spread.channels
            own = above * around + (turned + spread.channels if turned < 0 else turned) * interleave
            address = max(address, own)
            stop = min(end, own + interleave)
            inside = above * interleave + address - own
            while address < stop:
                if count < room:
                    request = requests[base + ((first + count) & (entries - 1))]
                    request.bank = bank_of(bits, inside)
                    request.row = row_of(bits, inside)
                    request.burst = burst
                count += 1
                address += access
                inside += access
            address = (above + 1) * around
    return count
