"""What a sweep file says: base settings, axes, and what to skip.

Everything that can vary is a *setting*, one flat mapping of dotted keys: ``system``, ``trace`` or ``model``, ``tp``,
``tokens`` and ``dtype``, ``sublayer``, ``scheme``, ``topology``, ``algorithm``, ``gpus``, ``tune``, ``losses``, and any
value of the system, as in ``system.link.bandwidth``. ``losses`` names schemes, of which the fastest that today's GPUs
run and the fastest of T3's tell where their time went.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from t3sim.config import Spec
from t3sim.errors import nearest
from t3sim.sweeps import values
from t3sim.sweeps.predicates import Predicate

SWEEP_FORMAT = "t3sim-sweep"

WORKLOAD_KEYS = ("model", "tp", "tokens", "dtype")
KEYS = ("system", "trace", *WORKLOAD_KEYS, "sublayer", "scheme", "topology", "algorithm", "gpus", "tune", "losses")
SYSTEM_PREFIX = "system."
_MOST_OPTIONS = 10**6

Settings = Mapping[str, Any]
Option = tuple[dict[str, Any], tuple[str, ...]]
"""One step of an axis: the settings it makes, and the text that its columns show."""


def check_key(key: str) -> str:
    """Return a key that can be set. Raises ``ValueError`` naming the known ones."""
    if key in KEYS or (key.startswith(SYSTEM_PREFIX) and all(key.split("."))):
        return key
    known = (*KEYS, f"{SYSTEM_PREFIX}<any key of the system>")
    near = nearest(key, KEYS)
    hint = f"did you mean {near[0]}?; " if near else ""
    raise ValueError(f"{key!r} is no setting ({hint}known: {', '.join(known)})")


def _check_keys(mapping: dict[str, Any]) -> dict[str, Any]:
    for key in mapping:
        check_key(key)
    return mapping


AxisValues = Annotated[tuple[Any, ...], Field(min_length=1)]


class ListAxis(Spec):
    """The values of one key, one after the other."""

    kind: Literal["list"]
    key: str
    values: AxisValues
    _known = field_validator("key")(check_key)

    def columns(self) -> tuple[str, ...]:
        """Name the columns of the axis."""
        return (self.key,)

    def options(self) -> Iterator[Option]:
        """Yield the steps of the axis in order."""
        return (({self.key: value}, (values.text(value),)) for value in self.values)


class RangeAxis(Spec):
    """``count`` values of one key from ``from`` to ``to``, both included, evenly or by a constant factor apart."""

    kind: Literal["range"]
    key: str
    start: int | float | str = Field(alias="from")
    stop: int | float | str = Field(alias="to")
    count: Annotated[int, Field(ge=2, le=_MOST_OPTIONS)]
    scale: Literal["linear", "log"] = "linear"
    _known = field_validator("key")(check_key)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        values.ValueRange(self.start, self.stop, self.scale)
        return self

    def columns(self) -> tuple[str, ...]:
        """Name the columns of the axis."""
        return (self.key,)

    def options(self) -> Iterator[Option]:
        """Yield the steps of the axis in order."""
        span = values.ValueRange(self.start, self.stop, self.scale)
        steps = (span.at(i / (self.count - 1)) for i in range(self.count))
        return (({self.key: value}, (values.text(value),)) for value in steps)


class GridAxis(Spec):
    """Every combination of the values of several keys; the last key varies fastest."""

    kind: Literal["grid"]
    keys: Annotated[dict[str, AxisValues], Field(min_length=1)]
    _known = field_validator("keys")(_check_keys)

    def columns(self) -> tuple[str, ...]:
        """Name the columns of the axis."""
        return tuple(self.keys)

    def options(self) -> Iterator[Option]:
        """Yield the steps of the axis in order."""
        for picked in values.product(self.keys.values()):
            yield dict(zip(self.keys, picked, strict=True)), tuple(map(values.text, picked))


class ZipAxis(Spec):
    """Several keys that change together: their first values, their second values, and so on."""

    kind: Literal["zip"]
    keys: Annotated[dict[str, AxisValues], Field(min_length=1)]
    _known = field_validator("keys")(_check_keys)

    @field_validator("keys")
    @classmethod
    def _equally_long(cls, keys: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        lengths = {key: len(items) for key, items in keys.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"needs as many values of every key, got {lengths}")
        return keys

    def columns(self) -> tuple[str, ...]:
        """Name the columns of the axis."""
        return tuple(self.keys)

    def options(self) -> Iterator[Option]:
        """Yield the steps of the axis in order."""
        for picked in zip(*self.keys.values(), strict=True):
            yield dict(zip(self.keys, picked, strict=True)), tuple(map(values.text, picked))


class Case(Spec):
    """One named change, of any number of settings; none: the base as it is."""

    label: str
    note: str = ""
    set: dict[str, Any] = Field(default_factory=dict)
    _known = field_validator("set")(_check_keys)


class CasesAxis(Spec):
    """Named changes of the base, one at a time: ablations and variants.

    Gives two columns: ``name`` with the labels, and ``name.note`` with the notes.
    """

    kind: Literal["cases"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
    cases: Annotated[tuple[Case, ...], Field(min_length=1)]

    @field_validator("cases")
    @classmethod
    def _labelled_apart(cls, cases: tuple[Case, ...]) -> tuple[Case, ...]:
        labels = [case.label for case in cases]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(f"labels used twice: {', '.join(twice)}")
        return cases

    def columns(self) -> tuple[str, ...]:
        """Name the columns of the axis."""
        return self.name, f"{self.name}.note"

    def options(self) -> Iterator[Option]:
        """Yield the steps of the axis in order."""
        return ((dict(case.set), (case.label, case.note)) for case in self.cases)


class SampledRange(Spec):
    """Where a key is sampled: between ``from`` and ``to``."""

    start: int | float | str = Field(alias="from")
    stop: int | float | str = Field(alias="to")
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        values.ValueRange(self.start, self.stop, self.scale)
        return self


class SampleAxis(Spec):
    """``count`` random places in the space of several keys; the same seed gives the same places.

    ``random``: independent. ``latin-hypercube``: of ``count`` equal slices of every key, each is used once.
    """

    kind: Literal["random", "latin-hypercube"]
    keys: Annotated[dict[str, SampledRange], Field(min_length=1)]
    count: Annotated[int, Field(ge=1, le=_MOST_OPTIONS)]
    seed: Annotated[int, Field(ge=0)]
    _known = field_validator("keys")(_check_keys)

    def columns(self) -> tuple[str, ...]:
        """Name the columns of the axis."""
        return tuple(self.keys)

    def options(self) -> Iterator[Option]:
        """Yield the steps of the axis in order."""
        spans = [values.ValueRange(key.start, key.stop, key.scale) for key in self.keys.values()]
        draw = values.latin_hypercube if self.kind == "latin-hypercube" else values.independent
        for place in draw(self.count, len(spans), self.seed):
            picked = [span.at(share) for span, share in zip(spans, place, strict=True)]
            yield dict(zip(self.keys, picked, strict=True)), tuple(map(values.text, picked))


Axis = Annotated[
    ListAxis | RangeAxis | GridAxis | ZipAxis | CasesAxis | SampleAxis,
    Field(discriminator="kind"),
]


class SweepSpec(Spec):
    """An experiment many times over: every combination of the axes, each laid over the base settings.

    The last axis varies fastest. A combination for which a condition of ``skip`` holds is left out.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
    description: str = ""
    base: dict[str, Any]
    axes: tuple[Axis, ...] = ()
    skip: tuple[str, ...] = ()
    max_points: PositiveInt = 10**6
    """More combinations than this are refused: a slip in an axis should not fill a disk."""
    _known = field_validator("base")(_check_keys)

    @field_validator("skip")
    @classmethod
    def _readable(cls, skip: tuple[str, ...]) -> tuple[str, ...]:
        for text in skip:
            Predicate(text)
        return skip

    @model_validator(mode="after")
    def _no_key_twice(self) -> Self:
        seen: set[str] = set()
        for axis in self.axes:
            made = {*axis.columns(), *keys_of(axis)}
            if twice := sorted(seen & made):
                raise ValueError(f"two axes give {', '.join(twice)}")
            seen |= made
        return self

    @model_validator(mode="after")
    def _conditions_name_what_is_set(self) -> Self:
        columns = {column for axis in self.axes for column in axis.columns()}
        known = {*self.base, *columns, *(key for axis in self.axes for key in keys_of(axis))}
        for text in self.skip:
            if unknown := sorted(Predicate(text).names - known):
                raise ValueError(f"{text!r} names what neither base nor an axis sets: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _one_workload(self) -> Self:
        keys = {*self.base, *(key for axis in self.axes for key in keys_of(axis))}
        if "trace" in keys and (mixed := [key for key in WORKLOAD_KEYS if key in keys]):
            raise ValueError(f"a trace fixes what it is made from: 'trace' cannot stand beside {', '.join(mixed)}")
        if "trace" not in keys and not {"model", "tp"} <= keys:
            raise ValueError("needs a workload in base or an axis: 'trace', or 'model' and 'tp'")
        return self


def keys_of(axis: Axis) -> set[str]:
    """Return the settings that an axis makes."""
    return {key for case in axis.cases for key in case.set} if isinstance(axis, CasesAxis) else set(axis.columns())
