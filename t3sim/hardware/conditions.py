"""Machines that are not as they should be: GPUs slower or late, DRAM channels lost, links in trouble, jitter.

What is random is drawn from generators seeded by ``seed`` and the name of what it happens to, so that one condition
changes nothing of another, and every scheme meets the same jitter in the same kernel.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from t3sim.config import Femtoseconds, Spec
from t3sim.hardware.clock import HORIZON_FS
from t3sim.hardware.network.conditions import Conditions, LinkCondition
from t3sim.hardware.network.wiring import Wiring, link_name
from t3sim.registry import UnknownNameError

_ALL = "all"
"""In place of the name of a GPU or link: all that are not named."""
MOST_SEEDS = 10_000
_LATEST_FS = HORIZON_FS // 4  # leaves room for the run itself

Delay = Annotated[Femtoseconds, Field(le=_LATEST_FS)]


class GpuCondition(Spec):
    """What is wrong with one GPU."""

    speed: Annotated[float, Field(ge=0.001, le=1000)] = 1.0
    """Of its CUs and LLC, relative to their clock."""
    start: Delay = 0
    """When it begins with its first kernel, from the start of the run."""
    lost_channels: Annotated[int, Field(ge=0)] = 0
    """DRAM channels that do not work; the others serve all addresses."""


class KernelJitter(Spec):
    """How much later than launched a kernel starts, drawn for each kernel on each GPU."""

    distribution: Literal["exponential", "normal", "uniform"]
    """``exponential``: mean `scale`; ``normal``: size of a deviation of `scale`; ``uniform``: up to `scale`."""
    scale: Delay
    """Of the distribution."""

    def draw(self, random: np.random.Generator) -> int:
        """Draw one delay, fs."""
        match self.distribution:
            case "exponential":
                delay = random.exponential(self.scale)
            case "normal":
                delay = abs(random.normal(0, self.scale))
            case "uniform":
                delay = random.uniform(0, self.scale)
        return round(delay)


class ConditionsSpec(Spec):
    """What is wrong with a group of GPUs; nothing, if not said."""

    gpus: dict[str, GpuCondition] = Field(default_factory=dict)
    """By number, or ``all``: those that are not named."""
    links: dict[str, LinkCondition] = Field(default_factory=dict)
    """By name, as in ``Link[0->1]`` or ``Link[3->Switch[0]]``, or ``all``: those that are not named."""
    kernel_start_jitter: KernelJitter | None = None
    """Added to the launch of each kernel."""
    seed: Annotated[int, Field(ge=0, le=2**31)] = 0
    """Decides all that is random."""
    seeds: Annotated[int, Field(gt=0, le=MOST_SEEDS)] = 1
    """How many seeds to run where something is random: this one and those that follow it."""

    @field_validator("gpus", mode="before")
    @classmethod
    def _by_text(cls, value: Any) -> Any:
        return {str(name): condition for name, condition in value.items()} if isinstance(value, dict) else value

    @field_validator("gpus")
    @classmethod
    def _are_numbers(cls, value: dict[str, GpuCondition]) -> dict[str, GpuCondition]:
        for name in value:
            if name != _ALL and (not name.isdecimal() or name != str(int(name))):
                raise ValueError(f"{name!r} is no GPU: give a number, counted from 0, or {_ALL!r}")
        return value

    @property
    def is_random(self) -> bool:
        """Whether another seed may give another result."""
        jitter = self.kernel_start_jitter
        return bool(jitter and jitter.scale) or any(condition.loss for condition in self.links.values())

    @property
    def difference(self) -> str:
        """Say why GPUs differ under these conditions; empty where all are alike."""
        if self.kernel_start_jitter and self.kernel_start_jitter.scale:
            return "kernels start at random times"
        if any(condition.loss for condition in self.links.values()):
            return "links lose packets at random"
        rest = self.gpus.get(_ALL, GpuCondition())
        named = [f"GPU {name}" for name, condition in self.gpus.items() if condition != rest]
        other = self.links.get(_ALL, LinkCondition())
        named += [name for name, condition in self.links.items() if condition != other]
        return f"the others do not share the condition of {' and '.join(named)}" if named else ""

    def of_gpu(self, rank: int) -> GpuCondition:
        """Give the condition of one GPU."""
        return self.gpus.get(str(rank), self.gpus.get(_ALL, GpuCondition()))

    def of_links(self, wiring: Wiring, ranks: Iterable[int]) -> Conditions:
        """Give the conditions of the links that belong to ``ranks``."""
        if not self.links:
            return Conditions()
        rest = self.links.get(_ALL, LinkCondition())
        found = {name: self.links.get(name, rest) for name in _links_of(wiring, ranks)}
        in_trouble = {name: condition for name, condition in found.items() if condition != LinkCondition()}
        return Conditions(links=in_trouble, seed=self.seed)

    def jitter_fs(self, rank: int, kernel: str) -> int:
        """Say how much later than launched a kernel of this name starts on GPU ``rank``."""
        if self.kernel_start_jitter is None:
            return 0
        return self.kernel_start_jitter.draw(np.random.default_rng([self.seed, rank, *kernel.encode()]))

    def unknown(self, wiring: Wiring) -> Iterator[UnknownNameError]:
        """Yield an error for each GPU and link that is named and does not exist."""
        for name in self.gpus:
            if name != _ALL and int(name) >= wiring.gpus:
                yield UnknownNameError("GPU", name, (_ALL, *map(str, range(wiring.gpus))))
        links = _links_of(wiring, range(wiring.gpus)) if self.links else ()
        for name in self.links:
            if name != _ALL and name not in links:
                yield UnknownNameError("link", name, (_ALL, *links))


def _links_of(wiring: Wiring, ranks: Iterable[int]) -> tuple[str, ...]:
    return tuple(link_name(edge) for rank in ranks for edge in wiring.cabling.links(rank))


SOUND = ConditionsSpec()
"""Nothing is wrong."""
