"""A GEMM and a collective that are independent, at once on one GPU, against published figures without shapes.

Each figure is set beside pairs of stated shapes, by each way of sharing the GPU that may stand for it: a range.
"""

from collections.abc import Sequence
from typing import NamedTuple

from t3sim.lowering.work import CollectiveWork, GemmWork
from t3sim.processes import Progress, each
from t3sim.registry import register
from t3sim.results.comparison import Comparison
from t3sim.schemes.gemm_runs import Beside
from t3sim.schemes.kernels import CollectivePhase, GemmPhase
from t3sim.schemes.peer_plans import by_engines
from t3sim.schemes.phases import Phase
from t3sim.schemes.scheme import Outcome
from t3sim.schemes.streams import Kernel, StreamsPhase
from t3sim.simulation import Point, load_system
from t3sim.simulation.lab import SystemLab
from t3sim.validation.comparison import KIND
from t3sim.validation.measured_contention import (
    ContendingPair,
    ContentionFigure,
    Shape,
    Way,
    load_measured_contention,
)

MIB = 2**20
LEAST_SHARE = 0.001


class Item(NamedTuple):
    """A figure, and one of the pairs and ways that it is set beside."""

    figure: ContentionFigure
    shape: Shape
    name: str
    way: Way


class AtOnce(NamedTuple):
    """Times of a GEMM and a collective alone, and of both at once, fs."""

    gemm_fs: int
    collective_fs: int
    gemm_beside_fs: int
    together_fs: int

    @property
    def slowdown(self) -> float:
        """Time of the GEMM beside the collective, over its time alone."""
        return self.gemm_beside_fs / self.gemm_fs

    @property
    def share_of_ideal(self) -> float:
        """Gain in speedup over one after the other, of that of an ideal in which both take what they take alone.

        No gain at all counts as a thousandth, since errors are told as ratios.
        """
        sequential = self.gemm_fs + self.collective_fs
        ideal = sequential / max(self.gemm_fs, self.collective_fs)
        return max(LEAST_SHARE, (sequential / self.together_fs - 1) / (ideal - 1))


@register(KIND, "contention")
class MeasuredAgainstContention:
    """Figures by system and by how kernels share a GPU, pair by pair."""

    against = "contention"

    def __init__(self) -> None:
        """Read the table."""
        self._table = load_measured_contention().spec
        self._found: list[Comparison] = []

    @property
    def notes(self) -> Sequence[str]:
        """Say which range the pairs of each figure make, once they are simulated."""
        groups = dict.fromkeys((one.group, one.quantity, one.reference) for one in self._found)
        return [_range(*group, [one.simulated for one in self._found if one.group == group[0]]) for group in groups]

    def compare(self, progress: Progress | None = None, jobs: int = 1) -> list[Comparison]:
        """Simulate every pair of every figure, in each way that may stand for it."""
        items = [
            Item(figure, shape, name, self._table.ways[name])
            for figure in self._table.figures
            for name in figure.ways
            for shape in self._table.pairs[figure.pairs]
        ]
        self._found = each(_compared, items, jobs=jobs, progress=progress, label=_label)
        return self._found


def _label(item: Item) -> str:
    return f"{item.figure.system} {item.name}"


def _range(group: str, quantity: str, measured: float, simulated: Sequence[float]) -> str:
    mean = sum(simulated) / len(simulated)
    ends = f"{min(simulated):.2f} to {max(simulated):.2f}"
    return f"{group}: {quantity} {ends}, mean {mean:.2f}, of {len(simulated)} pairs; measured {measured:g}"


def _compared(item: Item) -> Comparison:
    figure, shape = item.figure, item.shape
    times = at_once(figure, shape, item.way)
    return Comparison(
        group=f"{figure.system}, {figure.what}, {item.name}",
        band="all",
        case=f"{shape.M} x {shape.N} x {shape.K_local} {shape.dtype} beside {shape.gathered / MIB:g} MiB gathered",
        quantity=figure.quantity,
        reference=figure.measured,
        simulated=times.slowdown if figure.quantity == "slowdown" else times.share_of_ideal,
        source=figure.source,
    )


def at_once(figure: ContentionFigure, shape: Shape, way: Way) -> AtOnce:
    """Run a pair alone and at once, the collective's kernel on as many CUs as the figure says."""
    pair = ContendingPair(system=figure.system, gpus=figure.gpus, order="independent", **shape.model_dump())
    settings = {"software.overlap_cus": figure.cus, "compute.collective_cus": figure.cus, **way.settings}
    system = load_system(figure.system, [f"{key}={value}" for key, value in settings.items()])
    point = Point(system=system, sublayer=pair.sublayer())
    point.check()
    lab = SystemLab(system.spec, figure.gpus)
    gemm, gather = point.works
    assert isinstance(gemm, GemmWork)
    assert isinstance(gather, CollectiveWork)
    together = kernels_at_once(lab, gemm, gather, copied=way.by_engines)
    return AtOnce(
        gemm_fs=lab.alone(GemmPhase(gemm)).total_fs,
        collective_fs=lab.alone(CollectivePhase(gather)).total_fs,
        gemm_beside_fs=together.of("gemm"),
        together_fs=together.total_fs,
    )


def kernels_at_once(lab: SystemLab, gemm: GemmWork, gather: CollectiveWork, *, copied: bool) -> Outcome:
    """Run both at once, as the system says that kernels share CUs and LLC; ``copied``: by copy engines, on no CUs."""
    phases = _phases(lab, gemm, gather, copied=copied)
    return lab.run([StreamsPhase(tuple(map(Kernel, phases)), gemm_alone=GemmPhase(gemm))], "default")


def _phases(lab: SystemLab, gemm: GemmWork, gather: CollectiveWork, *, copied: bool) -> tuple[Phase, Phase]:
    sharing = lab.sharing
    if copied:
        return GemmPhase(gemm), CollectivePhase(by_engines(gather, lab.facts), by_engines=True)
    if sharing.gemm_first is None:
        beside = Beside(priority=0, is_displaced=True) if sharing.displaces else None
        return GemmPhase(gemm, sharing.gemm_cus, beside=beside), CollectivePhase(gather, cus=sharing.collective_cus)
    first, second = (0, 1) if sharing.gemm_first else (1, 0)
    beside = Beside(priority=first, is_displaced=sharing.displaces)
    collective = CollectivePhase(gather, cus=sharing.collective_cus, beside=Beside(priority=second))
    return GemmPhase(gemm, beside=beside), collective
