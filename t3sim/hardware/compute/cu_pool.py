"""The CUs of a GPU as kernels at once take them: stage by stage, who comes first by priority."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from simpy.events import Event

from t3sim.hardware.clock import Environment


@dataclass(frozen=True, slots=True)
class _Waiting:
    priority: int
    cus: int
    there: Event


class CuPool:
    """CUs that no kernel holds, and the kernels that wait for some.

    Lower priorities come first, of equal ones who came first. Nobody overtakes one that comes before and waits.
    """

    def __init__(self, env: Environment, cus: int) -> None:
        self.env = env
        self.free = cus
        """CUs that nobody holds."""
        self._waiting: list[_Waiting] = []

    def take(self, cus: int, priority: int) -> Generator[Event, Any, None]:
        """Wait for ``cus`` CUs, all at once, and hold them."""
        waiting = _Waiting(priority, cus, Event(self.env))
        self._waiting.append(waiting)
        self._waiting.sort(key=lambda one: one.priority)
        self._serve()
        if not waiting.there.triggered:
            yield waiting.there

    def give(self, cus: int) -> None:
        """Give back ``cus`` CUs."""
        self.free += cus
        self._serve()

    def exchange(self, held: int, most: int, priority: int) -> Generator[Event, Any, int]:
        """Give back ``held`` CUs and hold what is free, up to ``most``; wait for one where none is.

        Those that wait and come before have theirs first; others take what is left over.
        """
        self.free += held
        self._serve(before=priority)
        taken = 0 if any(one.priority < priority for one in self._waiting) else min(most, self.free)
        self.free -= taken
        self._serve()
        if not taken:
            yield from self.take(1, priority)
            taken = 1 + min(most - 1, self.free)
            self.free -= taken - 1
        return taken

    def _serve(self, before: int | None = None) -> None:
        """Give CUs to those that wait, or to those of them with a priority ``before`` this one."""
        while self._waiting and self._waiting[0].cus <= self.free:
            first = self._waiting[0]
            if before is not None and first.priority >= before:
                return
            del self._waiting[0]
            self.free -= first.cus
            first.there.succeed()
