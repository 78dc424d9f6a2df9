"""How a machine stands in which nothing is under way: all that what comes next depends on, relative to now.

Two programs one after the other are one program where the second one starts as the first one left the machine.
"""

from dataclasses import dataclass, replace

Credits = tuple[tuple[int, int], ...]
"""Buffer space on its way back to a sender: (how long until it is there in fs, bytes), in order."""


@dataclass(frozen=True, slots=True)
class BusStanding:
    """DRAM, and the arbitration before it, when all requests are served."""

    last_lane: int = -1
    """Lane served last; -1 where that does not matter any more."""
    turning_fs: int = 0
    """How long that will still matter."""
    turns: tuple[int, ...] = ()
    """What arbitration looks at (``memory.turns.TURNS``); empty: as before anything was admitted."""

    def later(self, after_fs: int) -> "BusStanding":
        """Give how it stands when nothing has come for ``after_fs``."""
        left = self.turning_fs - after_fs
        return replace(self, turning_fs=left) if left > 0 else BusStanding(turns=self.turns)


@dataclass(frozen=True, slots=True)
class LaneStanding:
    """One virtual channel of a link that carries nothing."""

    number: int
    last_flow: int
    """Whose turn it was last."""
    returning: Credits

    def later(self, after_fs: int) -> "LaneStanding":
        """Give how it stands when nothing has come for ``after_fs``."""
        left = tuple((at - after_fs, nbytes) for at, nbytes in self.returning if at > after_fs)
        return replace(self, returning=left)


@dataclass(frozen=True, slots=True)
class LinkStanding:
    """A link that carries nothing."""

    shared: bool
    """Whether packets from other links have come through."""
    last_channel: int
    """Channel that had its turn last."""
    lanes: tuple[LaneStanding, ...]
    """Those that were used."""

    def later(self, after_fs: int) -> "LinkStanding":
        """Give how it stands when nothing has come for ``after_fs``."""
        return replace(self, lanes=tuple(lane.later(after_fs) for lane in self.lanes))


@dataclass(frozen=True, slots=True)
class Standing:
    """A machine of one GPU in which nothing is under way; as given: one that nothing has run on."""

    bus: BusStanding = BusStanding()
    links: tuple[tuple[str, LinkStanding], ...] = ()
    """By name; those that are not named were never used."""

    def later(self, after_fs: int) -> "Standing":
        """Give how it stands when nothing has run for ``after_fs``."""
        return Standing(self.bus.later(after_fs), tuple((name, link.later(after_fs)) for name, link in self.links))
