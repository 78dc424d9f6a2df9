"""First come, first served: what a controller without any reordering does."""

from t3sim.hardware.memory.banked.schedulers import KIND, Scheduler
from t3sim.registry import register


@register(KIND, "fcfs")
class Fcfs(Scheduler):
    """Serve strictly in order: only the oldest request of the queue may have commands."""

    in_order = True
    keeps_rows = True
