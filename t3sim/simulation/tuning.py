"""Rivals at their best: a small stated search over the numbers that users of such software choose by shape.

What a search has found is kept on disk beside the parts of programs, by the content of all that it depends on.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from operator import itemgetter

from pydantic import PositiveInt, TypeAdapter, ValidationError

from t3sim.collectives.planning import KIND as ALGORITHM
from t3sim.errors import SimulationError
from t3sim.registry import get, names
from t3sim.schemes.scheme import Scheme
from t3sim.simulation.content import NotPlainError, digest, name_of
from t3sim.simulation.part_store import REMEMBERED
from t3sim.simulation.system import SystemSpec
from t3sim.workload.operations import Sublayer

Setting = Mapping[str, int | str]
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
    own = _own(system, scheme)
    times: list[tuple[int, Setting, SystemSpec]] = []
    own_fs: int | None = None
    for setting in _settings(scheme, own):
        changed = _with(system, setting)
        with suppress(SimulationError):
            times.append((time_fs(changed), setting, changed))
            own_fs = times[0][0] if setting == own else own_fs
    if not times:
        return Tuned(system, own, None)
    _, setting, best = min(times, key=itemgetter(0))
    return Tuned(best, setting, own_fs)


def tuned_once(
    system: SystemSpec, scheme: Scheme, time_fs: Callable[[SystemSpec], int], sublayer: Sublayer, simulated: str
) -> Tuned:
    """Search as ``tuned`` does, unless the cache on disk says what a search for the same has found.

    ``sublayer`` and ``simulated``: what ``time_fs`` runs, and which GPUs.
    """
    key, disk = _key(system, scheme, sublayer, simulated), REMEMBERED.disk
    if key is None or disk is None:
        return tuned(system, scheme, time_fs)
    text = disk.get(key)
    found = _read(text, system, scheme) if text is not None else None
    if found is None:
        found = tuned(system, scheme, time_fs)
        disk.put(key, json.dumps([found.setting, found.own_fs]))
    return found


def _key(system: SystemSpec, scheme: Scheme, sublayer: Sublayer, simulated: str) -> str | None:
    """Hash all that a search depends on; ``None`` where code that is not t3sim's own takes part."""
    with suppress(NotPlainError):
        algorithms = [name_of(get(ALGORITHM, name)) for name in names(ALGORITHM)]
        searched = name_of(type(scheme)), scheme.tunes, algorithms
        return digest("tuned", *searched, system, sublayer.tp, sublayer.operations, simulated)
    return None


_FOUND: TypeAdapter[tuple[dict[str, PositiveInt | str], PositiveInt | None]] = TypeAdapter(
    tuple[dict[str, PositiveInt | str], PositiveInt | None]
)


def _read(text: str, system: SystemSpec, scheme: Scheme) -> Tuned | None:
    """Read what a search has found; ``None`` for a text that says something else."""
    try:
        setting, own_fs = _FOUND.validate_json(text)
    except ValidationError:
        return None
    known = (_own(system, scheme), *_combinations(scheme))
    return Tuned(_with(system, setting), setting, own_fs) if setting in known else None


def _own(system: SystemSpec, scheme: Scheme) -> Setting:
    return {key: getattr(system.software, key) for key in scheme.tunes}


def _with(system: SystemSpec, setting: Setting) -> SystemSpec:
    return system.model_copy(update={"software": system.software.model_copy(update=dict(setting))})


def _settings(scheme: Scheme, own: Setting) -> Iterator[Setting]:
    """List what is tried: what the system says first."""
    yield own
    yield from (setting for setting in _combinations(scheme) if setting != own)


def _combinations(scheme: Scheme) -> Iterator[Setting]:
    """List all combinations of what a scheme tunes."""
    return (dict(zip(scheme.tunes, values, strict=True)) for values in product(*scheme.tunes.values()))
