"""Results tables on disk, read as pandas tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from t3sim import lazy
from t3sim.errors import InputError, Problem
from t3sim.results.columns import COLUMNS

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy.module("pandas")

_KINDS = {str: "str", int: "Int64", float: "float64"}
_EMPTY = {column.name: [""] for column in COLUMNS if column.kind is not str}


def read_frame(path: Path) -> "pd.DataFrame":
    """Read a results table, CSV or parquet, as a pandas table; columns of axes are text.

    Raises ``InputError`` when the file cannot be read or lacks columns of a results table.
    """
    kinds: dict[str, Any] = {column.name: _KINDS[column.kind] for column in COLUMNS}
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        else:
            named = pd.read_csv(path, nrows=0).columns
            kinds |= dict.fromkeys(set(named) - set(kinds), str)
            frame = pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=_EMPTY)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(Problem(message=f"cannot be read as a results table: {error}", file=str(path))) from None
    if missing := [name for name in ("scheme", "status") if name not in frame.columns]:
        raise InputError(Problem(message=f"is no results table: it lacks {', '.join(missing)}", file=str(path)))
    return frame
