"""Break-even: from how many tokens on a scheme is faster than sequential."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, pairwise
from typing import Any

from t3sim.config import Loaded
from t3sim.errors import InputError, Problem
from t3sim.processes import Progress, each
from t3sim.results import Row, RunResult
from t3sim.results.schemes import baseline
from t3sim.simulation import Point, SystemSpec, simulate_point
from t3sim.simulation.plans import facts_of
from t3sim.simulation.run import choose_gpus, choose_schemes, choose_sublayers, manifest, notes_on
from t3sim.workload.model_traces import transformer_trace
from t3sim.workload.models import ModelSpec
from t3sim.workload.operations import Sublayer

_CLOSE = 1.1
"""The search ends when the sizes on both sides of a change are within this ratio."""


@dataclass(frozen=True, kw_only=True)
class WinningSizes:
    """At which sizes one scheme wins on one sublayer. All sizes are some that were simulated."""

    sublayer: str
    scheme: str
    wins_from: int | None
    """Fewest tokens from which on it is faster than sequential, up to the largest size; ``None``: there it is not."""
    wins: tuple[tuple[int, int], ...]
    """Ranges of tokens, both ends included, over which every size that was simulated is faster than sequential."""


@dataclass(frozen=True, kw_only=True)
class BreakEven:
    """Every size that was simulated, and where each scheme starts to win."""

    result: RunResult
    thresholds: tuple[WinningSizes, ...]

    def document(self) -> dict[str, Any]:
        """Everything as plain data, as ``--format json`` prints it."""
        return {"break_even": [asdict(each) for each in self.thresholds], **self.result.document()}


def break_even(
    model: ModelSpec,
    tp: int,
    system: Loaded[SystemSpec],
    *,
    tokens: tuple[int, int],
    sublayers: Sequence[str] = (),
    schemes: Sequence[str] = (),
    gpus: str = "mirror",
    progress: Progress | None = None,
    jobs: int = 1,
) -> BreakEven:
    """Simulate a model's sublayers with more and more tokens, twice as many each time; then search between sizes.

    ``tokens``: fewest and most. ``jobs``: processes. Sizes that are too small to be cut up for ``tp`` GPUs are left
    out. Raises
    ``InputError`` when none is left, or for anything in the arguments that cannot be.
    """
    fewest, most = tokens
    if not 0 < fewest <= most:
        raise InputError(Problem(message="the fewest tokens are 1 to the most", key="--from", value=fewest))
    chosen = tuple(name for name in choose_schemes(schemes, facts_of(system.spec, tp)) if name != baseline())
    simulated = choose_gpus(gpus, tp)
    names = [part.sublayer for part in choose_sublayers(transformer_trace(model, tp, tokens=most), sublayers)]
    sweeps = [_Sweep(model, tp, name, system, simulated, chosen) for name in names]
    rungs = [(sweep, size) for sweep in sweeps for size in _ladder(fewest, most)]
    found = each(_rung, rungs, jobs=jobs, progress=progress, label=_rung_label, group=_rung_label)
    for (sweep, size), rows in zip(rungs, found, strict=True):
        sweep.learn(size, rows)
    for sweep in sweeps:
        if not sweep.known:
            message = f"no size up to this can be simulated for {sweep.name}"
            raise InputError(Problem(message=message, key="--to", value=most))
    searched = each(_searched, sweeps, jobs=jobs, progress=progress, label=_Sweep.label)
    points = [sweep.point(size) for sweep, _ in searched for size in sorted(sweep.known)]
    result = RunResult(
        tuple(row for sweep, _ in searched for size in sorted(sweep.known) for row in sweep.known[size].values()),
        manifest(points, [note for point in points for note in notes_on(point)]),
    )
    return BreakEven(result=result, thresholds=tuple(threshold for _, ranges in searched for threshold in ranges))


class _Sweep:
    """One sublayer at many sizes."""

    def __init__(
        self, model: ModelSpec, tp: int, name: str, system: Loaded[SystemSpec], simulated: str, schemes: Sequence[str]
    ) -> None:
        self.model = model
        self.tp = tp
        self.name = name
        self.system = system
        self.simulated = simulated
        self.schemes = schemes
        self.known: dict[int, dict[str, Row]] = {}
        """Rows by tokens and scheme."""

    def label(self) -> str:
        """Name it to people."""
        return f"{self.model.name} tp{self.tp} {self.name}"

    def point(self, tokens: int) -> Point:
        """Give the point of one size."""
        sublayer = _sublayer(self.model, self.tp, self.name, tokens)
        return Point(system=self.system, sublayer=sublayer, gpus=self.simulated)

    def simulate(self, tokens: int) -> list[Row]:
        """Simulate one size; no rows for one that is too small to be cut up."""
        try:
            return simulate_point(self.point(tokens), self.schemes)
        except InputError:  # too few tiles for so many GPUs
            return []

    def learn(self, tokens: int, rows: Sequence[Row]) -> None:
        """Note the rows of one size, if it has any."""
        if rows:
            self.known[tokens] = {row["scheme"]: row for row in rows}

    def threshold(self, scheme: str) -> WinningSizes:
        """Find where ``scheme`` wins; between a size where it does and one where it does not, search on."""
        self._refine(scheme)
        ranges = []
        for won, sizes in groupby(sorted(self.known), key=lambda size: self._wins(size, scheme)):
            if won:
                won_at = list(sizes)
                ranges.append((won_at[0], won_at[-1]))
        wins_from = ranges[-1][0] if ranges and ranges[-1][1] == max(self.known) else None
        return WinningSizes(sublayer=self.name, scheme=scheme, wins_from=wins_from, wins=tuple(ranges))

    def _refine(self, scheme: str) -> None:
        """Halve the gap at every change between winning and not, until its ends are close."""
        open_ = True
        while open_:
            open_ = False
            for low, high in pairwise(sorted(self.known)):
                between = (low + high) // 2
                if self._wins(low, scheme) != self._wins(high, scheme) and high > low * _CLOSE and between > low:
                    self.learn(between, self.simulate(between))
                    open_ |= between in self.known

    def _wins(self, tokens: int, scheme: str) -> bool:
        row = self.known[tokens][scheme]
        return row["status"] == "ok" and float(row["speedup"]) > 1


def _rung(rung: tuple[_Sweep, int]) -> list[Row]:
    sweep, tokens = rung
    return sweep.simulate(tokens)


def _rung_label(rung: tuple[_Sweep, int]) -> str:
    return rung[0].label()


def _searched(sweep: _Sweep) -> tuple[_Sweep, list[WinningSizes]]:
    """Find where the schemes win; the sweep knows more sizes then."""
    return sweep, [sweep.threshold(scheme) for scheme in sweep.schemes]


def _sublayer(model: ModelSpec, tp: int, name: str, tokens: int) -> Sublayer:
    (sublayer,) = choose_sublayers(transformer_trace(model, tp, tokens=tokens), [name])
    return sublayer


def _ladder(fewest: int, most: int) -> Iterator[int]:
    """Sizes from ``fewest``, twice as many each time, and ``most``."""
    size = fewest
    while size < most:
        yield size
        size *= 2
    yield most
