"""A worker process: takes jobs from the process that started it, one at a time, until there are no more.

It speaks over an inherited socket, and watches its stdin, whose other end the parent holds and never writes to: when
the parent is gone, however it ended, the worker ends at once, in the middle of a point too.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

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


def serve(descriptor: int) -> None:
    """Answer jobs that come over the socket ``descriptor``, the function that simulates them first."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with Connection(descriptor) as connection, contextlib.suppress(EOFError, OSError):
        simulate = connection.recv()
        while True:
            connection.send(answer(connection.recv(), simulate))


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)
