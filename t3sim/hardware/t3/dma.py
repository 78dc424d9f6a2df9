"""The DMA engine: executes pre-programmed commands when the tracker marks them ready. Uses no CUs.

A command reads its tile from DRAM and sends it over the link. Ready commands start in the order they became ready;
at most ``outstanding`` tiles are between the start of their read and their acceptance by the link.

The data plane carries them out (``hardware.plane.dma``); here its row is set up and looked at.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from t3sim.config import Femtoseconds, Spec
from t3sim.hardware.clock import Environment
from t3sim.hardware.plane import trigger_state as kinds
from t3sim.hardware.plane.plane import Plane, plane_of
from t3sim.hardware.plane.state import NONE
from t3sim.hardware.probe import Probe


class DmaSpec(Spec):
    """The DMA engine of one GPU."""

    outstanding: Annotated[int, Field(gt=0)]
    """Commands in flight."""
    command_latency: Femtoseconds
    """From trigger to the first read request."""


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """One pre-programmed transfer, as a probe sees it."""

    nbytes: int


class DmaEngine:
    """Command queue between memory and link."""

    def __init__(self, env: Environment, spec: DmaSpec, rank: int) -> None:
        self.spec = spec
        self.name = f"Gpu[{rank}].Dma"
        self.probe: Probe | None = None
        self._rank = rank
        self._plane = plane = plane_of(env)
        self.number = plane.add("engines", [(spec.outstanding, spec.command_latency, 0, 0, NONE, NONE)])
        """Of its row in the data plane."""
        self._commands: dict[int, Command] = {}
        """By row, as the probe knows them."""
        _register(plane, self)

    def waiting(self) -> list[str]:
        """Say what is still open, for a stall report."""
        row = self._plane.rows("engines")[self.number]
        if not (row["ready"] or row["in_flight"]):
            return []
        return [f"{self.name}: {row['ready']} commands ready, {row['in_flight']} in flight"]

    # What the plane tells.

    def tell_triggered(self, row: int) -> None:
        """Let the probe see a command that is ready."""
        group = int(self._plane.rows("commands")["group"][row])
        command = self._commands[row] = Command(int(self._plane.rows("groups")["nbytes"][group]))
        self._seen_by.command_triggered(self._rank, command)

    def tell_started(self, row: int) -> None:
        """Let the probe see that a command's read is submitted."""
        self._seen_by.command_started(self._rank, self._commands[row])

    def tell_read(self, row: int) -> None:
        """Let the probe see that a command's data are read."""
        self._seen_by.command_read(self._rank, self._commands[row])

    def tell_handed_over(self, row: int) -> None:
        """Let the probe see that they are queued at the network."""
        self._seen_by.command_handed_over(self._rank, self._commands[row])

    def tell_ended(self, row: int) -> None:
        """Let the probe see that the network has taken them."""
        self._seen_by.command_ended(self._rank, self._commands[row])

    @property
    def _seen_by(self) -> Probe:
        assert self.probe is not None
        return self.probe


def _register(plane: Plane, engine: DmaEngine) -> None:
    """Let the plane tell an engine what it has to know."""
    found: list[Any] = plane.parts.setdefault("engines", [])
    found.append(engine)

    def of(row: int) -> DmaEngine:
        station = plane.rows("fires")["station"][plane.rows("commands")["fire"][row]]
        one: DmaEngine = found[int(plane.rows("units")["dma"][plane.rows("stations")["unit"][station]])]
        return one

    plane.handlers |= {
        kinds.TELL_TRIGGERED: lambda row, _b, _c: of(row).tell_triggered(row),
        kinds.TELL_STARTED: lambda row, _b, _c: of(row).tell_started(row),
        kinds.TELL_READ: lambda row, _b, _c: of(row).tell_read(row),
        kinds.TELL_HANDED_OVER: lambda row, _b, _c: of(row).tell_handed_over(row),
        kinds.TELL_COMMAND_ENDED: lambda row, _b, _c: of(row).tell_ended(row),
    }
