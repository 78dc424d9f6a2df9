"""From the settings of a combination to points that can be simulated, and to the keys of both."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from typing import Any

from t3sim.collectives.planning import KIND as ALGORITHM
from t3sim.config import Draft, Loaded, draft, may_change_parts, read_document
from t3sim.data import models_dir, systems_dir, traces_dir
from t3sim.errors import InputError, Problem
from t3sim.hardware.network.topologies import KIND as TOPOLOGY
from t3sim.registry import names
from t3sim.results import Row
from t3sim.results.sublayers import Place
from t3sim.simulation import SYSTEM_FORMAT, Point, SystemSpec, scheme_names, schemes_of_any_network
from t3sim.simulation.lab import ALL, MIRROR, ONE
from t3sim.simulation.plans import network_settings
from t3sim.simulation.point import identity as point_identity
from t3sim.simulation.run import DEFAULT_SYSTEM
from t3sim.sweeps.spec import SYSTEM_PREFIX, WORKLOAD_KEYS, Settings
from t3sim.version import __version__, code_version
from t3sim.workload.model_traces import SUBLAYERS, slices, transformer_trace
from t3sim.workload.models import MODEL_FORMAT, ModelSpec
from t3sim.workload.operations import DTYPE_BYTES, Sublayer, Trace, picked
from t3sim.workload.trace import TRACE_FORMAT

_KEY_DIGITS = 24
_KEPT = 64

_Laid = tuple[str, Any]
"""A key of a system and the value that is laid over it."""


@dataclass(frozen=True, slots=True)
class PointTask:
    """One sublayer of a combination: what is simulated at once, under one or more schemes."""

    settings: Settings
    phase: str
    sublayer: str
    schemes: tuple[str, ...]
    recipe: str
    """Hash of what the task is made from: settings, every file that is read for them, code.

    Equal recipes: equal results.
    """


@dataclass(frozen=True, slots=True)
class Job:
    """A task with its configuration resolved: what a worker is sent."""

    point: Point
    schemes: tuple[str, ...]
    key: str
    """Hash of the resolved configuration, the schemes and the code; recipes that differ may share it: equal rows."""


class Resolver:
    """Turns settings into tasks and jobs; reads every file once, so that a job is what its recipe says."""

    def __init__(self) -> None:
        self._drafts: dict[tuple[str, str], Draft] = {}
        self._digests: dict[tuple[str, str, str], tuple[str, ...]] = {}
        self._schemes: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._code = code_version()
        self._read = cache(read_document)
        # Points that follow each other often share their workload; a long sweep must not keep all of them.
        self._sublayers = lru_cache(maxsize=_KEPT)(self._made)
        self._slices = lru_cache(maxsize=_KEPT)(self._sliced)

    def tasks(self, settings: Settings) -> Iterator[PointTask]:
        """Yield a task for each sublayer of a combination, in the order of the trace.

        Raises ``InputError`` for the name of a file, a scheme or a sublayer that there is none of.
        """
        wanted = _texts(settings, "sublayer")
        places = self._places(settings)
        chosen = set(picked(places, wanted, "sublayer"))
        asked = _texts(settings, "scheme")
        if asked not in self._schemes:
            _refuse_unknown("scheme", asked, scheme_names())
            self._schemes[asked] = tuple(dict.fromkeys(asked)) or schemes_of_any_network()
        schemes = self._schemes[asked]
        own = sorted((key, item) for key, item in settings.items() if key not in _HELD_OTHERWISE)
        shared = json.dumps([self._code, self._files(settings), schemes, own])
        for phase, name in places:
            if (phase, name) in chosen:
                recipe = hashlib.sha256(f"{phase} {name} {shared}".encode()).hexdigest()[:_KEY_DIGITS]
                yield PointTask(settings, phase, name, schemes, recipe)

    def _places(self, settings: Settings) -> tuple[Place, ...]:
        """List phase and name of each sublayer of a combination; of a model, whatever its degree and tokens."""
        if "trace" in settings:
            return tuple((item.phase, item.sublayer) for item in self._sublayers(*_workload_of(settings)))
        return self._slices(str(settings["model"])) if "model" in settings else SUBLAYERS

    def _sliced(self, model: str) -> tuple[Place, ...]:
        described = self._draft(model, MODEL_FORMAT)
        try:
            spec = described.checked(ModelSpec).spec
        except InputError:  # for the point to say, in its row
            return SUBLAYERS
        return tuple((part.phase, part.sublayer) for part in slices(spec))

    def job(self, task: PointTask) -> Job:
        """Resolve a task. Raises ``InputError`` when its configuration is not one that can be simulated."""
        system = self.system(task.settings)
        places = {(item.phase, item.sublayer): item for item in self._sublayers(*_workload_of(task.settings))}
        sublayer = places[task.phase, task.sublayer]
        # What the system was resolved from is for people: a worker needs the values only.
        simulated = str(task.settings.get("gpus", MIRROR))
        plain = replace(system, resolved={})
        split = _texts(task.settings, "losses")
        tune = bool(task.settings.get("tune"))
        point = Point(system=plain, sublayer=sublayer, gpus=simulated, tune=tune, losses=split)
        own = json.dumps([self._code, point_identity(point), task.schemes, split])
        return Job(point, task.schemes, hashlib.sha256(own.encode()).hexdigest()[:_KEY_DIGITS])

    def system(self, settings: Settings) -> Loaded[SystemSpec]:
        """Load the system of a combination. Raises ``InputError`` when it is not valid."""
        described = self._draft(str(settings.get("system", DEFAULT_SYSTEM)), SYSTEM_FORMAT)
        return _assigned(described, _laid_over(settings)).checked(SystemSpec)

    def problems(self, settings: Settings) -> list[Problem]:
        """Return what is wrong with settings, as far as each is wrong by itself: types, names, the system's values."""
        problems = [
            Problem(message="must be a whole number", key=key, value=settings[key])
            for key in ("tp", "tokens")
            if key in settings and type(settings[key]) is not int
        ]
        if not isinstance(tune := settings.get("tune", False), bool):
            problems.append(Problem(message="must be true or false", key="tune", value=tune))
        known = {
            "dtype": tuple(DTYPE_BYTES),
            "topology": names(TOPOLOGY),
            "algorithm": names(ALGORITHM),
            "gpus": (MIRROR, ONE, ALL),
            "losses": scheme_names(),
        }
        checks: list[Callable[[], object]] = [
            *(partial(_refuse_unknown, key, _texts(settings, key), known[key]) for key in known),
            lambda: list(self.tasks(settings)),
            lambda: self.system(settings),
        ]
        for check in checks:
            try:
                check()
            except InputError as error:
                problems += error.problems
        return problems

    def _made(self, trace: Any, model: Any, tp: Any, tokens: Any, dtype: Any) -> tuple[Sublayer, ...]:
        if trace is not None:
            return self._draft(str(trace), TRACE_FORMAT).checked(Trace).spec.sublayers()
        for name, value in {"tp": tp, "tokens": tokens}.items():
            if type(value) is not int and (value is not None or name == "tp"):
                raise InputError(Problem(message="must be a whole number", key=name, value=value))
        spec = self._draft(str(model), MODEL_FORMAT).checked(ModelSpec).spec
        return transformer_trace(spec, tp, tokens=tokens, dtype=dtype).sublayers()

    def _files(self, settings: Settings) -> list[tuple[str, ...]]:
        """Return a digest of each file that is read for the settings, so that an edited one is another recipe."""
        system = str(settings.get("system", DEFAULT_SYSTEM))
        found = [self._read_for(system, SYSTEM_FORMAT, _laid_over(settings))]
        found += [self._read_for(str(settings["trace"]), TRACE_FORMAT, ())] if "trace" in settings else []
        found += [self._read_for(str(settings["model"]), MODEL_FORMAT, ())] if "model" in settings else []
        return found

    def _read_for(self, ref: str, form: str, laid_over: Sequence[_Laid]) -> tuple[str, ...]:
        """Return a digest of each file that is read for a draft with settings; of one that cannot be, what is wrong."""
        described = self._draft(ref, form)
        # Most settings are numbers, which lead to no file: the many points of a range share one answer.
        steering = [(key, value) for key, value in laid_over if may_change_parts(key, value)]
        place = ref, form, json.dumps(steering, sort_keys=True) if steering else ""
        if place not in self._digests:
            try:
                self._digests[place] = _assigned(described, steering).digests()
            except InputError as error:  # for the point to say, in its row
                self._digests[place] = (str(error),)
        return self._digests[place]

    def _draft(self, ref: str, form: str) -> Draft:
        if (ref, form) not in self._drafts:
            key, folder = _FILES[form]
            try:
                self._drafts[ref, form] = draft(ref, folder=folder(), format_name=form, read=self._read)
            except InputError as error:
                # Without a line it is the name that is wrong, and that stands in the sweep.
                problems = (p if p.line else replace(p, key=key) for p in error.problems)
                raise InputError(*problems) from None
        return self._drafts[ref, form]


