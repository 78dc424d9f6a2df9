"""One GPU's messages of one operation: made of the moves of its plan, and told apart when they arrive.

A message may stand for several of the receiver's pieces: a DMA command that moves several tiles. And a GPU that stands
for all sends to itself: where chunks differ in size its neighbours' pieces are not its own, and correspond to them by
their relative place in the chunk. Its pace is not theirs either: all chunks of a ring are under way at once, and the
largest sets the pace of all, so every chunk of a GPU that stands for all takes the wire as long as the largest.
"""

import numpy as np

from t3sim.collectives.plan import MoveId, Plan
from t3sim.compiled import IntArray
from t3sim.hardware.network.message import Message, Template
from t3sim.hardware.plane.plane import Plane
from t3sim.hardware.ports import NetworkPort
from t3sim.lowering.chunks import Chunks
from t3sim.units import ceil_div


class Exchange:
    """The messages of one operation at one GPU."""

    def __init__(self, port: NetworkPort, number: int, plan: Plan, chunks: Chunks) -> None:
        """Take part in operation ``number`` of the program; ``chunks``: its buffer in ``plan.parts`` parts."""
        self.number = number
        self.plan = plan
        self.chunks = chunks
        self._port = port
        self._largest = max(chunks.chunk_bytes)

    def template(self, move: MoveId, part: int, destinations: tuple[int, ...]) -> Template:
        """Say what all messages of a move have in common."""
        merged = self.plan.merged.get(move.number, ())
        return Template(
            operation=self.number,
            home=move.home,
            # What is merged arrives as the first of those that are.
            move=merged[0] if merged else move.number,
            source=self._port.rank,
            destinations=destinations,
            merges=len(merged),
            key=self.plan.moves[move.number].chunk,
            part=part,
        )

    def on_wire(self, nbytes: int, part: int) -> int:
        """Bytes whose time a piece of a part holds the wire, which by itself would hold it for ``nbytes``."""
        return ceil_div(nbytes * self._largest, self.chunks.chunk_bytes[part]) if self._port.mirrored else nbytes

    def all_on_wire(self, nbytes: IntArray, parts: IntArray) -> IntArray:
        """Say the same of many pieces."""
        if not self._port.mirrored:
            return nbytes
        pairs = list(zip(nbytes.tolist(), parts.tolist(), strict=True))
        known = {pair: self.on_wire(*pair) for pair in set(pairs)}
        return np.array([known[pair] for pair in pairs], np.int64)

    def pieces(self, message: Message, part: int) -> range:
        """Which of this GPU's pieces of ``part`` an arrived ``message`` stands for."""
        return pieces_completed(message.piece, message.pieces, len(self.chunks.piece_bytes[part]))


def pieces_completed(piece: int, sent_pieces: int, own_pieces: int) -> range:
    """Which of the receiver's pieces the sender's ``piece`` completes: its own number, where both cut alike."""
    return range(piece * own_pieces // sent_pieces, (piece + 1) * own_pieces // sent_pieces)


def first_pieces(plane: Plane, chunks: Chunks, *, with_addresses: bool) -> list[int]:
    """Give the row of the data plane of the first piece of each part; GPUs that cut alike share them."""
    known = plane.shared.setdefault("pieces", {})
    if id(chunks) not in known:
        # What is known by its place in memory has to stay there.
        known[id(chunks)] = [plane.add("pieces", sizes) for sizes in chunks.piece_bytes], chunks
        if with_addresses:
            # All pieces of an environment have theirs, or none.
            for addresses in chunks.addresses:
                plane.add("addresses", addresses)
    first: list[int] = known[id(chunks)][0]
    return first
