"""What a reader has to know of the schemes in a result: each declares it where it registers, nobody guesses by name."""

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from t3sim.registry import get, names

Role = Literal["baseline", "scheme", "ideal", "extension", "rival"]
"""``baseline``: what all others are compared with. ``ideal``: a bound, which no machine runs. ``extension``: more than
the paper evaluates; ``rival``: what software does on today's GPUs. These two are run where they are asked for."""
USUAL: frozenset[Role] = frozenset({"baseline", "scheme", "ideal"})
"""Roles of schemes that are run where none is named."""
SOFTWARE: frozenset[Role] = frozenset({"baseline", "rival"})
"""Roles of schemes that today's GPUs run."""
HARDWARE: frozenset[Role] = frozenset({"scheme", "extension"})
"""Roles of schemes that need T3's hardware."""

_KIND: Final = "scheme"


class Declared(Protocol):
    """What the class of every registered scheme says of it."""

    label: str
    """Name as the paper writes it."""
    role: Role
    order: int
    """Place in tables."""


@dataclass(frozen=True, slots=True)
class SchemeInfo:
    """One scheme, for a reader."""

    name: str
    """As ``--scheme`` and the column ``scheme`` have it."""
    label: str
    """Name as the paper writes it."""
    role: Role


def scheme_info(name: str) -> SchemeInfo:
    """Say what the scheme ``name`` is; one that is not registered here, as another version's, is just a scheme."""
    if name not in names(_KIND):
        return SchemeInfo(name, name, "scheme")
    declared: type[Declared] = get(_KIND, name)
    return SchemeInfo(name, declared.label, declared.role)


def is_ideal(name: str) -> bool:
    """Whether a scheme is a bound that no machine runs."""
    return scheme_info(name).role == "ideal"


def baseline() -> str:
    """Name the scheme that all others are compared with."""
    (name,) = (name for name in names(_KIND) if scheme_info(name).role == "baseline")
    return name
