"""Sums on the way: the adder and the reduction buffer of one output of a switch.

The adder takes contributions in the order in which their first bytes come, each for its bytes over the adder's rate,
but no contribution is through before its last byte is there: bytes of several pass it in turns. Then it leaves its
input buffer. A sum goes out once the first bytes of all its contributions are there, so that its last byte leaves no
earlier than the last of them is through: with an adder as fast as all inputs, a sum takes no longer than a message.

A sum takes an entry from its first contribution until it has left the switch. Without a free entry, contributions to
a new sum stay in their input buffers, and the oldest sum gets the next entry.

Contributions without an entry may hold up others that come behind them, and nothing goes on any more if those are
what the sums with entries wait for. This cannot happen where all GPUs send contributions in one and the same order,
nor where they send one to each destination in turn, in any order of destinations, before the next one. A GPU that
sends several in a row to one destination, while others begin with another, needs an entry for each of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from t3sim.hardware.clock import Environment, Order, call_at
from t3sim.hardware.network.lane import Room, described
from t3sim.hardware.network.message import Message
from t3sim.hardware.network.switch import SwitchSpec
from t3sim.units import transfer_fs

Group = tuple[Any, ...]
"""What the contributions to one sum have in common."""
Onward = Callable[[Message, Room, int, int], None]
"""Sends a sum on: the message, the room that it holds, and when its first and last byte are there."""


@dataclass(slots=True, eq=False)
class Contribution:
    """A message that is to be added up with others."""

    group: Group
    order: tuple[int, ...]
    """The same seen from every rank. Breaks ties; and a sum goes on as the first of its contributions in this order."""
    message: Message
    last_fs: int
    """When its last byte is there."""
    room: Room
    onward: Onward
    copies: int
    """Over how many links a sum goes on."""


@dataclass(slots=True, eq=False)
class _Sum:
    first: Contribution
    missing: int
    through_fs: int = 0
    """When the last of its contributions is through the adder."""
    value: Any = None


@dataclass(slots=True, eq=False)
class _Entry:
    """The entry of a sum that goes on."""

    reducer: "Reducer"
    copies: int

    def release(self) -> None:
        self.copies -= 1
        if not self.copies:
            self.reducer.freed()

    def held_at(self) -> tuple[str, int] | None:
        return None


class Reducer:
    """Adds up what is bound for one output."""

    def __init__(self, env: Environment, spec: SwitchSpec, name: str) -> None:
        assert spec.adder_rate is not None, f"{name}: no adder"
        assert spec.entries is not None, f"{name}: no entries"
        self.env = env
        self.name = name
        self.entries = spec.entries
        self.free = spec.entries
        """Entries without a sum."""
        self.open: dict[Group, _Sum] = {}
        """Sums that miss contributions."""
        self.blocked: dict[Group, list[Contribution]] = {}
        """Contributions to sums without an entry; the oldest sum first."""
        self._rate = spec.adder_rate
        self._busy_until = 0
        self._came: list[Contribution] = []
        self._choosing = False

    def offer(self, contribution: Contribution) -> None:
        """Take a contribution whose first byte is there, in the order ``FORWARD`` of an instant."""
        self._came.append(contribution)
        self._choose_later()

    def freed(self) -> None:
        """Take back the entry of a sum that has left."""
        self.free += 1
        self._choose_later()

    def waiting(self) -> list[str]:
        """Say what is not summed up or has not left yet, for a stall report."""
        lines = [
            f"{self.name}: {len(self.open)} sums miss contributions; "
            f"the first {found.missing} of {found.first.message.merges}: {described(found.first.message)}"
            for found in list(self.open.values())[:1]
        ]
        if self.blocked:
            oldest, *_ = next(iter(self.blocked.values()))
            count = sum(map(len, self.blocked.values()))
            lines.append(
                f"{self.name}: {count} contributions wait for one of {self.entries} entries; "
                f"first: {described(oldest.message)}"
            )
        return lines

    def faults(self) -> list[str]:
        """Say what is not as it has to be after a run."""
        if self.free == self.entries:
            return []
        return [f"{self.name}: {self.entries - self.free} of {self.entries} entries are still taken"]

    def is_busy(self, now: int) -> bool:
        """Whether there is anything in it, or will be."""
        return self.free != self.entries or bool(self._came) or self._busy_until > now

    def _choose_later(self) -> None:
        if not self._choosing:
            self._choosing = True
            call_at(self.env, int(self.env.now), self._choose, Order.FORWARD)

    def _choose(self) -> None:
        """Add what came to sums with an entry, and give free entries to the oldest sums without one."""
        self._choosing = False
        self._open_oldest()
        came, self._came = sorted(self._came, key=lambda each: each.order), []
        for contribution in came:
            if contribution.group in self.open:
                self._add(contribution)
            else:
                self.blocked.setdefault(contribution.group, []).append(contribution)
                self._open_oldest()

    def _open_oldest(self) -> None:
        while self.free and self.blocked:
            group = next(iter(self.blocked))
            contributions = self.blocked.pop(group)
            self.free -= 1
            self.open[group] = _Sum(contributions[0], contributions[0].message.merges)
            for contribution in contributions:
                self._add(contribution)

    def _add(self, contribution: Contribution) -> None:
        found = self.open[contribution.group]
        message = contribution.message
        assert message.nbytes == found.first.message.nbytes, f"{self.name}: contributions to one sum differ in size"
        now = int(self.env.now)
        self._busy_until = max(self._busy_until, now) + transfer_fs(message.nbytes, self._rate)
        through = max(self._busy_until, contribution.last_fs)
        call_at(self.env, through, contribution.room.release, Order.FORWARD)
        found.through_fs = max(found.through_fs, through)
        found.first = min(found.first, contribution, key=lambda each: each.order)
        found.value = message.value if found.value is None else found.value + message.value
        found.missing -= 1
        if not found.missing:
            del self.open[contribution.group]
            summed = replace(found.first.message, value=found.value)
            found.first.onward(summed, _Entry(self, found.first.copies), now, found.through_fs)
