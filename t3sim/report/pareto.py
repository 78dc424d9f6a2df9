"""The Pareto front of results: points that no other point beats in every metric."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from t3sim.errors import InputError, Problem
from t3sim.report.pivot import require_columns
from t3sim.report.quantities import Quantity, quantity

if TYPE_CHECKING:
    import pandas as pd


def pareto_front(frame: "pd.DataFrame", least: Sequence[str], most: Sequence[str]) -> "pd.DataFrame":
    """Return the rows of the front, in their order, where ``least`` are better small and ``most`` better large.

    A metric may be the column of an axis: its quantities count as numbers. Of equal points all are kept; failed ones
    and those that lack a metric are left out. Raises ``InputError`` for columns that do not exist or are text.
    """
    require_columns(frame, {"--min": least, "--max": most})
    if len({*least, *most}) < 2:  # noqa: PLR2004 - a front of one metric is its best value
        raise InputError(Problem(message="needs two metrics or more, in --min and --max together", key="--min"))
    ok = frame[frame["status"] == "ok"]
    keys = ok.assign(**{name: _numbers(ok, name, "--min").numbers for name in least})
    keys = keys.assign(**{name: -_numbers(ok, name, "--max").numbers for name in most})[[*least, *most]].dropna()
    front: list[tuple[float, ...]] = []
    kept = []
    # In this order a point can only be beaten by one that came before it.
    for index, *values in keys.sort_values(list(keys.columns), kind="stable").itertuples():
        point = tuple(values)
        if any(_beats(other, point) for other in front):
            continue
        if point not in front:
            front.append(point)
        kept.append(index)
    return frame.loc[sorted(kept)]


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _numbers(frame: "pd.DataFrame", name: str, option: str) -> Quantity:
    found = quantity(frame, name)
    if found is None:
        raise InputError(Problem(message="is no column of numbers or quantities", key=option, value=name))
    return found
