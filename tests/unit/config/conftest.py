"""Specs and files to load them from, for every test of the configuration."""

from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Literal

import pytest
from pydantic import Field, model_validator

from t3sim.config import Bytes, Femtoseconds, Hertz, PositiveBytesPerSecond, Spec, load
from t3sim.errors import InputError


class RoundRobin(Spec):
    """A policy without parameters."""

    policy: Literal["round_robin"] = "round_robin"


class Threshold(Spec):
    """A policy with a parameter."""

    policy: Literal["threshold"] = "threshold"
    occupancy: Annotated[int, Field(ge=0)]


class Direction(Enum):
    """A choice of words."""

    EACH = "each"
    BOTH = "both"


class Memory(Spec):
    """A part with quantities and a choice of policies."""

    bandwidth: PositiveBytesPerSecond
    capacity: Bytes
    latency: Femtoseconds = 0
    efficiency: Annotated[float, Field(gt=0, le=1)] = 1.0
    arbitration: Annotated[RoundRobin | Threshold, Field(discriminator="policy")] = RoundRobin()


class Link(Spec):
    """A part with a rule of its own."""

    latency: Femtoseconds
    lanes: tuple[int, ...] = ()
    direction: Annotated[Direction, Field(strict=False)] = Direction.EACH

    @model_validator(mode="after")
    def _lanes_come_in_pairs(self) -> "Link":
        if len(self.lanes) % 2:
            raise ValueError(f"lanes come in pairs, not {len(self.lanes)}")
        return self


class System(Spec):
    """A system of optional and repeated parts."""

    name: str
    memory: Memory
    link: Link | None = None
    clock: Hertz = 10**9
    stages: tuple[Memory, ...] = ()
    either: int | bool | None = None
    is_mirror: bool = True


BASE = """\
format: t3sim-system
version: 1
name: base
memory:
  bandwidth: {value: 1 TB/s, source: vendor sheet, class: datasheet}
  capacity: 16 GiB
  arbitration: {policy: threshold, occupancy: 4}
link:
  latency: 500 ns
  lanes: [1, 2]
"""


@pytest.fixture
def specs():
    """Return the classes of the specs above, by name."""
    return SimpleNamespace(
        RoundRobin=RoundRobin,
        Threshold=Threshold,
        Direction=Direction,
        Memory=Memory,
        Link=Link,
        System=System,
    )


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file of the folder 'presets', which is where names are looked up."""
    monkeypatch.chdir(tmp_path)
    Path("presets").mkdir()

    def write(name, text):
        path = Path("presets") / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def loaded():
    """Load a system, with overrides."""

    def loaded(ref, *overrides):
        return load(System, ref, folder=Path("presets"), format_name="t3sim-system", overrides=overrides)

    return loaded


@pytest.fixture
def refusal(loaded):
    """Return the text of the error with which a system is refused."""

    def refusal(ref, *overrides):
        with pytest.raises(InputError) as refused:
            loaded(ref, *overrides)
        return str(refused.value)

    return refusal


@pytest.fixture
def base():
    """Return the text of a system without mistakes."""
    return BASE
