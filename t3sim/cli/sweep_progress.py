"""Progress of a sweep: what there is to do, how long it will take, how far it is."""

import time

from t3sim.cli.output import LINE_EVERY_S, QUIET_S, LiveReport, announce_compilation
from t3sim.sweeps.runner import Tally

_MINUTE_S = 60
_HOUR_S = 3600


class SweepProgress(LiveReport):
    """Progress of a sweep on stderr: what there is to do, then a bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self._estimated = False

    def announce(self, tally: Tally) -> None:
        """Say what there is to do, before anything runs."""
        finished = f", {tally.finished_before} finished before" if tally.finished_before else ""
        self._print(f"{tally.combinations} combinations, {tally.points} points{finished}, {tally.pending} to run")
        if tally.pending:
            announce_compilation(self._console)

    def report(self, tally: Tally) -> None:
        """Show how far it is."""
        now = time.monotonic()
        if not tally.done:
            self._started = self._last_line = now
            return
        rate = tally.done / max(now - self._started, 1e-9)
        if not self._estimated and now - self._started >= QUIET_S and tally.left:
            self._estimated = True
            self._print(f"estimate from the first points: {_span(tally.left / rate)} left")
        failed = f", {tally.failed} failed" if tally.failed else ""
        if self._console.is_terminal:
            self._advance(tally.done, tally.pending, f"{rate:.3g} points/s{failed}")
        elif now - self._last_line >= LINE_EVERY_S and tally.left:
            self._last_line = now
            done = f"{tally.done}/{tally.pending} points, {rate:.3g} points/s"
            self._print(f"{done}, about {_span(tally.left / rate)} left{failed}")

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, highlight=False)


def _span(seconds: float) -> str:
    """Write a duration as people say it."""
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    return f"{seconds / _HOUR_S:.1f} h"
