"""Rivals at their best: a small stated search over the numbers that users of such software choose by shape."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from operator import itemgetter

from t3sim.errors import SimulationError
from t3sim.schemes.scheme import Scheme
from t3sim.simulation.system import SystemSpec

Setting = Mapping[str, int]
"""Keys of ``software`` and their values."""


@dataclass(frozen=True)
class Tuned:
    """What a search has found."""

    system: SystemSpec
    """With the best of what was tried."""
    setting: Setting
    own_fs: int | None
    """Time with what the system says itself; ``None`` where that run fails."""


def tuned(system: SystemSpec, scheme: Scheme, time_fs: Callable[[SystemSpec], int]) -> Tuned:
    """Find what makes ``scheme`` fastest on ``system``: of all combinations of what it tunes, or what the system says.

    ``time_fs`` runs the scheme on a system. Of equals the first counts, and that is the system's own. Settings whose
    run fails are passed over; where all fail, the system's own are given.
    """
    own = {key: int(getattr(system.software, key)) for key in scheme.tunes}
    times: list[tuple[int, Setting, SystemSpec]] = []
    own_fs: int | None = None
    for setting in _settings(scheme, own):
        changed = system.model_copy(update={"software": system.software.model_copy(update=dict(setting))})
        with suppress(SimulationError):
            times.append((time_fs(changed), setting, changed))
            own_fs = times[0][0] if setting == own else own_fs
    if not times:
        return Tuned(system, own, None)
    _, setting, best = min(times, key=itemgetter(0))
    return Tuned(best, setting, own_fs)


def _settings(scheme: Scheme, own: Setting) -> Iterator[Setting]:
    """List what is tried: what the system says first."""
    yield own
    for values in product(*scheme.tunes.values()):
        setting = dict(zip(scheme.tunes, values, strict=True))
        if setting != own:
            yield setting
