"""Where something is random: the system under each of its seeds, and what the runs of all of them say together."""

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

from t3sim.execution.data import DataReport
from t3sim.results import Row
from t3sim.schemes.scheme import Outcome
from t3sim.simulation.system import SystemSpec
from t3sim.units import FS_PER_US, ceil_div

_MEDIAN = 50


def by_seed(system: SystemSpec) -> list[SystemSpec]:
    """Give the system under each of its seeds; itself where they could change nothing."""
    conditions = system.conditions
    if not conditions.is_random:
        return [system]
    seeds = range(conditions.seed, conditions.seed + conditions.seeds)
    changed = [conditions.model_copy(update={"seed": seed}) for seed in seeds]
    return [system.model_copy(update={"conditions": each}) for each in changed]


@dataclass(frozen=True)
class SeedRuns:
    """Runs of the same under every seed."""

    runs: tuple[Outcome, ...]
    """At least one, the shortest first."""

    @classmethod
    def of(cls, runs: Iterable[Outcome]) -> "SeedRuns":
        """Collect runs, in any order."""
        return cls(tuple(sorted(runs, key=attrgetter("total_fs"))))

    @property
    def median(self) -> Outcome:
        """The run of median time, which a row is of."""
        return self._at(_MEDIAN)

    @property
    def data(self) -> DataReport | None:
        """What data mode found, of the run with most errors: one that moves wrong data is wrong, median or not."""
        found = [run.data for run in self.runs if run.data is not None]
        return max(found, key=attrgetter("errors"), default=None)

    def spread(self, column: str) -> Row:
        """Say how far the times lie apart, us: the smallest, the median and the one that 99% of them stay within."""
        found = {"min": self.runs[0], "p50": self.median, "p99": self._at(99)}
        return {f"{column}_{name}": run.total_fs / FS_PER_US for name, run in found.items()}

    def _at(self, percent: int) -> Outcome:
        """Give the shortest run that ``percent`` of all do not exceed."""
        return self.runs[ceil_div(len(self.runs) * percent, 100) - 1]
