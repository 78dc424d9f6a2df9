"""One GPU's messages of one operation: made of the moves of its plan, and told apart when they arrive.

A message may stand for several of the receiver's pieces: a DMA command that moves several tiles. And a GPU that stands
for all sends to itself: where chunks differ in size its neighbours' pieces are not its own, and correspond to them by
their relative place in the chunk. Its pace is not theirs either: all chunks of a ring are under way at once, and the
largest sets the pace of all, so every chunk of a GPU that stands for all takes the wire as long as the largest.
"""

from typing import Any, Protocol

from t3sim.collectives.plan import MoveId, Plan
from t3sim.errors import SimulationError
from t3sim.hardware.clock import Action
from t3sim.hardware.network.message import Message, Template
from t3sim.hardware.ports import NetworkPort
from t3sim.lowering.chunks import Chunks
from t3sim.units import ceil_div


class Receiver(Protocol):
    """What takes an operation's pieces."""

    def arrived(self, move: MoveId, piece: int, message: Message, *, last: bool) -> None:
        """Take ``piece`` of the chunk that ``move`` brings; ``last``: of those that ``message`` stands for.

        ``message`` is to be given back (``Exchange.consumed``) when its last piece is in memory.
        """


class Exchange:
    """Sends and receives the pieces of one operation at one GPU."""

    def __init__(self, port: NetworkPort, number: int, plan: Plan, chunks: Chunks) -> None:
        """Take part in operation ``number`` of the program; ``chunks``: its buffer in ``plan.parts`` parts."""
        self.number = number
        self.plan = plan
        self.chunks = chunks
        self._port = port
        self._largest = max(chunks.chunk_bytes)
        self._templates: dict[MoveId, Template] = {}

    def open(self, receiver: Receiver, chunk_of: dict[MoveId, int]) -> None:
        """Hand what arrives to ``receiver``. ``chunk_of``: the part that each move to this GPU brings."""
        self._receiver = receiver
        self._part_of = chunk_of
        self._port.open(self.number, self._receive)

    def send(
        self,
        move: MoveId,
        part: int,
        destinations: tuple[int, ...],
        piece: int,
        pieces: int,
        nbytes: int,
        *,
        accepted: Action,
        wire_bytes: int | None = None,
        value: Any = None,
    ) -> None:
        """Send one of ``pieces`` pieces of a part; ``accepted`` runs when the link has taken it."""
        on_wire = self.on_wire(nbytes if wire_bytes is None else wire_bytes, part)
        template = self.template(move, part, destinations)
        message = template.message(piece, pieces, nbytes, on_wire, self._port.next_serial(), value)
        self._port.send(message, accepted)

    def template(self, move: MoveId, part: int, destinations: tuple[int, ...]) -> Template:
        """Say what all messages of a move have in common."""
        found = self._templates.get(move)
        if found is None or (found.part, found.destinations) != (part, destinations):
            found = self._templates[move] = self._template(move, part, destinations)
        return found

    def _template(self, move: MoveId, part: int, destinations: tuple[int, ...]) -> Template:
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

    def consumed(self, message: Message) -> None:
        """Give the buffer back that ``message`` holds."""
        self._port.consumed(message)

    def pieces(self, message: Message, part: int) -> range:
        """Which of this GPU's pieces of ``part`` an arrived ``message`` stands for."""
        return pieces_completed(message.piece, message.pieces, len(self.chunks.piece_bytes[part]))

    def _receive(self, message: Message) -> None:
        move = MoveId(message.home, message.move)
        part = self._part_of.get(move)
        if part is None:
            what = f"piece {message.piece} of part {message.part}, sent by GPU {message.source}"
            raise SimulationError(f"Gpu[{self._port.rank}]: {what} in {self.plan.operation.value}, is not for it")
        completed = self.pieces(message, part)
        if not completed:
            self.consumed(message)
        for piece in completed:
            self._receiver.arrived(move, piece, message, last=piece == completed[-1])


def pieces_completed(piece: int, sent_pieces: int, own_pieces: int) -> range:
    """Which of the receiver's pieces the sender's ``piece`` completes: its own number, where both cut alike."""
    return range(piece * own_pieces // sent_pieces, (piece + 1) * own_pieces // sent_pieces)
