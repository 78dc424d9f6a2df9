"""Sums on the way: the adder and the reduction buffer of one output of a switch.

A contribution goes through the adder, one at a time, and leaves its input buffer when it is through. It may begin when
its first byte has come and does not end before its last byte has. A sum takes an entry from its first contribution
until it has left the switch. Without a free entry, contributions to a new sum stay in their input buffers; of those
that may begin, the oldest goes first.

Contributions without an entry may hold up others that come behind them, and nothing goes on any more if those are
what the sums with entries wait for. This cannot happen where all GPUs send in the same order to each destination and
take turns over the destinations: a GPU that sends several sums to one destination in a row needs an entry for each.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from heapq import heappop, heappush
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
    order: tuple[int, int]
    """Its move and its flow. Breaks ties; and a sum goes on as the contribution that is the first in this order."""
    message: Message
    room: Room
    onward: Onward
    copies: int
    """Over how many links a sum goes on."""


@dataclass(slots=True, eq=False)
class _Sum:
    first: Contribution
    missing: int
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
        self.blocked: dict[Group, list[tuple[int, Contribution]]] = {}
        """Contributions to sums without an entry, with their numbers; the oldest sum first."""
        self._rate = spec.adder_rate
        self._came: list[Contribution] = []
        self._ready: list[tuple[int, Contribution]] = []
        self._numbered = 0
        self._adding: Contribution | None = None
        self._choosing = False

    def duration_fs(self, nbytes: int) -> int:
        """Say how long ``nbytes`` take through the adder."""
        return transfer_fs(nbytes, self._rate)

    def offer(self, contribution: Contribution) -> None:
        """Queue a contribution that may begin now, in the order ``FORWARD`` of an instant."""
        self._came.append(contribution)
        self._choose_later()

    def freed(self) -> None:
        """Take back the entry of a sum that has left."""
        self.free += 1
        self._choose_later()

    def waiting(self) -> list[str]:
        """Say what is not summed up or has not left yet, for a stall report."""
        lines = [
            f"{self.name}: a sum misses {found.missing} of {found.first.message.merges} contributions: "
            f"{described(found.first.message)}"
            for found in self.open.values()
        ]
        if self.blocked:
            (_, oldest), *_ = next(iter(self.blocked.values()))
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

    def _choose_later(self) -> None:
        if self._adding is None and not self._choosing:
            self._choosing = True
            call_at(self.env, int(self.env.now), self._choose, Order.FORWARD)

    def _choose(self) -> None:
        self._choosing = False
        if self._adding is None and (contribution := self._pick()) is not None:
            self._add(contribution)

    def _pick(self) -> Contribution | None:
        """Take the oldest contribution that has an entry or can get one."""
        for contribution in sorted(self._came, key=lambda each: each.order):
            self._numbered += 1
            numbered = self._numbered, contribution
            if contribution.group in self.open:
                heappush(self._ready, numbered)
            else:
                self.blocked.setdefault(contribution.group, []).append(numbered)
        self._came.clear()
        if self.free and self.blocked:
            group, numbered_ones = next(iter(self.blocked.items()))
            if not self._ready or numbered_ones[0][0] < self._ready[0][0]:
                self._open(group)
        return heappop(self._ready)[1] if self._ready else None

    def _open(self, group: Group) -> None:
        """Give the oldest sum that has none an entry."""
        contributions = self.blocked.pop(group)
        first = contributions[0][1]
        self.free -= 1
        self.open[group] = _Sum(first, first.message.merges)
        for numbered in contributions:
            heappush(self._ready, numbered)

    def _add(self, contribution: Contribution) -> None:
        found = self.open[contribution.group]
        message = contribution.message
        assert message.nbytes == found.first.message.nbytes, f"{self.name}: contributions to one sum differ in size"
        found.first = min(found.first, contribution, key=lambda each: each.order)
        found.value = message.value if found.value is None else found.value + message.value
        found.missing -= 1
        self._adding = contribution
        now = int(self.env.now)
        end = now + self.duration_fs(message.nbytes)
        if not found.missing:
            del self.open[contribution.group]
            summed = replace(found.first.message, value=found.value)
            found.first.onward(summed, _Entry(self, found.first.copies), now, end)
        call_at(self.env, end, self._added, Order.FORWARD)

    def _added(self) -> None:
        assert self._adding is not None, f"{self.name}: nothing was in the adder"
        self._adding.room.release()
        self._adding = None
        self._choose_later()
