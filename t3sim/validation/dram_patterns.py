"""Request streams of one channel, by name: what is sent to a channel to compare it with others.

A request is 64 B. Patterns of a GPU see 32 channels interleaved at 256 B, and keep what falls into one.

=================  ======================================================================================
sequential         reads, one after the other
random             reads anywhere in 1 GiB
segments           reads of 256 B anywhere in 1 GiB
writes             sequential writes
mixed-B            sequential reads and sequential writes in turns of B requests (B: a number or ``all``)
split-B            the same, the two in different halves of the banks (those of mapping mop4)
slab               reads of a GEMM's operand: 128 rows, a step of 64 B through all rows at a time
tiles              writes of a GEMM's output: 128 rows, a tile of 256 B through all rows at a time
slab-tiles-B       slab and tiles in turns of B requests
paced-P            sequential reads at P percent of the peak rate
paced-random-P     random reads at P percent of the peak rate
=================  ======================================================================================
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from t3sim.compiled import IntArray
from t3sim.hardware.memory.access import Access

READ, WRITE = int(Access.READ), int(Access.WRITE)
REQUEST_BYTES = 64
"""Bytes of a request."""
_SEED = 20260101
_SPAN = 2**30
_SEGMENT = 256
_CHANNELS, _INTERLEAVE = 32, 256
_WRITES_AT = 2**29
_NEXT_BANK = 2**11
"""Bytes between the same row of neighbouring bank quarters: a row's worth, and bank bit of mop4."""
_PANEL_ROWS = 128
_OPERAND_PITCH, _OPERAND_STEP = 4256, 64
_OUTPUT_PITCH, _OUTPUT_TILE = 8512, 256
_OUTPUT_AT = _WRITES_AT * _CHANNELS
_NAME = re.compile(
    r"(?P<plain>sequential|random|segments|writes|slab|tiles)"
    r"|(?P<mixed>mixed|split|slab-tiles)-(?P<turn>[1-9]\d*|all)"
    r"|(?P<paced>paced|paced-random)-(?P<percent>[1-9]\d*)"
)
KNOWN = "sequential random segments writes slab tiles mixed-B split-B slab-tiles-B paced-P paced-random-P"


class RequestStream(NamedTuple):
    """Requests in program order; arrays of shape (requests,)."""

    address: IntArray
    """Inside the channel, multiples of 64 B."""
    kind: IntArray
    """READ or WRITE."""
    arrival: IntArray
    """Earliest cycle; 0: as soon as there is room."""


def family(name: str) -> str:
    """Name of a stream without its number. Raises ``ValueError`` for an unknown one."""
    found = _NAME.fullmatch(name)
    if not found:
        raise ValueError(f"no such stream: {name!r}; known: {', '.join(KNOWN.split())}")
    return found["plain"] or found["mixed"] or found["paced"]


def request_stream(name: str, requests: int, peak_cycles: int) -> RequestStream:
    """Make a stream; ``peak_cycles``: cycles that 64 B take at the peak rate. Raises ``ValueError`` for a bad name."""
    kind = family(name)
    number = name.removeprefix(kind).lstrip("-")
    if kind in _SINGLE:
        make, access_kind = _SINGLE[kind]
        address = make(requests)
        return _saturating(address, access_kind)
    if kind in _PAIRS:
        turn = requests // 2 if number == "all" else int(number)
        if not 0 < turn <= requests // 2:
            raise ValueError(f"{requests} requests hold no two turns of {turn or 'all'}")
        return _in_turns(*_PAIRS[kind](requests // 2), turn)
    unpaced = _saturating(_random(requests) if kind == "paced-random" else _sequential(requests), READ)
    gap = peak_cycles / (int(number) / 100)
    return unpaced._replace(arrival=np.floor(np.arange(requests) * gap).astype(np.int64))


def _saturating(address: IntArray, kind: IntArray | int) -> RequestStream:
    arrival = np.zeros_like(address)
    return RequestStream(address, arrival + kind, arrival)


def _in_turns(reads: IntArray, writes: IntArray, turn: int) -> RequestStream:
    """``turn`` reads, ``turn`` writes, and so on; whole turns only."""
    whole = len(reads) // turn * turn
    address = np.stack([part[:whole].reshape(-1, turn) for part in (reads, writes)], axis=1)
    kind = np.empty_like(address)
    kind[:, 0], kind[:, 1] = READ, WRITE
    return _saturating(address.reshape(-1), kind.reshape(-1))


def _sequential(requests: int) -> IntArray:
    return REQUEST_BYTES * np.arange(requests, dtype=np.int64)


def _random(requests: int) -> IntArray:
    return np.random.default_rng(_SEED).integers(0, _SPAN // REQUEST_BYTES, requests) * REQUEST_BYTES


def _segments(requests: int) -> IntArray:
    lines = _SEGMENT // REQUEST_BYTES
    first = np.random.default_rng(_SEED + 1).integers(0, _SPAN // _SEGMENT, requests // lines) * _SEGMENT
    return (first[:, None] + _sequential(lines)).reshape(-1)


def _walk(requests: int, pitch: int, step: int, base: int) -> IntArray:
    """Go through a row-major matrix of ``pitch`` bytes a row: by panels of rows, by ``step`` bytes, by rows, by lines.

    Where rows do not start on a line, the line that holds the first byte stands for a step.
    """
    columns = np.arange(0, pitch, step, dtype=np.int64)[:, None, None]
    rows = np.arange(_PANEL_ROWS, dtype=np.int64)[None, :, None] * pitch
    lines = np.arange(0, step, REQUEST_BYTES, dtype=np.int64)[None, None, :]
    inside = np.broadcast_to(columns + lines < pitch, (columns.size, _PANEL_ROWS, lines.size))
    panel = (columns + rows + lines)[inside]
    parts: list[IntArray] = []
    count = 0
    while count < requests:
        address = (base + panel) // REQUEST_BYTES * REQUEST_BYTES
        address = address[address // _INTERLEAVE % _CHANNELS == 0]
        parts.append(address // (_INTERLEAVE * _CHANNELS) * _INTERLEAVE + address % _INTERLEAVE)
        count += len(address)
        base += _PANEL_ROWS * pitch
    return np.concatenate(parts)[:requests]


def _slab(requests: int) -> IntArray:
    return _walk(requests, _OPERAND_PITCH, _OPERAND_STEP, 0)


def _tiles(requests: int) -> IntArray:
    return _walk(requests, _OUTPUT_PITCH, _OUTPUT_TILE, _OUTPUT_AT)


def _mixed(requests: int) -> tuple[IntArray, IntArray]:
    address = _sequential(requests)
    return address, address + _WRITES_AT + _NEXT_BANK


def _split(requests: int) -> tuple[IntArray, IntArray]:
    address = _sequential(requests)
    spread = address // _NEXT_BANK * (2 * _NEXT_BANK) + address % _NEXT_BANK
    return spread, spread + _WRITES_AT + _NEXT_BANK


_SINGLE: dict[str, tuple[Callable[[int], IntArray], int]] = {
    "sequential": (_sequential, READ),
    "random": (_random, READ),
    "segments": (_segments, READ),
    "writes": (_sequential, WRITE),
    "slab": (_slab, READ),
    "tiles": (_tiles, WRITE),
}
_PAIRS: dict[str, Callable[[int], tuple[IntArray, IntArray]]] = {
    "mixed": _mixed,
    "split": _split,
    "slab-tiles": lambda requests: (_slab(requests), _tiles(requests)),
}
