"""Copy engines: DMA units that the host or a stream commands. They move bytes without CUs, and cannot add."""

from typing import Annotated

from pydantic import Field

from t3sim.config import Femtoseconds, PositiveBytes, Spec

MOST_ENGINES = 2**10


class CopyEnginesSpec(Spec):
    """The copy engines of one GPU; copies to as many peers go on at once as there are engines."""

    count: Annotated[int, Field(gt=0, le=MOST_ENGINES)] = 2
    """Engines; copies beyond that take turns."""
    outstanding: PositiveBytes = 512 * 1024
    """Bytes that one engine keeps in flight."""
    start_up: Femtoseconds = 0
    """From the start of a copy's command to its first read."""
