"""Who wins where: of every point the fastest scheme, and what new hardware gains over the best software."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

from t3sim.errors import InputError, Problem
from t3sim.report.pivot import require_columns
from t3sim.report.quantities import quantity
from t3sim.results import Row, geomean
from t3sim.results.schemes import Role, scheme_info

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SOFTWARE: tuple[Role, ...] = ("baseline", "rival")
HARDWARE: tuple[Role, ...] = ("scheme", "extension")


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


def winners(frame: "pd.DataFrame", columns: Sequence[str]) -> list[Winner]:
    """List the winners of all points, put together by what they have in ``columns``, in order of appearance.

    Points without an ok row of either side are left out. Raises ``InputError`` for columns that do not exist, and
    where no point is left.
    """
    require_columns(frame, {"--rows, --cols": columns})
    ok = frame[frame["status"] == "ok"][["point_id", "scheme", "total_us", *columns]]
    points: dict[str, list[Row]] = {}
    for row in ok.to_dict("records"):
        points.setdefault(str(row["point_id"]), []).append({str(name): value for name, value in row.items()})
    found: dict[tuple[str, ...], list[tuple[str, str, float]]] = {}
    for rows in points.values():
        software, hardware = (_fastest(rows, roles) for roles in (SOFTWARE, HARDWARE))
        if software is not None and hardware is not None:
            labels = tuple(str(hardware[name]) for name in columns)
            gain = float(software["total_us"] / hardware["total_us"])
            found.setdefault(labels, []).append((software["scheme"], hardware["scheme"], gain))
    if not found:
        message = "needs points with a scheme of software (sequential or a rival) and one of T3's"
        raise InputError(Problem(message=message, key="RESULTS"))
    return [_together(labels, members) for labels, members in found.items()]


def _fastest(rows: Sequence[Row], roles: Sequence[Role]) -> Row | None:
    """Find the fastest row whose scheme has one of these roles."""
    own = [row for row in rows if scheme_info(str(row["scheme"])).role in roles]
    return min(own, key=itemgetter("total_us"), default=None)


def _together(labels: tuple[str, ...], members: Sequence[tuple[str, str, float]]) -> Winner:
    software, hardware = ([str(member[side]) for member in members] for side in (0, 1))
    return Winner(
        labels=labels,
        software=max(software, key=software.count),
        hardware=max(hardware, key=hardware.count),
        gain=geomean([gain for _, _, gain in members]),
        points=len(members),
    )


def draw(found: Sequence[Winner], frame: "pd.DataFrame", columns: tuple[str, str, str], figure: "Figure") -> None:
    """Draw a map: colour is the gain over the best software, whose name stands in the cell.

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
                    axes.text(x, y, f"{one.gain:.2f}\n{one.software}", ha="center", va="center", color=ink, size=7)
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
