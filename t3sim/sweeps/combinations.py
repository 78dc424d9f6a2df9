"""From a sweep's spec to its combinations, in the order of the results table."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from t3sim.results import COLUMN_NAMES
from t3sim.sweeps.predicates import Predicate
from t3sim.sweeps.spec import Option, Settings, SweepSpec


@dataclass(frozen=True, slots=True)
class Combination:
    """One step of every axis: all settings, and what the columns of the axes show."""

    settings: Settings
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Combinations:
    """The combinations of a sweep that ``skip`` leaves, the last axis varying fastest.

    They are made each time they are asked for: there may be many more than options. Raises ``ValueError`` then for
    values that a predicate of ``skip`` cannot compare.
    """

    spec: SweepSpec

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the axes add to those of every result: all that are not among them already."""
        return tuple(name for name in self._labelled if name not in COLUMN_NAMES)

    @cached_property
    def size(self) -> int:
        """Combinations before any is skipped."""
        return math.prod(map(len, self._options))

    def __iter__(self) -> Iterator[Combination]:
        kept = [index for index, name in enumerate(self._labelled) if name not in COLUMN_NAMES]
        predicates = [Predicate(text) for text in self.spec.skip]
        for options in itertools.product(*self._options):
            settings = dict(self.spec.base)
            for made, _ in options:
                settings.update(made)
            labels = tuple(itertools.chain.from_iterable(shown for _, shown in options))
            if not predicates or not self._skipped(predicates, settings, labels):
                yield Combination(settings, tuple(labels[index] for index in kept))

    @cached_property
    def _options(self) -> tuple[tuple[Option, ...], ...]:
        return tuple(tuple(axis.options()) for axis in self.spec.axes)

    @cached_property
    def _labelled(self) -> tuple[str, ...]:
        return tuple(name for axis in self.spec.axes for name in axis.columns())

    def _skipped(self, predicates: Sequence[Predicate], settings: Settings, labels: Sequence[str]) -> bool:
        known: Mapping[str, Any] = {**dict(zip(self._labelled, labels, strict=True)), **settings}
        return any(predicate.holds(known) for predicate in predicates)
