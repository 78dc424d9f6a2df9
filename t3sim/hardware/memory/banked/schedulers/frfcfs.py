"""First ready, first come, first served (Rixner et al., ISCA 2000)."""

from t3sim.hardware.memory.banked.schedulers import KIND, Scheduler
from t3sim.registry import register


@register(KIND, "frfcfs")
class FrFcfs(Scheduler):
    """Serve the oldest request whose next command the timings allow now, whatever rows it closes."""

    in_order = False
    keeps_rows = False
