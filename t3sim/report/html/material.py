"""What a folder of results holds besides its table: the files that commands write there, each optional."""

import gzip
import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from t3sim.errors import InputError, Problem
from t3sim.results.explanation import WhatIf
from t3sim.results.published import EvaluatedTarget
from t3sim.units import FS_PER_US

if TYPE_CHECKING:
    import pandas as pd

EXPLANATION: Final = "explain.json"
TIMELINES: Final = ("timeline.json.gz", "timeline.json")
RUN: Final = "run.json"
SWEEP: Final = "sweep.yaml"
SYSTEM: Final = "system.yaml"
_NEEDED: Final = ("status", "system", "model", "tp", "phase", "sublayer", "scheme", "total_us", "speedup")


class Manifest(BaseModel):
    """What made the results, as far as it is recorded."""

    command: str = ""
    notes: list[str] = []


class Run(BaseModel):
    """``run.json`` of a run, a reproduction or a sweep; every part may be missing."""

    manifest: Manifest = Manifest()
    targets: list[EvaluatedTarget] = []
    source: str = ""
    """Publication of the targets."""
    sweep: str = ""


class Explained(BaseModel, extra="allow"):
    """One sublayer under one scheme; the buckets are extra fields, ``NAME_fs``."""

    model: str
    tp: int
    phase: str
    sublayer: str
    scheme: str
    total_fs: int
    what_if: list[WhatIf] = []

    def bucket_us(self, name: str) -> float:
        """Length of a loss bucket, us; 0 where there is none of it."""
        length = (self.model_extra or {}).get(f"{name}_fs", 0)
        return float(length) / FS_PER_US


class ExplanationFile(BaseModel):
    """``explain.json``: loss buckets, as ``t3sim explain --out`` writes them."""

    rows: list[Explained]
    manifest: Manifest = Manifest()


class TraceEvent(BaseModel):
    """One event of the Trace Event Format; times in us."""

    ph: str
    pid: int
    tid: int = 0
    name: str
    ts: float = 0
    dur: float = 0
    args: dict[str, Any] = {}


class TimelineFile(BaseModel):
    """A timeline file, as ``t3sim run --timeline`` writes it."""

    traceEvents: list[TraceEvent]  # noqa: N815 - the format's name


@dataclass(frozen=True, kw_only=True)
class Material:
    """Everything a report is made of."""

    place: str
    """The folder or file of the results, as a shell reads it: commands shown in the report take it."""
    frame: "pd.DataFrame"
    run: Run = field(default_factory=Run)
    is_sweep: bool = False
    """Whether the folder is one that ``t3sim sweep`` goes on with."""
    explanation: ExplanationFile | None = None
    timeline: TimelineFile | None = None
    systems: tuple[dict[str, Any], ...] = ()
    """Resolved configurations, values with sources, of the systems that the rows name."""
    systems_as_run: bool = True
    """Whether the rows were run with exactly these values."""

    @property
    def command(self) -> str:
        """The command that made the results; empty where nothing says."""
        if self.is_sweep:
            return f"t3sim sweep {self.place}/{SWEEP} --out {self.place}"
        return self.run.manifest.command


def read_material(path: Path, frame: "pd.DataFrame") -> Material:
    """Read what stands beside the table ``frame`` in the folder ``path``; beside a single file nothing counts.

    Raises ``InputError`` for a table without the columns that a report needs, and for a file that is there and is not
    what its name says.
    """
    if missing := [name for name in _NEEDED if name not in frame.columns]:
        raise InputError(Problem(message=f"is no results table: it lacks {', '.join(missing)}", file=str(path)))
    if not path.is_dir():
        return Material(place=shlex.quote(str(path)), frame=frame)
    timelines = [path / name for name in TIMELINES if (path / name).exists()]
    return Material(
        place=shlex.quote(str(path)),
        frame=frame,
        run=_read(path / RUN, Run) or Run(),
        is_sweep=(path / SWEEP).exists(),
        explanation=_read(path / EXPLANATION, ExplanationFile),
        timeline=_read(timelines[0], TimelineFile) if timelines else None,
    )


M = TypeVar("M", bound=BaseModel)


def _read(path: Path, kind: type[M]) -> M | None:
    if not path.exists():
        return None
    try:
        content = path.read_bytes()
        return kind.model_validate(json.loads(gzip.decompress(content) if path.suffix == ".gz" else content))
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"])) or None
        raise InputError(
            Problem(message=f"is not as t3sim writes it: {fault['msg']}", file=str(path), key=key)
        ) from None
    except (OSError, EOFError, ValueError) as error:
        raise InputError(Problem(message=f"cannot be read: {error}", file=str(path))) from None
