"""GEMM and collective one after the other, against measured times of torch and NCCL: what `sequential` stands for.

Where a source gives the parts, they are compared too. A row from a node that is not the shipped system's makes a
group of its own.
"""

from collections.abc import Iterator
from operator import attrgetter
from typing import Literal

from pydantic import Field, PositiveFloat

from t3sim.config import Spec, load
from t3sim.data import configs_dir
from t3sim.processes import Progress, each
from t3sim.registry import register
from t3sim.results.comparison import Comparison
from t3sim.schemes.scheme import Outcome
from t3sim.simulation import Point, load_system
from t3sim.simulation.collective import run_collective
from t3sim.units import FS_PER_US
from t3sim.validation.comparison import KIND
from t3sim.validation.measured_pairs import MeasuredPair

FORMAT = "t3sim-measured-sublayers"
SMALL_M = 1024


class MeasuredSublayer(MeasuredPair):
    """One measured pair."""

    order: Literal["gemm-reduce_scatter", "all_gather-gemm"]
    time_us: PositiveFloat
    gemm_us: PositiveFloat | None = None
    collective_us: PositiveFloat | None = None
    other_node: bool = False
    """Whether its links are not those of the system."""
    source: str


class MeasuredSublayers(Spec):
    """A table of measured pairs."""

    source: str
    sublayers: tuple[MeasuredSublayer, ...] = Field(min_length=1)


def load_measured_sublayers() -> MeasuredSublayers:
    """Load the shipped table. Raises ``InputError`` as ``t3sim.config.load`` does."""
    return load(MeasuredSublayers, "sublayers", folder=configs_dir() / "measured", format_name=FORMAT).spec


@register(KIND, "sublayers")
class MeasuredAgainstSequential:
    """Measured sublayers by GPU; bands by rows of the GEMM."""

    against = "measured"

    def compare(self, progress: Progress | None = None, jobs: int = 1) -> list[Comparison]:
        """Simulate every measured pair under ``sequential``."""
        measured = load_measured_sublayers().sublayers
        found = each(_compared, measured, jobs=jobs, progress=progress, label=attrgetter("case"))
        return [comparison for of_one in found for comparison in of_one]


def _compared(item: MeasuredSublayer) -> list[Comparison]:
    """Run the two kernels one after the other; no other scheme is simulated."""
    point = Point(system=load_system(item.system), sublayer=item.sublayer())
    point.check()
    return list(_comparisons(item, run_collective(point)))


def _comparisons(item: MeasuredSublayer, outcome: Outcome) -> Iterator[Comparison]:
    """Set the whole beside its simulated time, and the parts where they were measured."""
    figures = (
        ("sequential_us", item.time_us, outcome.total_fs),
        ("gemm_us", item.gemm_us, outcome.of("gemm")),
        ("collective_us", item.collective_us, outcome.of("reduce_scatter") + outcome.of("all_gather")),
    )
    for quantity, reference, simulated_fs in figures:
        if reference is not None:
            yield Comparison(
                group=f"{item.system}{', other node' if item.other_node else ''}",
                band=f"M < {SMALL_M}" if item.M < SMALL_M else f"M >= {SMALL_M}",
                case=item.case,
                quantity=quantity,
                reference=reference,
                simulated=simulated_fs / FS_PER_US,
                source=item.source,
            )
