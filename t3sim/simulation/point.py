"""One point: a sublayer on a system, under one or more schemes, as rows of the results table."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

from t3sim.collectives.planning import NetworkFacts
from t3sim.config import Loaded
from t3sim.errors import DataError, InputError, SimulationError
from t3sim.execution.data import DataMode
from t3sim.hardware.machine import Machine
from t3sim.hardware.memory.access import Cause, Direction
from t3sim.lowering.work import Work
from t3sim.registry import get, names
from t3sim.results import USUAL_OPERATIONS, Row, complete, short_name
from t3sim.results.activity import Activity
from t3sim.results.schemes import HARDWARE, SOFTWARE, USUAL, scheme_info
from t3sim.schemes.phases import Phase
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.schemes.scheme import Outcome, Scheme
from t3sim.schemes.sequential import kernel_phase
from t3sim.schemes.t3 import fused_phases
from t3sim.simulation.activity import activity_of
from t3sim.simulation.bandwidth import bandwidths
from t3sim.simulation.fit import misfits
from t3sim.simulation.lab import ALL, MIRROR, ONE, SystemLab
from t3sim.simulation.loss_buckets import losses_of
from t3sim.simulation.mirror import mirror_shape, size_difference, size_spread
from t3sim.simulation.plans import wiring_of, works_of
from t3sim.simulation.seeds import SeedRuns, by_seed
from t3sim.simulation.system import SystemSpec
from t3sim.simulation.tuning import tuned_once
from t3sim.units import FS_PER_US
from t3sim.version import __version__
from t3sim.workload.operations import Gemm, Sublayer

BASELINE = "sequential"
IDEAL = "ideal-overlap"
_NO_TRAFFIC = {Cause(operation, direction): 0 for operation in USUAL_OPERATIONS for direction in Direction}
_LEAST_GAIN = 0.001  # a smaller gain of the ideal is none, and no share of it means anything


def scheme_names() -> tuple[str, ...]:
    """Names of all registered schemes, in the order in which tables show them."""
    return tuple(sorted(names(SCHEME), key=lambda name: (get(SCHEME, name).order, name)))


def usual_schemes() -> tuple[str, ...]:
    """Names of the schemes that are run where none is named."""
    return tuple(name for name in scheme_names() if scheme_info(name).role in USUAL)


def schemes_of_any_network() -> tuple[str, ...]:
    """Names of the usual schemes that need nothing special of the network, in the order in which tables show them."""
    plain = NetworkFacts(ranks=2, shape=(2,))
    return tuple(name for name in usual_schemes() if not get(SCHEME, name)().misfit(plain))


@dataclass(frozen=True, kw_only=True)
class Point:
    """What one simulation answers for: a sublayer, a system, and the GPUs to simulate."""

    system: Loaded[SystemSpec]
    sublayer: Sublayer
    gpus: str = MIRROR
    """``mirror``: one that stands for all, where it is each of them; ``one``: also where it is nearly; ``all``."""
    data: DataMode | None = None
    """Whether memories hold numbers, which are compared with what they have to be; all GPUs are simulated then."""
    tune: bool = False
    """Whether schemes that have something to tune run with what makes them fastest."""
    losses: tuple[str, ...] = ()
    """Schemes, of which the fastest of software and the fastest of T3's tell where their time went."""

    @cached_property
    def works(self) -> tuple[Work, ...]:
        """The operations as tiled and chunked work; ``InputError`` when they do not fit the system."""
        return works_of(self.system.spec, self.sublayer)

    @cached_property
    def why_all(self) -> str | None:
        """Why all GPUs are simulated where one was to stand for all; ``None``: it does, or all were asked for."""
        if self.gpus == ALL:
            return None
        return self._why_not_one([kernel_phase(work) for work in self.works])

    @cached_property
    def why_all_when_fused(self) -> str | None:
        """The same of fused GEMMs, whose output travels tile by tile."""
        if self.gpus == ALL:
            return None
        return self._why_not_one(self._fused)

    @cached_property
    def approximation(self) -> str:
        """In what GPUs differ that one stands for; empty where it is each of them, or all are simulated."""
        if self.gpus != ONE or self.why_all_when_fused is not None:
            return ""
        difference, spread = size_difference(self._fused), size_spread(self._fused)
        return f"{difference}, by {spread:.2%}" if spread else difference

    @property
    def _fused(self) -> list[Phase]:
        return fused_phases(self.works, self.system.spec.track_trigger)

    def _why_not_one(self, phases: Sequence[Phase]) -> str | None:
        system = self.system.spec
        shape = mirror_shape(system, wiring_of(system, self.sublayer.tp), phases, approximate=self.gpus == ONE)
        return shape if isinstance(shape, str) else None

    @property
    def notes(self) -> Iterator[str]:
        """Say of GPUs and network what was not asked for in so many words."""
        topology, gpus = self.system.spec.topology, self.sublayer.tp
        if self.data is not None:
            yield f"memories hold numbers (--data), for which all {gpus} GPUs are simulated"
        elif self.why_all is not None:
            yield f"all {gpus} GPUs are simulated, since {self.why_all}"
        elif self.why_all_when_fused is not None:
            yield f"all {gpus} GPUs are simulated where GEMMs are fused, since {self.why_all_when_fused}"
        elif self.approximation:
            yield f"one GPU stands for {gpus}, which is an approximation, since {self.approximation}"
        if gpus > 1 and getattr(topology, "shape", ()) is None:
            shape = " x ".join(map(str, wiring_of(self.system.spec, gpus).shape))
            yield f"{gpus} GPUs are wired as a {topology.kind} of {shape}; topology.shape says another"

    def check(self) -> None:
        """Raise ``InputError`` with everything for which the point cannot be simulated."""
        system, sublayer = self.system.spec, self.sublayer
        if problems := [problem for op in sublayer.operations for problem in misfits(system, op, sublayer)]:
            raise InputError(*problems)

    @property
    def point_id(self) -> str:
        """12 hex digits over everything that can change the result."""
        operations = [op.model_dump(mode="json") for op in self.sublayer.operations]
        gpus = self.gpus if self.data is None else ALL
        key = [__version__, self.system.config_hash, self.sublayer.tp, gpus, operations, *(["tuned"] * self.tune)]
        return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]


