"""What travels through the network: one piece of a chunk. Nobody changes a message that has been sent."""

from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(slots=True, kw_only=True, eq=False)  # frozen, making one would take three times as long
class Message:
    """One piece of a chunk from one GPU to another, or to several."""

    operation: int
    """Number of the operation in the program it belongs to."""
    home: int
    move: int
    """Which move of the operation's plan: its ``MoveId``."""
    piece: int
    """Which piece of the sender's chunk, of ``pieces``."""
    pieces: int
    source: int
    destinations: tuple[int, ...]
    """Several: a switch on the way multiplies it."""
    nbytes: int
    wire_bytes: int
    """Bytes whose time it holds a wire: with flags among the data, more than its own."""
    merges: int = 0
    """How many messages a switch adds up to this one (all with this operation, home, chunk and piece); 0: none."""
    key: int = 0
    """What messages that are added up have in common beside operation, home and piece: which of the home's chunks."""
    part: int = 0
    """Which part of the sender's buffer it carries, for those who look on."""
    serial: int = 0
    """Tells it from every other message of the run; what a switch makes of it keeps the number."""
    value: Any = None
    """What it carries in data mode: an array of numbers, or nothing."""


class Template(NamedTuple):
    """What the messages of one move have in common: fields of ``Message``."""

    operation: int
    home: int
    move: int
    source: int
    destinations: tuple[int, ...]
    merges: int
    key: int
    part: int

    def message(self, piece: int, pieces: int, nbytes: int, wire_bytes: int, serial: int, value: Any) -> Message:
        """Make one of them."""
        return Message(
            operation=self.operation,
            home=self.home,
            move=self.move,
            piece=piece,
            pieces=pieces,
            source=self.source,
            destinations=self.destinations,
            nbytes=nbytes,
            wire_bytes=wire_bytes,
            merges=self.merges,
            key=self.key,
            part=self.part,
            serial=serial,
            value=value,
        )


def described(message: Message) -> str:
    """Say which message it is, for a stall report."""
    to = ", ".join(map(str, message.destinations))
    return f"operation {message.operation}, piece {message.piece} of {message.pieces} from {message.source} to {to}"
