"""Collectives alone, as NCCL runs them, against measured times.

Each is simulated on the shipped system of its GPU as a mirrored ring. Where the measured library reduced inside the
switch there is no ring to compare with: these sizes make a group of their own, so that they are seen and not counted.
"""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from t3sim.config import Loaded, PositiveBytes, Spec, load
from t3sim.data import configs_dir
from t3sim.registry import register
from t3sim.results.comparison import Comparison
from t3sim.simulation import SystemSpec, load_system
from t3sim.simulation.collective import collective_point, run_collective
from t3sim.simulation.run import Progress
from t3sim.units import FS_PER_US
from t3sim.validation.comparison import KIND

FORMAT = "t3sim-measured-collectives"
_MIB = 2**20
BANDS = ((4 * _MIB, "1-4 MiB"), (64 * _MIB, "8-64 MiB"), (512 * _MIB, "128-512 MiB"))
"""Upper end and name of each size band."""


class Curve(Spec):
    """Times of one collective on one kind of node, by size."""

    system: str
    """Name of the shipped system that describes the GPU."""
    gpus: PositiveInt
    collective: Literal["reduce_scatter", "all_gather", "all_reduce"]
    source: str
    times_us: tuple[PositiveFloat, ...]
    in_switch_from: PositiveBytes | None = None
    """Size from which on the switch reduces; none: always a ring."""


class MeasuredCollectives(Spec):
    """A table of measured times."""

    source: str
    sources: dict[str, str]
    """What each curve's ``source`` stands for."""
    bytes: tuple[PositiveBytes, ...] = Field(min_length=1)
    """Sizes of the whole buffer, of all curves."""
    curves: tuple[Curve, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _tables_are_full(self) -> "MeasuredCollectives":
        for curve in self.curves:
            if len(curve.times_us) != len(self.bytes):
                raise ValueError(f"a curve has {len(curve.times_us)} times for {len(self.bytes)} sizes")
            if curve.source not in self.sources:
                raise ValueError(f"{curve.source!r} is not among the sources: {', '.join(self.sources)}")
        if max(self.bytes) > BANDS[-1][0]:
            raise ValueError(f"sizes end at {BANDS[-1][1]}")
        return self


def load_measured() -> MeasuredCollectives:
    """Load the shipped table. Raises ``InputError`` as ``t3sim.config.load`` does."""
    return load(MeasuredCollectives, "collectives", folder=configs_dir() / "measured", format_name=FORMAT).spec


def simulated_us(system: Loaded[SystemSpec], gpus: int, collective: str, nbytes: int) -> float:
    """Time of one collective alone on a mirrored ring, us."""
    return run_collective(collective_point(system, collective, gpus, nbytes)).total_fs / FS_PER_US


@register(KIND, "collectives")
class MeasuredAgainstNccl:
    """NCCL's collectives by GPU, number of GPUs and size."""

    against = "measured"

    def compare(self, progress: Progress | None = None) -> list[Comparison]:
        """Simulate every measured collective."""
        table = load_measured()
        systems = {name: load_system(name) for name in dict.fromkeys(curve.system for curve in table.curves)}
        cases = [
            (curve, nbytes, time_us)
            for curve in table.curves
            for nbytes, time_us in zip(table.bytes, curve.times_us, strict=True)
        ]
        done: list[Comparison] = []
        for curve, nbytes, time_us in cases:
            case = f"{curve.collective} {nbytes // _MIB} MiB, {curve.system}, n={curve.gpus}"
            if progress is not None:
                progress(len(done), len(cases), case)
            in_switch = curve.in_switch_from is not None and nbytes >= curve.in_switch_from
            done.append(
                Comparison(
                    group=f"{curve.system} n={curve.gpus}{', in the switch' if in_switch else ''}",
                    band=next(name for most, name in BANDS if nbytes <= most),
                    case=case,
                    quantity="time_us",
                    reference=time_us,
                    simulated=simulated_us(systems[curve.system], curve.gpus, curve.collective, nbytes),
                    source=table.sources[curve.source],
                )
            )
        return done