Observe = Callable[[str, Machine], None]
"""Called with every machine before it runs, and with what it is to run: model, TP degree, sublayer, scheme."""


class Measured(NamedTuple):
    """What the simulation of a point under one scheme gives."""

    row: Row
    activity: Activity | None
    """What the hardware did; ``None`` where the run failed."""


def simulate_point(point: Point, schemes: Sequence[str], observe: Observe | None = None) -> list[Row]:
    """Simulate ``point`` under ``schemes`` as ``measure`` does; rows in their order."""
    return [found.row for found in measure(point, schemes, observe)]


def measure(point: Point, schemes: Sequence[str], observe: Observe | None = None) -> list[Measured]:
    """Simulate ``point`` under ``schemes``; what was measured, in their order.

    Where something is random, every seed is run, and a row is of the run of median time. ``observe`` sees the machines
    of ``schemes`` alone, of the first seed; what two of them share runs, and is seen, once.

    The baseline and the ideal are simulated too, for the columns that compare with them. A scheme whose run fails
    its own checks gives a row of status ``failed``. Raises ``InputError`` when operations or conditions
    do not fit the system, ``SimulationError`` when the parts of a time, where asked for, do not add up to it.
    """
    system, sublayer = point.system.spec, point.sublayer
    point.check()
    labs = [SystemLab(each, sublayer.tp, point.gpus, data=point.data) for each in by_seed(system)]
    runs: dict[str, SeedRuns] = {}
    median_labs: dict[str, SystemLab] = {}
    errors: dict[str, SimulationError] = {}
    walls: dict[str, float] = {}
    tunings: dict[str, Row] = {}
    for name in dict.fromkeys((BASELINE, IDEAL, *schemes)):
        started = time.perf_counter()
        scheme: Scheme = get(SCHEME, name)()
        of_scheme = labs
        if point.tune and scheme.tunes:
            of_scheme, tunings[name] = _tuned(point, scheme)
        watched = observe is not None and name in schemes
        of_scheme[0].observe = partial(observe, f"{sublayer.label} {name}") if observe and watched else None
        try:
            ran = [scheme.simulate(lab, point.works) for lab in of_scheme]
            runs[name] = SeedRuns.of(ran)
            median_labs[name] = next(lab for lab, run in zip(of_scheme, ran, strict=True) if run is runs[name].median)
        except SimulationError as error:
            errors[name] = error
        walls[name] = time.perf_counter() - started
    medians = {name: found.median for name, found in runs.items()}
    spent = {name: _spent(point, name, median_labs[name]) for name in _fastest(medians, point.losses)}
    measured = []
    for name in schemes:
        row: Row = {**identity(point), "scheme": name, "status": "ok", "wall_s": walls[name], "seeds": len(labs)}
        row |= tunings.get(name, {})
        if name in runs:
            row |= _measured(point, medians[name], medians.get(BASELINE), medians.get(IDEAL))
            row |= runs[name].spread("total_us") | spent.get(name, {})
            if (data := runs[name].data) is not None:
                row |= {"data_errors": data.errors, "data_spread": data.spread}
                if data.errors:
                    errors[name] = DataError(str(data))
        # Without a baseline no row can say what it gains: what was measured stands, but the row has failed.
        if (failure := errors.get(name, errors.get(BASELINE))) is not None:
            row |= {"status": "failed", "error_type": type(failure).__name__, "error_message": str(failure)}
        activity = activity_of(medians[name]) if name in medians else None
        measured.append(Measured(complete(row), activity))
    return measured


