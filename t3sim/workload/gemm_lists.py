"""GEMMs alone, from a CSV: each a sublayer of a trace."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from t3sim.errors import InputError, Problem
from t3sim.workload.models import indivisible
from t3sim.workload.operations import (
    DTYPE_BYTES,
    MOST_EXTENT,
    MOST_GPUS,
    Collective,
    Gemm,
    Trace,
    TracedOperation,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from t3sim.workload.operations import Dtype, Sublayer

_NEEDED: Final = ("M", "N", "K", "dtype")
_KNOWN: Final = (*_NEEDED, "count")
_WHOLE: Final = re.compile(r"[0-9]{1,15}")
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_MOST_ROWS: Final = 10_000


class Shape(NamedTuple):
    """A GEMM over all GPUs: K is the whole reduction length."""

    M: int
    N: int
    K: int
    dtype: Dtype
    times: int = 1
    """How often it occurs, which weighs nothing in a trace."""

    def __str__(self) -> str:
        """Write it as people do."""
        return f"{self.M}x{self.N}x{self.K}"


def load_gemms(path: Path, tp: int) -> tuple[Trace, tuple[str, ...]]:
    """Make a trace of a CSV with columns M, N, K, dtype and perhaps count, and say what it does not show.

    Each row is one sublayer: a GEMM whose K the GPUs share, the reduce-scatter of its output, and an all-gather.

    Raises:
        InputError: the file cannot be read, or a row is no GEMM that `tp` GPUs can share; it names line and column.

    """
    problems: list[Problem] = []
    _check_group(tp)
    shapes = [shape for line, row in _rows(path) if (shape := _shape(path, line, row, tp, problems)) is not None]
    if not shapes and not problems:
        problems.append(Problem(message="no row below the header", file=str(path)))
    if problems:
        raise InputError(*problems)
    name = _NO_NAME.sub("-", path.stem).strip("-.") or "gemms"
    operations = [each for number, shape in enumerate(shapes, 1) for each in _steps(shape, f"gemm{number}-{shape}", tp)]
    rows = f"{len(shapes)} GEMM{'s' * (len(shapes) > 1)} of {path.name}, K shared by {tp} GPUs"
    chained = (
        step.model_copy(update={"after": (operations[i - 1].id,) if i else ()}) for i, step in enumerate(operations)
    )
    notes = tuple(
        f"gemm{number}-{shape} is there once: its count of {shape.times} is yours to multiply by"
        for number, shape in enumerate(shapes, 1)
        if shape.times > 1
    )
    return Trace(model=name, tp=tp, description=rows, operations=tuple(chained)), notes


def shape_of(m: int, n: int, k: int, dtype: str) -> Shape:
    """Make a shape of what the command line gives.

    Raises:
        InputError: an extent is out of range, or the dtype unknown; it names each.

    """
    problems = [
        Problem(message=f"must be a whole number of 1 to {MOST_EXTENT}", key=key, value=value)
        for key, value in {"M": m, "N": n, "K": k}.items()
        if not 0 < value <= MOST_EXTENT
    ]
    if dtype not in DTYPE_BYTES:
        problems.append(Problem(message="unknown dtype", key="--dtype", value=dtype, known=tuple(DTYPE_BYTES)))
    if problems:
        raise InputError(*problems)
    return Shape(m, n, k, cast("Dtype", dtype))


def gemm_sublayer(shape: Shape, tp: int) -> Sublayer:
    """Make the sublayer of one GEMM whose K `tp` GPUs share.

    Raises:
        InputError: they cannot.

    """
    _check_group(tp)
    problems = list(_out_of_range(shape, tp))
    if problems:
        raise InputError(*problems)
    steps = _steps(shape, "gemm", tp)
    chained = tuple(step.model_copy(update={"after": (steps[i - 1].id,) if i else ()}) for i, step in enumerate(steps))
    (sublayer,) = Trace(model=str(shape), tp=tp, operations=chained).sublayers()
    return sublayer


def _check_group(tp: int) -> None:
    if not 2 <= tp <= MOST_GPUS:  # noqa: PLR2004  a group is at least a pair
        raise InputError(Problem(message=f"a tensor-parallel group has 2 to {MOST_GPUS} GPUs", key="tp", value=tp))


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Read the rows below the header, each with its line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True, skipinitialspace=True)
            header = [cell.strip() for cell in next(reader, [])]
            _check_header(header, path)
            for row in reader:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) != len(header):
                    message = f"{len(row)} values for {len(header)} columns"
                    raise InputError(Problem(message=message, file=str(path), line=reader.line_num))
                if reader.line_num > _MOST_ROWS:
                    raise InputError(Problem(message=f"more than {_MOST_ROWS} lines", file=str(path)))
                yield reader.line_num, {name: cell.strip() for name, cell in zip(header, row, strict=True)}
    except csv.Error as error:
        raise InputError(Problem(message=f"not valid CSV: {error}", file=str(path), line=reader.line_num)) from None
    except UnicodeDecodeError:
        raise InputError(Problem(message="not UTF-8 text", file=str(path))) from None
    except OSError as error:
        raise InputError(Problem(message=f"cannot be read: {error.strerror or error}", file=str(path))) from None


def _check_header(header: list[str], path: Path) -> None:
    problems = [
        *(
            Problem(message="missing column", file=str(path), line=1, key=name)
            for name in _NEEDED
            if name not in header
        ),
        *(
            Problem(message="unknown column", file=str(path), line=1, value=name, known=_KNOWN)
            for name in header
            if name not in _KNOWN
        ),
        *(
            Problem(message="a column twice", file=str(path), line=1, key=name)
            for name in _KNOWN
            if header.count(name) > 1
        ),
    ]
    if problems:
        raise InputError(*problems)


def _shape(path: Path, line: int, row: Mapping[str, str], tp: int, problems: list[Problem]) -> Shape | None:
    """Read a row; what is wrong with it goes to the problems."""
    values: dict[str, Any] = {}
    found: list[Problem] = []
    for name in ("M", "N", "K", "count"):
        text = row.get(name, "1") or ("1" if name == "count" else "")
        if _WHOLE.fullmatch(text) and 0 < int(text) <= MOST_EXTENT:
            values[name] = int(text)
        else:
            found.append(Problem(message=f"must be a whole number of 1 to {MOST_EXTENT}", key=name, value=row[name]))
    values |= {"dtype": row["dtype"], "times": values.pop("count", 1)}
    if row["dtype"] not in DTYPE_BYTES:
        found.append(Problem(message="unknown dtype", key="dtype", value=row["dtype"], known=tuple(DTYPE_BYTES)))
    if not found:
        found += _out_of_range(Shape(**values), tp)
    problems.extend(replace(each, file=str(path), line=line) for each in found)
    return None if found else Shape(**values)


def _out_of_range(shape: Shape, tp: int) -> Iterator[Problem]:
    """Find what keeps a group from sharing a GEMM."""
    if shape.K % tp:
        yield Problem(message=indivisible("reduction length", shape.K, tp), key="K", value=shape.K)


def _steps(shape: Shape, name: str, tp: int) -> list[TracedOperation]:
    common: dict[str, Any] = {"phase": "forward", "sublayer": name, "dtype": shape.dtype}
    gemm = Gemm(id=f"{name}.gemm", M=shape.M, N=shape.N, K_local=shape.K // tp, **common)
    nbytes = gemm.output_bytes
    return [
        gemm,
        Collective(op="reduce_scatter", id=f"{name}.rs", bytes=nbytes, **common),
        Collective(op="all_gather", id=f"{name}.ag", bytes=nbytes, **common),
    ]
