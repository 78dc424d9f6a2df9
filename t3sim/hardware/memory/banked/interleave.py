"""How addresses spread over channels, and which accesses of a region fall to one of them; compiled.

Consecutive blocks of ``interleave`` bytes go to consecutive channels, rotated by a hash of the address above, so that
no stride keeps to one channel: channel = (block + hash(block // channels)) mod channels. Inside its channel a block
comes after those of lower addresses.
"""

from typing import NamedTuple

from t3sim.bits import lowest_bit
from t3sim.compiled import Record, Records, part, record_type
from t3sim.hardware.memory.banked.dram.address import AddressBits, bank_of, row_of
from t3sim.hardware.memory.banked.dram.tables import NONE

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
    return _mixed(above) if spread.hashed else 0


@part
def _mixed(above: int) -> int:
    return above ^ (above >> 5) ^ (above >> 10) ^ (above >> 15) ^ (above >> 20)


@part
def channel_of(spread: Spread, block: int) -> int:
    """Channel of an interleaving block."""
    return int((block + _rotation(spread, block // spread.channels)) % spread.channels)


@part
def _shift_by(number: int) -> int:
    """By how many bits to shift instead of dividing by ``number``, or ``NONE`` where that is no power of two."""
    return NONE if number & (number - 1) else lowest_bit(number)


@part
def _quotient(value: int, number: int, shift: int) -> int:
    """Divide by ``number`` whose ``shift`` is that: a division takes longer than the rest of the work for a row."""
    return value // number if shift == NONE else value >> shift


@part
def _next_row(spread: Spread, of_around: int, region: Record, offset: int, channel: int, row: int) -> int:
    """Find the next row from ``row`` on that may have accesses on ``channel``: most rows are short and have none.

    ``of_around``: the shift by a block of every channel; without one, every row may.
    """
    if of_around == NONE:
        return row
    interleave, others, start = spread.interleave, spread.channels - 1, region.address + offset + row * region.stride
    nbytes, stride, rows, hashed = region.nbytes, region.stride, region.rows, others * spread.hashed
    while row < rows:
        above, end = start >> of_around, start + nbytes
        own = (above << of_around) + ((channel - (_mixed(above) & hashed)) & others) * interleave
        if ((own < end) & (start < own + interleave)) | (end > (above + 1) << of_around):
            break
        start += stride
        row += 1
    return row


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
    count, access, interleave, channels = 0, spread.access, spread.interleave, spread.channels
    around = interleave * channels
    of_access, of_channels, of_around = _shift_by(access), _shift_by(channels), _shift_by(around)
    row = _next_row(spread, of_around, region, offset, channel, 0)
    while row < region.rows:
        start = region.address + offset + row * region.stride
        address = _quotient(start + access - 1, access, of_access) * access
        end = start + region.nbytes
        while address < end:
            above = _quotient(address, around, of_around)
            rotation = _rotation(spread, above)
            turned = channel - (rotation - _quotient(rotation, channels, of_channels) * channels)
            own = above * around + (turned + channels if turned < 0 else turned) * interleave
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
        row = _next_row(spread, of_around, region, offset, channel, row + 1)
    return count
