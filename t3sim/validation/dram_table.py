"""Tables of what DRAM simulators say of one channel: CSV, one run a row.

Columns: ``stream`` (see ``dram_patterns``), ``dram`` (a shipped one or a file), ``mapping``,
``scheduler``, ``refresh``, ``read_entries``, ``write_entries``, ``drain_from``, ``drain_to``, ``requests`` (of 64 B),
``bandwidth_gbps`` (10^9 B/s), ``read_latency_ns`` (of an access, from entering the read queue to its last data, mean;
empty without reads) and ``source``. Those with a default may be left out. Names that tables of Ramulator 2.1 use are
understood as well. Rows of a DRAM that is not known, and of settings that are not modelled, are left out.

Where a DRAM's access is 32 B, a request is two of them in a row, each with an entry of its queue: Ramulator takes no
more in a request than one access moves (``generic_dram_system.cpp``, ``get_tx_bytes``).
"""

import csv
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, PositiveFloat, ValidationError, field_validator

from t3sim.config import Spec
from t3sim.config.documents import located
from t3sim.data import drams_dir
from t3sim.errors import InputError, Problem
from t3sim.hardware.memory.banked.control import ControlSpec
from t3sim.hardware.memory.banked.dram.spec import DramSpec, load_dram
from t3sim.hardware.memory.banked.mappings import KIND as MAPPING
from t3sim.registry import get
from t3sim.validation.dram_patterns import REQUEST_BYTES, family

_COLUMNS = {
    "pattern": "stream",
    "organisation": "dram",
    "read_queue": "read_entries",
    "write_queue": "write_entries",
    "wr_high": "drain_from",
    "wr_low": "drain_to",
    "gbps": "bandwidth_gbps",
    "lat_mean_ns": "read_latency_ns",
}
_VALUES = {
    "dram": {"L128": "hbm2", "PC64": "hbm2-pc64"},
    "mapping": {"MOP4": "mop4", "RoBaRaCoCh": "ro-ba-co"},
    "scheduler": {"FRFCFSRowHit": "frfcfs-row-hit", "FRFCFS": "frfcfs", "FCFS": "fcfs"},
}
_STREAMS = {"P1": "sequential", "P2": "random", "P3": "segments", "P4": "writes", "P7": "slab", "P8": "tiles"}
_TURNS = {"P5": "mixed", "P5s": "split", "P6": "mixed", "P6s": "split", "P9": "slab-tiles"}
_PACED = {"P10": "paced", "P10r": "paced-random"}
_NOT_COMPARED = ("pct_peak", "lat_p99_ns", "row_hits", "row_misses", "row_conflicts")
_EXTRA = "extra"
"""Column of further settings, ``name=value;name=value``."""
_SEPARATE_PORTS = "separate_rd_wr_ports"


class ReferenceRun(Spec):
    """One run of another simulator: its settings and what came out."""

    stream: str
    dram: str
    mapping: str
    scheduler: str
    refresh: bool
    read_entries: int
    write_entries: int
    drain_from: float = 0.8
    drain_to: float = 0.2
    requests: Annotated[int, Field(ge=64, le=2**24)] = 2**18
    bandwidth_gbps: PositiveFloat
    read_latency_ns: PositiveFloat | None = None
    source: str = "user's table"

    @field_validator("stream")
    @classmethod
    def _known_stream(cls, value: str) -> str:
        family(value)
        return value

    @field_validator("mapping")
    @classmethod
    def _known_mapping(cls, value: str) -> str:
        get(MAPPING, value)
        return value

    @property
    def control(self) -> ControlSpec:
        """How the channel is scheduled."""
        return ControlSpec.model_validate({"hit_cap": 0, **{name: getattr(self, name) for name in _CONTROL}})


_CONTROL = tuple(name for name in ControlSpec.model_fields if name in ReferenceRun.model_fields)


class ReferenceTable(NamedTuple):
    """Runs of a table, the DRAMs that they name, and why other rows of it are left out."""

    runs: tuple[ReferenceRun, ...]
    drams: dict[str, DramSpec]
    left_out: tuple[str, ...]


