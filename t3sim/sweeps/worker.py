"""What a worker does with a job of a sweep, in whatever process it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from t3sim.results import Row
from t3sim.simulation import Point, simulate_point
from t3sim.sweeps.resolve import Job

Simulate = Callable[[Point, Sequence[str]], list[Row]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a job: its rows, or the error that kept it from having any."""

    rows: tuple[Row, ...] = ()
    error_type: str = ""
    error_message: str = ""


def answer(job: Job, simulate: Simulate = simulate_point) -> Answer:
    """Simulate a job; whatever goes wrong is part of the answer."""
    try:
        return Answer(tuple(simulate(job.point, job.schemes)))
    except Exception as error:  # noqa: BLE001 - one point's error, of whatever type, must not end the sweep
        return Answer(error_type=type(error).__name__, error_message=str(error))
