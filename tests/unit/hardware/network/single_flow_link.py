"""A link that only its own node sends over, written out by itself: what every link with one flow has to equal."""

from collections import deque
from dataclasses import dataclass

from t3sim.hardware.clock import Action, Environment, Order, call_at
from t3sim.hardware.network.link import LinkSpec
from t3sim.units import transfer_fs


@dataclass(slots=True)
class _Queued:
    nbytes: int
    wire_bytes: int
    accepted: Action | None
    deliver: Action


class Link:
    """One direction of one link."""

    def __init__(self, env: Environment, spec: LinkSpec, name: str) -> None:
        self.env = env
        self.spec = spec
        self.name = name
        self.sent_bytes = 0
        self.delivered_bytes = 0
        self.busy_fs = 0
        self._queue: deque[_Queued] = deque()
        self._accepted = 0
        self._buffered = 0
        self._credit = spec.receive_buffer
        self._returning: deque[tuple[int, int]] = deque()
        self._look_again_fs = -1
        self._sending = False
        self._last_end = 0

    def send(self, nbytes: int, deliver: Action, accepted: Action | None = None, wire_bytes: int | None = None) -> None:
        """Queue a packet. ``accepted`` runs when it has send-buffer space, ``deliver`` when its last byte arrives.

        ``wire_bytes``: hold the wire for the time of so many bytes; by default of the packet's own.
        """
        assert nbytes > 0, f"{self.name}: empty packet"
        self._queue.append(_Queued(nbytes, nbytes if wire_bytes is None else wire_bytes, accepted, deliver))
        self._accept()
        self._start()

    def consumed(self, nbytes: int) -> None:
        """Give back the receiver's buffer space of a packet of ``nbytes``; the sender learns it a latency later."""
        self._returning.append((int(self.env.now) + self.spec.latency, nbytes))
        self._start()

    def waiting(self) -> list[str]:
        """Say what is still queued, for a stall report."""
        if not self._queue:
            return []
        reason = "sending" if self._sending else "waiting for receiver buffer space"
        return [f"{self.name}: {len(self._queue)} packets queued, {reason}"]

    def _has_credit(self, nbytes: int) -> bool:
        """Whether the receiver has room; if not, look again when more space is known to be free.

        Credits cost an event only when a packet waits for them.
        """
        needed = min(nbytes, self.spec.receive_buffer)
        while self._returning and self._returning[0][0] <= self.env.now:
            self._credit += self._returning.popleft()[1]
        if self._credit >= needed:
            return True
        if self._returning and self._returning[0][0] != self._look_again_fs:
            self._look_again_fs = self._returning[0][0]
            call_at(self.env, self._look_again_fs, self._start, Order.CREDIT)
        return False

    def _accept(self) -> None:
        """Take packets into the send buffer in order; one larger than the whole buffer passes when it is empty."""
        while self._accepted < len(self._queue):
            packet = self._queue[self._accepted]
            if self._buffered and self._buffered + packet.nbytes > self.spec.send_buffer:
                return
            self._buffered += packet.nbytes
            self._accepted += 1
            if packet.accepted is not None:
                packet.accepted()

    def _start(self) -> None:
        if self._sending or not self._accepted:
            return
        packet = self._queue[0]
        if not self._has_credit(packet.nbytes):
            return
        self._credit -= packet.nbytes
        self._sending = True
        now = int(self.env.now)
        duration = transfer_fs(packet.wire_bytes, self.spec.bytes_per_s)
        assert now >= self._last_end, f"{self.name}: two packets on the wire at once"
        self._last_end = now + duration
        self.busy_fs += duration
        self.sent_bytes += packet.nbytes
        call_at(self.env, now + duration, self._sent)

    def _sent(self) -> None:
        packet = self._queue.popleft()
        self._accepted -= 1
        self._buffered -= packet.nbytes
        self._sending = False
        call_at(self.env, int(self.env.now) + self.spec.latency, lambda: self._deliver(packet), Order.DELIVERY)
        self._accept()
        self._start()

    def _deliver(self, packet: _Queued) -> None:
        self.delivered_bytes += packet.nbytes
        packet.deliver()
