"""The probe: what observers may see of a machine, as typed calls that its parts make while it runs.

A part without a probe makes no call. Observers change nothing and schedule nothing, so no finish time depends on them.
Calls that hand an action on (``done``, ``fire``) return what the part is to do instead: the action, or one that notes
the moment and then does it.
"""

from typing import Any

from t3sim.hardware.clock import Action
from t3sim.hardware.memory.access import Access, Cause, Stream
from t3sim.hardware.network.message import Message


class Probe:
    """An observer of every part of a machine; a subclass overrides what it wants to see."""

    def stage_started(self, rank: int, number: int, workgroups: int) -> None:
        """A GEMM's stage starts its K loop."""

    def operands_awaited(self, rank: int, since_fs: int) -> None:
        """A stage has got operands that it had waited for since then."""

    def stage_ended(self, rank: int) -> None:
        """The stage of this GPU that started last has ended its K loop."""

    def burst_submitted(
        self, rank: int, stream: Stream, access: Access, nbytes: int, cause: Cause, done: Action | None
    ) -> Action | None:
        """A burst goes to the memory controller; ``done`` when it is complete. One that nobody waits for stays so."""
        del rank, stream, access, nbytes, cause
        return done

    def memory_advanced(self, rank: int) -> None:
        """The memory has been served up to now, for the machine's own reasons: its counters can be read."""

    def update_counted(self, rank: int, tile: int, updates: int, expected: int, fire: Action) -> Action:
        """The tracker is told of updates to a tile; ``fire`` when they are complete."""
        del rank, tile, updates, expected
        return fire

    def tracker_changed(self, rank: int) -> None:
        """The tracker has dealt with what it was told last."""

    def command_triggered(self, rank: int, command: Any) -> None:
        """A DMA command is ready. Here and below a command is the same object from its trigger to its end."""

    def command_started(self, rank: int, command: Any) -> None:
        """The DMA engine submits a command's read."""

    def command_read(self, rank: int, command: Any) -> None:
        """A command's data have been read; what the GPU sends until ``command_handed_over`` is of this command."""

    def command_handed_over(self, rank: int, command: Any) -> None:
        """A command's data are queued at the network."""

    def command_ended(self, rank: int, command: Any) -> None:
        """The network has taken a command's data."""

    def message_sent(self, rank: int, message: Message) -> None:
        """A GPU hands a message to the network."""

    def message_accepted(self, rank: int, message: Message, accepted: Action | None) -> Action | None:
        """A message is about to be queued at the GPU's link; ``accepted`` when that has taken it."""
        del rank, message
        return accepted

    def message_on_wire(self, link: str, message: Message, start_fs: int, end_fs: int) -> None:
        """A link carries a message for that time; the last link on its way is the one into its receiver."""

    def message_delivered(self, rank: int, message: Message) -> None:
        """A message has arrived in full at its receiver."""

    def message_consumed(self, rank: int, message: Message) -> None:
        """The receiver gives back the buffer that a message held; its data are in memory."""
