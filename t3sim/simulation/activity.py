"""What the hardware did, as results have it."""

from t3sim.results.activity import Activity, LinkActivity
from t3sim.schemes.scheme import Outcome
from t3sim.units import FS_PER_US


def activity_of(outcome: Outcome) -> Activity:
    """Give the counters of a run, or of the runs that a scheme is put together from."""
    dram: dict[str, dict[str, int]] = {}
    for cause, nbytes in outcome.served_bytes.items():
        dram.setdefault(cause.operation, {})[cause.direction.value] = nbytes
    return Activity(
        dram_bytes=dram,
        dram_commands=outcome.dram_commands,
        llc_hit_bytes=outcome.llc_asked_bytes - outcome.llc_missed_bytes,
        llc_missed_bytes=outcome.llc_missed_bytes,
        cu_busy_us={operation: busy / FS_PER_US for operation, busy in outcome.cu_busy_fs.items()},
        wire_bytes=outcome.wire_bytes,
        links={
            name: LinkActivity(sent_bytes=link.sent_bytes, busy_us=link.busy_fs / FS_PER_US)
            for name, link in outcome.links.items()
        },
    )
