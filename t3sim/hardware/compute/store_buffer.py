"""The store buffer: output of a kernel that has left its workgroups but is neither in memory nor accepted by a link."""

from simpy.events import Event

from t3sim.hardware.clock import Environment


class StoreBuffer:
    """Bytes on their way out of one kernel, and those who wait for them to have left."""

    def __init__(self, env: Environment, capacity: int) -> None:
        self.env = env
        self.capacity = capacity
        self.held = 0
        self._waiters: list[tuple[int, Event]] = []

    def take(self, nbytes: int) -> None:
        """Add ``nbytes``; may exceed the capacity, which then holds the next stage back."""
        self.held += nbytes

    def give(self, nbytes: int) -> None:
        """Remove ``nbytes``."""
        self.held -= nbytes
        if not self._waiters:
            return
        ready = [event for level, event in self._waiters if self.held <= level]
        self._waiters = [waiter for waiter in self._waiters if self.held > waiter[0]]
        for event in ready:
            event.succeed()

    def room(self) -> Event | None:
        """Return an event for when the buffer is within its capacity again; ``None`` if it is now."""
        return self._at_most(self.capacity)

    def drained(self) -> Event | None:
        """Return an event for when everything is in memory or on a link; ``None`` if it is now."""
        return self._at_most(0)

    def _at_most(self, level: int) -> Event | None:
        if self.held <= level:
            return None
        event = Event(self.env)
        self._waiters.append((level, event))
        return event
