"""Links that are not as they should be: slower, farther, down for a while or for ever, losing packets."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated

import numpy as np
from pydantic import Field, field_validator, model_validator

from t3sim.compiled import IntArray
from t3sim.config import Femtoseconds, Spec


class Outage(Spec):
    """A time in which a link carries nothing; what is on the wire stops and goes on after."""

    start: Femtoseconds = Field(alias="from")
    """When it goes down."""
    end: Femtoseconds | None = Field(alias="to", default=None)
    """When it is up again; missing: never."""

    @model_validator(mode="after")
    def _takes_time(self) -> "Outage":
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"goes down at {self.start} fs and must come up later, not at {self.end} fs")
        return self


class LinkCondition(Spec):
    """What is wrong with one link."""

    rate: Annotated[float, Field(ge=0.001, le=1)] = 1.0
    """Share of its bandwidth that is left."""
    latency: Annotated[float, Field(ge=1, le=1000)] = 1.0
    """How many times its latency."""
    down: tuple[Outage, ...] = ()
    """When it carries nothing; in order, without overlap."""
    loss: Annotated[float, Field(ge=0, le=0.99)] = 0.0
    """Probability that a packet is lost; each try holds the wire, and nothing passes it meanwhile."""
    retry: Femtoseconds = 0
    """From the end of a lost packet to its next try."""

    @field_validator("down")
    @classmethod
    def _in_order(cls, value: tuple[Outage, ...]) -> tuple[Outage, ...]:
        for earlier, later in pairwise(value):
            if earlier.end is None or later.start < earlier.end:
                raise ValueError(f"the outage from {later.start} fs begins before the one before it has ended")
        return value


class Conditions(Spec):
    """What is wrong with the network; nothing, if not said."""

    links: dict[str, LinkCondition] = Field(default_factory=dict)
    """By the name of the link, as in ``Link[0->1]`` or ``Link[3->Switch[0]]``."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides which packets are lost."""

    def alike(self, links: Iterable[str]) -> bool:
        """Whether all of ``links`` are in the same condition, and nothing of it is random."""
        found = [self.links.get(name, LinkCondition()) for name in links]
        return all(condition == found[0] and not condition.loss for condition in found)


def tries_of(condition: LinkCondition, seed: int, name: str) -> "Tries | None":
    """Make what says how often each packet of a link is sent; ``None`` where none is lost."""
    return Tries(condition.loss, seed, name) if condition.loss else None


class Tries:
    """How often the packets of one link are sent: which are lost is decided by the seed and the link's name."""

    def __init__(self, loss: float, seed: int, name: str) -> None:
        self._loss = loss
        self._random = np.random.default_rng([seed, *name.encode()])

    def next(self, packets: int) -> IntArray:
        """Draw for so many packets: how often each is sent until it gets through, shape (packets,)."""
        return self._random.geometric(1 - self._loss, packets).astype(np.int64)
