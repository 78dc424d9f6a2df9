"""What sublayers are called: by name, and by phase and name where one name stands for both phases."""

from collections import Counter
from collections.abc import Callable, Iterable

from t3sim.results.columns import Row

Place = tuple[str, str]
"""Phase and name of a sublayer."""


def full_name(place: Place) -> str:
    """Name a sublayer by its phase, too, as ``--sublayer`` takes it: ``backward/fc2``."""
    return "/".join(place)


def shown_names(places: Iterable[Place]) -> dict[Place, str]:
    """Give the name of each sublayer for people: with its phase where another phase has one of this name, too."""
    known = dict.fromkeys(places)
    phases = Counter(name for _, name in known)
    return {place: full_name(place) if phases[place[1]] > 1 else place[1] for place in known}


def namer(rows: Iterable[Row]) -> Callable[[Row], str]:
    """Give what names the sublayer of each of ``rows`` for people, so that no two of them look the same."""
    names = shown_names(map(_place, rows))
    return lambda row: names[_place(row)]


def _place(row: Row) -> Place:
    return row["phase"], row["sublayer"]
