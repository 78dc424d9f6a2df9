"""The store buffer: output of a kernel that has left its workgroups but is neither in memory nor accepted by a link."""

from simpy.events import Event

from t3sim.hardware.clock import Environment
from t3sim.hardware.plane.kinds import TELL_ROOM
from t3sim.hardware.plane.plane import plane_of
from t3sim.hardware.plane.state import NONE


class StoreBuffer:
    """Bytes on their way out of one kernel, and those who wait for them to have left."""

    def __init__(self, env: Environment, capacity: int) -> None:
        self.env = env
        self.capacity = capacity
        self._plane = plane = plane_of(env)
        self.number = plane.add("buffers", [(0, NONE)])
        """Of its row in the data plane."""
        self._waiters: list[tuple[int, Event]] = []
        buffers = plane.parts.setdefault("buffers", [])
        buffers.append(self)
        plane.handlers[TELL_ROOM] = lambda number, _b, _c: buffers[number].tell_room()

    @property
    def held(self) -> int:
        """Bytes that it holds."""
        return int(self._plane.rows("buffers")["held"][self.number])

    def take(self, nbytes: int) -> None:
        """Add ``nbytes``; may exceed the capacity, which then holds the next stage back."""
        self._plane.rows("buffers")["held"][self.number] += nbytes

    def give(self, nbytes: int) -> None:
        """Remove ``nbytes``."""
        self._plane.rows("buffers")["held"][self.number] -= nbytes
        if self._waiters:
            self.tell_room()

    def room(self) -> Event | None:
        """Return an event for when the buffer is within its capacity again; ``None`` if it is now."""
        return self._at_most(self.capacity)

    def drained(self) -> Event | None:
        """Return an event for when everything is in memory or on a link; ``None`` if it is now."""
        return self._at_most(0)

    def tell_room(self) -> None:
        """Let those go on who wait for as little as it holds now."""
        held = self.held
        ready = [event for level, event in self._waiters if held <= level]
        self._waiters = [waiter for waiter in self._waiters if held > waiter[0]]
        self._wait()
        for event in ready:
            event.succeed()

    def _at_most(self, level: int) -> Event | None:
        if self.held <= level:
            return None
        event = Event(self.env)
        self._waiters.append((level, event))
        self._wait()
        return event

    def _wait(self) -> None:
        """Be told when it holds as little as any waits for."""
        level = max((level for level, _ in self._waiters), default=NONE)
        self._plane.rows("buffers")["level"][self.number] = level
