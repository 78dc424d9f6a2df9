"""Collectives alone, as libraries run them, against measured times.

Each is simulated on the shipped system of its GPUs, with the kernels of the libraries that were measured. What runs,
and by which algorithm, is the libraries' own choice (``t3sim.lowering.protocol``) unless the table names one.
"""

import csv
from functools import cache
from operator import attrgetter
from typing import Literal

from pydantic import PositiveFloat, PositiveInt, ValidationError, field_validator

from t3sim.config import Loaded, PositiveBytes, Spec
from t3sim.data import configs_dir
from t3sim.errors import InputError, Problem
from t3sim.processes import Progress, each
from t3sim.registry import register
from t3sim.results.comparison import Comparison
from t3sim.simulation import SystemSpec, load_system
from t3sim.simulation.collective import collective_point, run_collective
from t3sim.units import FS_PER_US
from t3sim.validation.comparison import KIND

_KIB, _MIB = 2**10, 2**20
BANDS = (
    (512 * _KIB, "16-512 KiB"),
    (4 * _MIB, "1-4 MiB"),
    (64 * _MIB, "8-64 MiB"),
    (2**31, "128 MiB-2 GiB"),
)
"""Upper end and name of each size band."""


class MeasuredCollective(Spec):
    """One measured time: a row of ``configs/measured/collectives.csv``."""

    group: str
    """Whose kernels they are, and what they do."""
    system: str
    """Name of the shipped system that describes the GPUs."""
    gpus: PositiveInt
    collective: Literal["reduce_scatter", "all_gather", "all_reduce", "all_to_all"]
    bytes: PositiveBytes
    """Of the whole buffer."""
    time_us: PositiveFloat
    """As a replayed CUDA graph or events on the GPU show it: no time of the host's is in it."""
    libraries: tuple[str, ...]
    """Libraries that chose."""
    algorithm: str
    """The algorithm that was asked for; empty: the libraries' choice."""
    use: Literal["fit", "holdout"]
    """Whether numbers of the system are fitted to it or read off it."""
    source: str

    @field_validator("bytes")
    @classmethod
    def _in_a_band(cls, value: int) -> int:
        if value > BANDS[-1][0]:
            raise ValueError(f"sizes end at {BANDS[-1][1]}")
        return value

    @property
    def case(self) -> str:
        """Name it for a reader."""
        size = f"{self.bytes // _MIB} MiB" if self.bytes >= _MIB else f"{self.bytes // _KIB} KiB"
        return f"{self.collective} {size}, {self.system}, n={self.gpus}"

    @property
    def settings(self) -> tuple[str, ...]:
        """Write what was run as overrides of the system."""
        libraries = f"software.libraries=[{', '.join(self.libraries)}]"
        return (libraries, f"algorithms={{{self.collective}: {self.algorithm}}}") if self.algorithm else (libraries,)


@cache
def load_measured_collectives() -> tuple[MeasuredCollective, ...]:
    """Load the shipped table. Raises ``InputError`` with the line of the first row that cannot be read."""
    path = configs_dir() / "measured" / "collectives.csv"
    found = []
    with path.open(encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines), start=2):
            values = {**row, "libraries": tuple(row["libraries"].split())}
            values |= {name: int(row[name]) for name in ("gpus", "bytes")} | {"time_us": float(row["time_us"])}
            try:
                found.append(MeasuredCollective.model_validate(values))
            except ValidationError as error:
                message = str(error.errors()[0]["msg"])
                raise InputError(Problem(message=message, file=str(path), line=number)) from None
    return tuple(found)


def simulated_us(system: Loaded[SystemSpec], gpus: int, collective: str, nbytes: int) -> float:
    """Time of one collective alone, us."""
    return run_collective(collective_point(system, collective, gpus, nbytes)).total_fs / FS_PER_US


def simulated(item: MeasuredCollective, settings: tuple[str, ...] = ()) -> float:
    """Time of what was measured, us; ``settings``: further overrides of its system."""
    return simulated_us(_system(item.system, item.settings + settings), item.gpus, item.collective, item.bytes)


@cache
def _system(name: str, settings: tuple[str, ...]) -> Loaded[SystemSpec]:
    return load_system(name, settings)


@register(KIND, "collectives")
class MeasuredCollectives:
    """Collectives by system, library, number of GPUs and size."""

    against = "measured"

    def compare(self, progress: Progress | None = None, jobs: int = 1) -> list[Comparison]:
        """Simulate every measured collective."""
        table = load_measured_collectives()
        return each(_compared, table, jobs=jobs, progress=progress, label=attrgetter("case"))


def _compared(item: MeasuredCollective) -> Comparison:
    return Comparison(
        group=f"{item.system}, {item.group}",
        band=next(name for most, name in BANDS if item.bytes <= most),
        case=item.case,
        quantity="time_us",
        reference=item.time_us,
        simulated=simulated(item),
        source=item.source,
    )
