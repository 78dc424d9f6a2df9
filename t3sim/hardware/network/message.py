"""What travels over a link, and who takes it at the other end."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One piece of a chunk on its way to the successor."""

    phase: int
    """Which operation of the program it belongs to."""
    position: int
    """Chunk position at the sender; the receiver meets the chunk at the next one."""
    piece: int
    """Which piece of the sender's chunk, of ``pieces``."""
    pieces: int
    nbytes: int
    wire_bytes: int
    """Bytes whose time it holds the wire: with flags among the data, more than its own."""
    chunk_bytes: int
    largest_chunk_bytes: int
    """Size of its chunk, and of the largest chunk in the ring."""


class Receiver(Protocol):
    """The end of a link for one operation."""

    def receive(self, message: Message) -> None:
        """Take a message whose last byte has arrived; give its link buffer back once it is in memory."""

    def missing(self) -> list[str]:
        """Say what has not arrived yet, for a stall report."""


def pieces_completed(piece: int, sent_pieces: int, own_pieces: int) -> range:
    """Which of the receiver's pieces the sender's ``piece`` completes.

    The identity where both cut the chunk alike, as they always do between two GPUs of a ring. The mirrored GPU
    stands for both ends, and where chunks differ in size its neighbour positions may differ in pieces: then pieces
    correspond by their relative place in the chunk.
    """
    return range(piece * own_pieces // sent_pieces, (piece + 1) * own_pieces // sent_pieces)