def load_table(path: Path) -> ReferenceTable:
    """Read a table. Raises ``InputError`` naming file, line and column of every mistake."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Problem(message=f"cannot be read: {error}", file=str(path))) from None
    reader = csv.DictReader(lines)
    known = (*ReferenceRun.model_fields, *_COLUMNS, *_NOT_COMPARED, _EXTRA)
    columns = reader.fieldnames or ()
    problems = [
        Problem(message="unknown column", file=str(path), line=1, key=name, known=known)
        for name in columns
        if name not in known
    ]
    runs: list[ReferenceRun] = []
    drams: dict[str, DramSpec] = {}
    left_out: list[str] = []
    for row in reader if not problems else ():
        place = f"{path}:{reader.line_num}"
        try:
            values = _translated(row)
            if reason := _not_modelled(values):
                left_out.append(f"{place}: {reason}")
            else:
                runs.append(_run(values, drams))
        except ValidationError as error:
            problems += [_problem(path, reader.line_num, detail) for detail in error.errors(include_url=False)]
        except InputError as error:
            problems += [Problem(message=f"{place}: dram: {problem}") for problem in error.problems]
        except ValueError as error:
            problems.append(Problem(message=str(error), file=str(path), line=reader.line_num))
    if not problems and not runs:
        reasons = [f": {reason}" for reason in left_out] or [""]
        problems += [Problem(message=f"no run to compare with{reason}", file=str(path)) for reason in reasons]
    if problems:
        raise InputError(*problems)
    return ReferenceTable(tuple(runs), drams, tuple(left_out))


def _not_modelled(values: dict[str, str]) -> str:
    """Say why a row is left out; empty where it is not. Takes out settings that only decide this."""
    if values.pop(_SEPARATE_PORTS, "0") not in {"0", ""}:
        return "separate read and write ports are not modelled"
    try:
        if "dram" in values:  # else that it is missing is said later
            located(values["dram"], drams_dir())
    except InputError as error:
        return f"dram: {error}"
    return ""


def _run(values: dict[str, str], drams: dict[str, DramSpec]) -> ReferenceRun:
    run = ReferenceRun.model_validate(values, strict=False)  # all are text
    run.control  # noqa: B018 - its limits are checked here, where the line is known
    dram = drams[run.dram] = drams.get(run.dram) or load_dram(run.dram).spec
    if REQUEST_BYTES % dram.access:
        raise ValueError(f"dram: accesses of {dram.access} B do not make up requests of {REQUEST_BYTES} B")
    return run


def _problem(path: Path, line: int, detail: Any) -> Problem:
    key = ".".join(map(str, detail["loc"]))
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "missing":
        return Problem(message="missing column or value", file=str(path), line=line, key=key)
    return Problem(message=message, file=str(path), line=line, key=key, value=detail["input"])


def _translated(row: dict[str | None, str | None]) -> dict[str, str]:
    """Give columns and values of a row the names used here; empty ones are left out."""
    if None in row or None in row.values():
        raise ValueError("the row has not as many values as the table has columns")
    flat = {str(name): str(value).strip() for name, value in row.items()}
    for setting in filter(None, flat.pop(_EXTRA, "").split(";")):
        name, _, value = setting.partition("=")
        flat[name.strip()] = value.strip()
    flat = {_COLUMNS.get(name, name): value for name, value in flat.items() if name not in _NOT_COMPARED}
    named = {name: _VALUES.get(name, {}).get(value, value) for name, value in flat.items() if value}
    return {**named, "stream": _stream(named["stream"])} if "stream" in named else named


def _stream(name: str) -> str:
    """Give a stream that is numbered (P6_b16, P10_50_pc) its name."""
    number, *rest = name.split("_")
    if number in _PACED and rest:
        return f"{_PACED[number]}-{rest[0]}"
    if number in _TURNS:
        return f"{_TURNS[number]}-{rest[0].removeprefix('b') if rest else '1'}"
    return _STREAMS.get(name, name)
