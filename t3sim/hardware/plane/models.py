"""What a memory model is to the data plane: five compiled parts, of which a plane has those of its memories' model.

A plane has memories of one model. Its tables are of a type for this model alone (see ``tables.by_kind``), so that what
is compiled for it has nothing of other models in it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from t3sim.compiled import Record
from t3sim.hardware.plane.state import State
from t3sim.tables import by_kind


class Model(NamedTuple):
    """The parts of a memory model; ``number`` is that of a controller."""

    queue_burst: Callable[[State, int, int, int, int, int, int, int, int], int]
    """(state, number, lane, nbytes, cause, is_update, kind, a, b): queue a burst; return how the model calls it.

    It takes part in arbitration from the next ``admit_and_predict`` on. ``kind``, ``a``, ``b``: the frame that is done
    when it is complete.
    """
    spread_burst: Callable[[State, int, int], None]
    """(state, number, burst): find where a burst lies that was queued just now, if the model asks for that.

    Where it has no room for what it finds, it has this done again (``SPREAD``) when tables have grown.
    """
    serve: Callable[[State, int, int], int]
    """(state, number, now): serve all that nothing can change any more; return how many awaited bursts completed."""
    completed: Callable[[State, int, int], Record]
    """(state, number, index): one of these, with its ``lane``, ``end``, ``kind``, ``a`` and ``b``; an end may come yet.

    Each is asked for once, in order.
    """
    admit_and_predict: Callable[[State, int, int], int]
    """(state, number, now): let in what was queued; when to serve for the next awaited burst if no more comes, or 0."""


_parts: dict[str, dict[str, Callable[..., Any]]] = {name: {} for name in Model._fields}


def add_model(name: str, model: Model) -> None:
    """Let planes have memories of a model."""
    for field, part in model._asdict().items():
        _parts[field][name] = part


queue_burst, spread_burst, serve, completed, admit_and_predict = (
    by_kind(State, _parts[name]) for name in Model._fields
)
