"""From a sweep's spec to its combinations, in the order of the results table."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from t3sim.results import COLUMN_NAMES
from t3sim.sweeps.conditions import Condition
from t3sim.sweeps.spec import Option, Settings, SweepSpec


@dataclass(frozen=True, slots=True)
class Combination:
    """One step of every axis: all settings, and what the columns of the axes show."""

    settings: Settings
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """The combinations of a sweep, made each time they are asked for: there may be many more than options."""

    spec: SweepSpec

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the axes add to those of every result: all that are not among them already."""
        return tuple(name for name in self._labelled if name not in COLUMN_NAMES)

    @cached_property
    def size(self) -> int:
        """Combinations before any is skipped."""
        return math.prod(map(len, self._options))

    def combinations(self) -> Iterator[Combination]:
        """Yield every combination that no condition skips, the last axis varying fastest.

        Raises ``ValueError`` for a condition whose values cannot be compared.
        """
        kept = [index for index, name in enumerate(self._labelled) if name not in COLUMN_NAMES]
        conditions = [Condition(text) for text in self.spec.skip]
        for options in itertools.product(*self._options):
            settings = dict(self.spec.base)
            for made, _ in options:
                settings.update(made)
            labels = tuple(itertools.chain.from_iterable(shown for _, shown in options))
            if not conditions or not self._skipped(conditions, settings, labels):
                yield Combination(settings, tuple(labels[index] for index in kept))

    @cached_property
    def _options(self) -> tuple[tuple[Option, ...], ...]:
        return tuple(tuple(axis.options()) for axis in self.spec.axes)

    @cached_property
    def _labelled(self) -> tuple[str, ...]:
        return tuple(name for axis in self.spec.axes for name in axis.columns())

    def _skipped(self, conditions: Sequence[Condition], settings: Settings, labels: Sequence[str]) -> bool:
        known: Mapping[str, Any] = {**dict(zip(self._labelled, labels, strict=True)), **settings}
        return any(condition.holds(known) for condition in conditions)
