"""How a channel's requests are queued and scheduled."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field

from t3sim.config import Spec
from t3sim.hardware.memory.banked.schedulers import KIND as SCHEDULER
from t3sim.registry import get, names

Share = Annotated[float, Field(ge=0, le=1)]
if TYPE_CHECKING:
    SchedulerName = str
else:
    SchedulerName = Literal[names(SCHEDULER)]


class Control(NamedTuple):
    """A ``ControlSpec`` as compiled code takes it: sizes and watermarks in entries."""

    in_order: bool
    """See ``schedulers``."""
    keeps_rows: bool
    """See ``schedulers``."""
    hit_cap: int
    """Younger row hits served past an older request of the bank; 0: no bound."""
    drain_from: int
    """Writes are drained from so many on, or when no reads wait."""
    drain_to: int
    """Until there are fewer than this, and reads wait."""
    read_entries: int
    write_entries: int


class ControlSpec(Spec):
    """Queues, watermarks and scheduler of a channel."""

    scheduler: SchedulerName
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

    def control(self) -> Control:
        """Say it for compiled code."""
        scheduler: Any = get(SCHEDULER, self.scheduler)
        return Control(
            in_order=scheduler.in_order,
            keeps_rows=scheduler.keeps_rows,
            hit_cap=self.hit_cap,
            drain_from=int(self.drain_from * self.write_entries) + 1,
            drain_to=-int(-(self.drain_to * self.write_entries) // 1),
            read_entries=self.read_entries,
            write_entries=self.write_entries,
        )
