"""What can go wrong, as types: bad input (exit code 2) and runs that failed (exit code 1)."""

import difflib
import enum
import reprlib
from dataclasses import dataclass
from typing import ClassVar, Final

_MAX_LINES: Final = 50
_MAX_SHOWN: Final = 80
# Huge values are cut before they are spelled out; what is left of nested ones is cut once more.
_shorten: Final = reprlib.Repr()
_shorten.maxstring = _shorten.maxlong = _shorten.maxother = _MAX_SHOWN


class NoValue(enum.Enum):
    """The type of `NO_VALUE`; an enum, because its member stays the same object through pickling."""

    NO_VALUE = enum.auto()

    def __repr__(self) -> str:
        return self.name


NO_VALUE: Final = NoValue.NO_VALUE
"""Says that a problem has no value to show; None is a value that a file can hold."""


def nearest(name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names in `known` that `name` may be a misspelling of, the likeliest first."""
    by_folded = {candidate.casefold(): candidate for candidate in reversed(known)}
    return tuple(by_folded[match] for match in difflib.get_close_matches(name.casefold(), by_folded))


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with the input, where it is, and what would have been right.

    `key` is a dotted path, `line` counts from 1, and `known` lists the accepted words. The nearest of
    them is found by `value` where that is text, and by the last part of `key` otherwise.
    """

    message: str
    file: str | None = None
    line: int | None = None
    key: str | None = None
    value: object = NO_VALUE
    known: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = [self.file or "", "" if self.line is None else str(self.line)]
        parts = [":".join(filter(None, place)), self.key or "", self._sentence()]
        return one_line(": ".join(filter(None, parts)))

    def _sentence(self) -> str:
        if self.value is NO_VALUE:
            return f"{self.message}{self._hint()}"
        shown = _shorten.repr(self.value)
        cut = shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}..."
        return f"{self.message}, got {cut}{self._hint()}"

    def _hint(self) -> str:
        if not self.known:
            return ""
        subject = self.value if isinstance(self.value, str) else (self.key or "").rpartition(".")[2]
        near = nearest(subject, self.known)
        ordered = (*near, *(name for name in self.known if name not in near))
        guess = f"did you mean {near[0]}?; " if near else ""
        return f" ({guess}known: {', '.join(ordered)})"


class T3SimError(Exception):
    """Base of every error that t3sim raises on purpose."""

    exit_code: ClassVar[int] = 1


class InputError(T3SimError):
    """The input is wrong: `InputError(problem, ...)`, shown as one line per problem."""

    exit_code: ClassVar[int] = 2

    def __init__(self, *problems: Problem) -> None:
        # The problems are the arguments, so that the error survives pickling between processes.
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[:_MAX_LINES]]
        left = len(self.problems) - len(lines)
        return "\n".join([*lines, *([f"and {left} more problems"] if left else [])])


class PlanError(T3SimError, ValueError):
    """A collective cannot be planned like that, or a plan does not do what it should.

    It is a ValueError too, so that a wrong choice in the validator of a spec is reported as wrong input.
    """

    exit_code: ClassVar[int] = 2


class SimulationError(T3SimError):
    """A run failed its own checks."""


class StallError(SimulationError):
    """No event is left, but work is not done."""


class DataError(SimulationError):
    """Memory does not hold what it has to after a run."""


def one_line(text: str) -> str:
    """Escape what would break the line or the terminal: names of files and keys are the user's."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