def _fastest(runs: Mapping[str, Outcome], schemes: Sequence[str]) -> list[str]:
    """Name the fastest of software and the fastest that needs T3's hardware, of those of ``schemes`` that have run."""
    ran = [name for name in schemes if name in runs]
    sides = ([name for name in ran if scheme_info(name).role in roles] for roles in (SOFTWARE, HARDWARE))
    return [min(side, key=lambda name: runs[name].total_fs) for side in sides if side]


def _spent(point: Point, name: str, lab: SystemLab) -> Row:
    """Run a scheme again, recorded, for the columns that say where its time went."""
    (found,) = losses_of(lab, point.works, [name])
    return found.spent()


def _tuned(point: Point, scheme: Scheme) -> tuple[list[SystemLab], Row]:
    """Give labs of what makes ``scheme`` fastest, and the columns that say what that is."""

    def time_fs(system: SystemSpec) -> int:
        return scheme.simulate(SystemLab(system, point.sublayer.tp, point.gpus), point.works).total_fs

    best = tuned_once(point.system.spec, scheme, time_fs, point.sublayer, point.gpus)
    columns: Row = {"tuned": " ".join(f"{key}={value}" for key, value in best.setting.items())}
    if best.own_fs is not None:
        columns["untuned_us"] = best.own_fs / FS_PER_US
    labs = [SystemLab(each, point.sublayer.tp, point.gpus, data=point.data) for each in by_seed(best.system)]
    return labs, columns


def identity(point: Point) -> Row:
    """Return the columns that say which point a row is of."""
    sublayer = point.sublayer
    gemm = next((op for op in sublayer.operations if isinstance(op, Gemm)), None)
    return {
        "point_id": point.point_id,
        "system": point.system.spec.name,
        "model": sublayer.model,
        "phase": sublayer.phase,
        "sublayer": sublayer.sublayer,
        "tp": sublayer.tp,
        "num_gpus": sublayer.tp,
        "topology": point.system.spec.topology.kind,
        "M": gemm and gemm.M,
        "N": gemm and gemm.N,
        "K_local": gemm and gemm.K_local,
        "dtype": sublayer.operations[0].dtype,
        "version": __version__,
        "config_hash": point.system.config_hash,
        "seed": point.system.spec.conditions.seed,
    }


def _measured(point: Point, outcome: Outcome, baseline: Outcome | None, ideal: Outcome | None) -> Row:
    dram_total = sum(outcome.served_bytes.values())
    collectives_fs = sum(time_fs for name, time_fs in outcome.operation_fs.items() if name != "gemm")
    times = {**dict.fromkeys(USUAL_OPERATIONS, 0), **outcome.operation_fs}
    row: Row = {
        **{f"{short_name(name)}_us": time_fs / FS_PER_US for name, time_fs in times.items()},
        "total_us": outcome.total_fs / FS_PER_US,
        "exposed_comm_us": (outcome.total_fs - outcome.of("gemm")) / FS_PER_US,
        **{
            f"dram_{short_name(cause.operation)}_{cause.direction}_bytes": nbytes
            for cause, nbytes in {**_NO_TRAFFIC, **outcome.served_bytes}.items()
        },
        "dram_total_bytes": dram_total,
        **bandwidths(point.sublayer.operations, point.sublayer.tp, collectives_fs),
        "link_bytes": outcome.link_bytes,
        "dram_util": outcome.dram_busy_fs / outcome.total_fs,
        "link_util": outcome.link_busy_fs / outcome.total_fs,
        "wire_bytes_max": outcome.wire_bytes_max,
        "gpus_simulated": outcome.gpus_simulated,
        "tracker_peak_entries": outcome.tracker_peak_entries,
        **activity_of(outcome).columns(),
    }
    if baseline is not None:
        row["speedup"] = baseline.total_fs / outcome.total_fs
        row["dram_reduction"] = 1 - dram_total / sum(baseline.served_bytes.values())
    if baseline is not None and ideal is not None:
        gain = baseline.total_fs / ideal.total_fs - 1
        if gain >= _LEAST_GAIN:
            row["pct_of_ideal"] = 100 * (row["speedup"] - 1) / gain
    return row
