"""Who wins where: of every point the fastest scheme, and what new hardware gains over the best software."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import isnan
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from t3sim.errors import InputError, Problem
from t3sim.report.pivot import require_columns
from t3sim.report.quantities import quantity
from t3sim.results import Row, geomean
from t3sim.results.losses import SPENT, Spent
from t3sim.results.schemes import HARDWARE, SOFTWARE, Role, scheme_info

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Winner:
    """One point, or several that share their labels."""

    labels: tuple[str, ...]
    software: str
    """The fastest scheme that today's GPUs run; of several points, that of most."""
    hardware: str
    """The fastest that needs T3's hardware."""
    gain: float
    """Time of the first over time of the second; of several points, the geomean."""
    points: int
    why: Spent | None = None
    """Where the slower of the two loses most against the other; ``None`` where results do not say (``losses``)."""
    why_us: float | None = None
    """How much that is, us: the mean of the points."""
    why_share: float | None = None
    """The same as a share of how far the two are apart; above 1 where the slower one makes up for a part elsewhere."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """The fastest of both sides at one point."""

    software: Row
    hardware: Row

    @property
    def gain(self) -> float:
        return float(self.software["total_us"] / self.hardware["total_us"])

    def lost_us(self, column: str) -> float:
        """How much more software spends on something; NaN where a row does not say."""
        return float(self.software[column]) - float(self.hardware[column])


def winners(frame: "pd.DataFrame", columns: Sequence[str]) -> list[Winner]:
    """List the winners of all points, put together by what they have in ``columns``, in order of appearance.

    Points without an ok row of either side are left out. Raises ``InputError`` for columns that do not exist, and
    where no point is left.
    """
    require_columns(frame, {"--rows, --cols": columns})
    told = [each.column for each in SPENT if each.column in frame.columns]
    needed = list(dict.fromkeys(["point_id", "scheme", "total_us", *columns, *told]))
    ok = frame[frame["status"] == "ok"][needed]
    points: dict[str, list[Row]] = {}
    for row in ok.to_dict("records"):
        points.setdefault(str(row["point_id"]), []).append({str(name): value for name, value in row.items()})
    found: dict[tuple[str, ...], list[_Pair]] = {}
    for rows in points.values():
        software, hardware = (_fastest(rows, roles) for roles in (SOFTWARE, HARDWARE))
        if software is not None and hardware is not None:
            labels = tuple(str(hardware[name]) for name in columns)
            found.setdefault(labels, []).append(_Pair(software, hardware))
    if not found:
        message = "needs points with a scheme of software (sequential or a rival) and one of T3's"
        raise InputError(Problem(message=message, key="RESULTS"))
    return [_together(labels, pairs, told) for labels, pairs in found.items()]


def _fastest(rows: Sequence[Row], roles: Collection[Role]) -> Row | None:
    """Find the fastest row whose scheme has one of these roles."""
    own = [row for row in rows if scheme_info(str(row["scheme"])).role in roles]
    return min(own, key=itemgetter("total_us"), default=None)


def _together(labels: tuple[str, ...], pairs: Sequence[_Pair], told: Sequence[str]) -> Winner:
    software = [str(pair.software["scheme"]) for pair in pairs]
    hardware = [str(pair.hardware["scheme"]) for pair in pairs]
    winner = Winner(
        labels=labels,
        software=max(software, key=software.count),
        hardware=max(hardware, key=hardware.count),
        gain=geomean([pair.gain for pair in pairs]),
        points=len(pairs),
    )
    return replace(winner, **_why(pairs, told, sign=1 if winner.gain >= 1 else -1))


def _why(pairs: Sequence[_Pair], told: Sequence[str], *, sign: int) -> dict[str, Any]:
    """Say where the slower side loses most; ``sign`` is 1 where that is software.

    A point counts by its loss as a share of its time under T3, as it does for the gain: a long one no more than others.
    """
    if len(told) < len(SPENT) or any(isnan(pair.lost_us(name)) for pair in pairs for name in told):
        return {}

    def lost(column: str) -> float:
        return sign * sum(pair.lost_us(column) / float(pair.hardware["total_us"]) for pair in pairs)

    most = max(SPENT, key=lambda each: lost(each.column))
    apart = sum(map(lost, told))
    return {
        "why": most,
        "why_us": sign * sum(pair.lost_us(most.column) for pair in pairs) / len(pairs),
        "why_share": lost(most.column) / apart if apart else None,
    }


def draw(found: Sequence[Winner], frame: "pd.DataFrame", columns: tuple[str, str, str], figure: "Figure") -> None:
    """Draw a map: colour is the gain over the best software, whose name stands in the cell; below it why, if known.

    ``columns``: those that the labels of ``found`` are of; a map for every value of the first, then rows and columns.
    """
    by, rows, cols = columns
    panels = list(dict.fromkeys(one.labels[0] for one in found))
    down = _ordered(frame, rows, {one.labels[1] for one in found})
    across = _ordered(frame, cols, {one.labels[2] for one in found})
    gains = [one.gain for one in found]
    far = max(abs(gain - 1) for gain in gains) or 1.0
    all_axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, panel in zip(all_axes, panels, strict=True):
        cells = {one.labels[1:]: one for one in found if one.labels[0] == panel}
        values = [[cells[row, col].gain if (row, col) in cells else float("nan") for col in across] for row in down]
        image = axes.imshow(values, aspect="auto", origin="lower", cmap="PuOr_r", vmin=1 - far, vmax=1 + far)
        axes.set_title(f"{by} {panel}")
        axes.set_xticks(range(len(across)), across)
        axes.set_yticks(range(len(down)), down)
        axes.set_xlabel(cols)
        for y, row in enumerate(down):
            for x, col in enumerate(across):
                if (row, col) in cells:
                    one = cells[row, col]
                    ink = "white" if abs(one.gain - 1) > 0.6 * far else "black"
                    why = [f"{'' if one.gain >= 1 else 'T3: '}{one.why.short}"] if one.why is not None else []
                    text = "\n".join([f"{one.gain:.2f}", one.software, *why])
                    axes.text(x, y, text, ha="center", va="center", color=ink, size=7)
    all_axes[0].set_ylabel(rows)
    figure.colorbar(image, ax=list(all_axes), label="T3 over the best software (named)")


def _ordered(frame: "pd.DataFrame", name: str, labels: set[str]) -> list[str]:
    """Order labels by the numbers they stand for; text as it came."""
    found = quantity(frame, name)
    texts = frame[name].astype(str)
    if found is None:
        return [label for label in dict.fromkeys(texts) if label in labels]
    places = dict(zip(texts, found.numbers, strict=True))
    return sorted(labels, key=lambda label: places[label])
