"""How a channel's requests are queued and scheduled."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from t3sim.config import Spec
from t3sim.kernels import IntArray

SCHEDULERS = ("frfcfs-row-hit", "frfcfs", "fcfs")
ROW_HIT, FRFCFS, FCFS = range(3)

# Entries of the control array.
SCHEDULER, HIT_CAP, DRAIN_FROM, DRAIN_TO, READ_ENTRIES, WRITE_ENTRIES = range(6)

Share = Annotated[float, Field(ge=0, le=1)]


class ControlSpec(Spec):
    """Queues, watermarks and scheduler of a channel."""

    scheduler: Literal["frfcfs-row-hit", "frfcfs", "fcfs"]
    """Which request is served next: first ready (also one that keeps rows open for hits), or first come."""
    hit_cap: Annotated[int, Field(ge=0)]
    """Younger row hits served past an older request of the bank; 0: no bound."""
    read_entries: Annotated[int, Field(gt=0, le=1024)]
    """Entries of a channel's read queue."""
    write_entries: Annotated[int, Field(gt=0, le=1024)]
    """Entries of its write queue."""
    drain_from: Share
    """Writes are drained when more than this share of the write queue is full, or no reads wait."""
    drain_to: Annotated[float, Field(gt=0, le=1)]
    """Until less than this share is, and reads wait."""
    refresh: bool
    """Whether all banks are refreshed every nREFI."""

    def array(self) -> IntArray:
        """As the compiled scheduler reads it: watermarks in entries."""
        over = int(self.drain_from * self.write_entries) + 1
        under = -int(-(self.drain_to * self.write_entries) // 1)
        number = SCHEDULERS.index(self.scheduler)
        return np.array([number, self.hit_cap, over, under, self.read_entries, self.write_entries], np.int64)
