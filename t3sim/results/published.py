"""Published figures beside simulated ones."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedTarget:
    """One published figure, and what the simulation gives in its place."""

    id: str
    figure: str = ""
    """What it is, in words for a table."""
    set: str
    """Which of the published experiments."""
    published: float
    simulated: float | None
    """``None``: see ``status``."""
    error: float | None
    """simulated - published."""
    calibrated: float | None = None
    """The same simulated with the system that is calibrated on the publication, where that is known."""
    use: str
    """``predict``: had to come out by itself; ``calibrate``: a parameter was chosen with it."""
    status: str
    """``ok``, ``not modelled`` or ``failed``."""
