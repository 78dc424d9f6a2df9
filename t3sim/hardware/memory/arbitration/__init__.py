"""Arbitration policies: which input stream may put its next request into the DRAM queue.

A policy is a frozen spec with a pure ``pick``. It sees only a ``QueueView``, whose values are few, so the controller
tabulates ``pick`` once and the compiled channel model looks decisions up: a new policy is one plain Python file
in this folder, found by its registration.
"""

import importlib
import pkgutil
from abc import abstractmethod
from functools import lru_cache
from itertools import product
from typing import ClassVar, NamedTuple

import numpy as np

from t3sim.compiled import IntArray
from t3sim.config import Spec
from t3sim.errors import SimulationError
from t3sim.hardware.memory.access import Stream

KIND = "arbitration"
HOLD = -1
_STREAMS = tuple(Stream)


class QueueView(NamedTuple):
    """What a policy may look at when the DRAM queue has room for one more request."""

    compute_waiting: bool
    communication_waiting: bool
    occupancy: int
    """Entries in the DRAM queue now.

    With a read and a write queue those of both; what waits before them, as writes that are held there do, and a request
    that has left its queue as a row was opened for it, do not count.
    """
    last: Stream
    """The stream whose request was admitted last."""
    passed_over: int
    """Compute requests admitted in a row while communication waited; saturates at the policy's ``patience``."""

    def waiting(self, stream: Stream) -> bool:
        """Whether ``stream`` has a request to offer."""
        return self.compute_waiting if stream is Stream.COMPUTE else self.communication_waiting


class ArbitrationPolicy(Spec):
    """Base of the policies.

    ``pick`` must return a stream that waits, and never ``None`` into an empty queue, or nothing would ever move:
    ``decision_table`` refuses a policy that does.
    """

    patience: ClassVar[int] = 0
    """How far ``QueueView.passed_over`` counts; a policy that bounds a wait overrides it."""

    @abstractmethod
    def pick(self, view: QueueView) -> Stream | None:
        """Choose the stream whose oldest request enters the DRAM queue, or ``None`` to hold both."""

    def passed_over_limit(self) -> int:
        """Largest ``passed_over`` that this policy distinguishes."""
        return self.patience

    def tuned(self, intensity: float) -> "ArbitrationPolicy":
        """Return the policy to use after a kernel's first stage.

        ``intensity``: share (0..1) of the DRAM's bandwidth that the kernel's own accesses took in that stage.
        """
        del intensity
        return self


@lru_cache(maxsize=64)
def decision_table(policy: ArbitrationPolicy, queue_entries: int) -> IntArray:
    """Tabulate ``policy.pick``: shape (2, 2, queue_entries, 2, limit + 1), values ``Stream`` or ``HOLD``.

    Axes: compute waiting, communication waiting, occupancy, last stream, passed over. Raises ``SimulationError`` that
    names policy and view where ``pick`` chooses what does not wait, or holds both streams with the queue empty.
    """
    shape = queue_entries, 2, policy.passed_over_limit() + 1
    table = np.full((2, 2, *shape), HOLD, np.int64)
    for waits in ((False, True), (True, False), (True, True)):
        seen = product(range(shape[0]), Stream, range(shape[2]))
        choices = [_choice(policy, QueueView(*waits, occupancy, last, passed)) for occupancy, last, passed in seen]
        table[tuple(map(int, waits))] = np.array(choices, np.int64).reshape(shape)
    table.flags.writeable = False
    return table


def _choice(policy: ArbitrationPolicy, view: QueueView) -> int:
    """Pick; refuse a choice that would leave the compiled channel waiting for ever."""
    choice = policy.pick(view)
    if choice is None:
        if view.occupancy == 0:
            raise SimulationError(f"{policy!r} holds both streams while the DRAM queue is empty, at {view}")
        return HOLD
    if choice not in _STREAMS or not view.waiting(choice):
        raise SimulationError(f"{policy!r} picks {choice!r}, which has nothing waiting, at {view}")
    return int(choice)


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