_FILES = {
    SYSTEM_FORMAT: ("system", systems_dir),
    MODEL_FORMAT: ("model", models_dir),
    TRACE_FORMAT: ("trace", traces_dir),
}
_HELD_OTHERWISE = ("scheme", "sublayer", "system", "trace", "model")
"""Settings that a recipe holds in another form: by name, or as what the file that they name says."""


def _laid_over(settings: Settings) -> list[_Laid]:
    """List what settings lay over a system, by keys of it, in the order in which that is done."""
    own = sorted(key for key in settings if key.startswith(SYSTEM_PREFIX))
    named = network_settings(settings.get("topology"), settings.get("algorithm"))
    # What holds a key comes before the key: the named ones, and own ones sorted.
    return [*named.items(), *((key.removeprefix(SYSTEM_PREFIX), settings[key]) for key in own)]


def _assigned(described: Draft, laid_over: Sequence[_Laid]) -> Draft:
    for key, item in laid_over:
        described = described.assigned(key, _listed(item))
    return described


def _workload_of(settings: Settings) -> tuple[Any, ...]:
    return tuple(settings.get(name) for name in ("trace", *WORKLOAD_KEYS))


def task_identity(task: PointTask) -> Row:
    """Return what a row can say of a task that cannot be resolved."""
    named = {key: task.settings.get(key) for key in ("model", "tp", "dtype", "topology")}
    return {**named, "system": task.settings.get("system", DEFAULT_SYSTEM), "version": __version__} | {
        "phase": task.phase,
        "sublayer": task.sublayer,
    }


def _texts(settings: Settings, key: str) -> tuple[str, ...]:
    value = settings.get(key, ())
    return tuple(map(str, value)) if isinstance(value, tuple | list) else (str(value),)


def _refuse_unknown(key: str, wanted: tuple[str, ...], known: tuple[str, ...]) -> None:
    if unknown := [name for name in wanted if name not in known]:
        raise InputError(*(Problem(message="unknown name", key=key, value=name, known=known) for name in unknown))


def _listed(value: Any) -> Any:
    """Return plain data with lists for its tuples, as a file would give it."""
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, tuple) else value
