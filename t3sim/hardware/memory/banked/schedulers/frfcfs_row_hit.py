"""FR-FCFS that lets older row hits finish, as Ramulator 2.1's FRFCFSRowHit does."""

from t3sim.hardware.memory.banked.schedulers import KIND, Scheduler
from t3sim.registry import register


@register(KIND, "frfcfs-row-hit")
class FrFcfsRowHit(Scheduler):
    """Serve the oldest ready request, but keep a row open while an older request still hits it."""

    in_order = False
    keeps_rows = True
