"""The memory controller of one GPU as other parts see it: bursts in, completions out.

The data plane does the work (see ``hardware.plane.memory``).
"""

from typing import Any

import numpy as np

from t3sim.compiled import IntArray
from t3sim.errors import SimulationError
from t3sim.hardware.clock import Action, Environment
from t3sim.hardware.memory.access import Access, Cause, Stream
from t3sim.hardware.memory.arbitration import ArbitrationPolicy, decision_table
from t3sim.hardware.memory.fluid.tables import COUNTERS, NOW
from t3sim.hardware.memory.model import LANES, MOST_CAUSES, MemorySpec, MemoryView
from t3sim.hardware.memory.turns import NO_TURNS, TURNS
from t3sim.hardware.plane import kinds
from t3sim.hardware.plane.engine import SUBMIT
from t3sim.hardware.plane.plane import Plane, plane_of
from t3sim.hardware.plane.state import REGION, blocks_of
from t3sim.hardware.probe import Probe
from t3sim.hardware.standing import BusStanding
from t3sim.lowering.layout import Place, Region


class MemoryController:
    """One GPU's memory controller, DRAM queue and channels."""

    def __init__(self, env: Environment, spec: MemorySpec, policy: ArbitrationPolicy, rank: int) -> None:
        self.env = env
        self.name = f"Gpu[{rank}].Memory"
        self.spec = spec
        self._probe: Probe | None = None
        self._rank = rank
        self._causes: list[Cause] = []
        self._number_of: dict[Cause, int] = {}
        self._plane = plane = plane_of(env)
        model = spec.channel()
        self.number = plane.add_controller(model, spec.read_latency)
        """Of its row in the plane."""
        self._view: MemoryView = FluidView(plane, self.number) if isinstance(model, tuple) else model
        self._first_region, self._room, self._regions = 0, 0, 0
        """Where it puts what Python's bursts touch: for how many blocks there is room, and how many the last had."""
        self._known: Any = None
        self._blocks: IntArray = np.zeros((0, 4), np.int64)
        """The plane's table of regions, and its rows as numbers."""
        _register(plane, self)
        self._configured = policy
        self._idle = policy.tuned(0.0)
        """The policy while no GEMM runs, which takes no bandwidth then."""
        self.use_policy(self._idle)

    @property
    def probe(self) -> Probe | None:
        """What sees bursts."""
        return self._probe

    @probe.setter
    def probe(self, probe: Probe) -> None:
        self._probe = probe
        self._plane.observe()

    def use_policy(self, policy: ArbitrationPolicy) -> None:
        """Arbitrate by ``policy`` from now on."""
        self.policy = policy
        number = self._plane.table(decision_table(policy, self.spec.queue_entries))
        self._plane.rows("controllers")["table"][self.number] = number

    def submit(
        self, stream: Stream, access: Access, nbytes: int, cause: Cause, place: Place, done: Action | None = None
    ) -> None:
        """Queue a burst of ``nbytes`` at ``place``.

        ``done`` runs when a read's data arrive or a write or update is in memory.
        """
        assert nbytes > 0, f"{self.name}: empty burst"
        lane = 2 * stream + (access is not Access.READ)
        number = self._number_of.get(cause)
        if number is None:
            number = self.number_of(cause)
        if self.spec.uses_places:
            self._locate(place())
        kind, action = (kinds.NOTHING, 0) if done is None else (kinds.TELL, self._plane.action(done))
        self._plane.do(SUBMIT, self.number, lane, nbytes, number, access is Access.UPDATE, kind, action)

    def _locate(self, region: Region) -> None:
        """Tell the plane where the next burst lies."""
        count = len(region)
        if count > self._room:
            self._room = 2 * count
            self._first_region = self._plane.add("regions", np.zeros(self._room, REGION))
        table = self._plane.rows("regions")
        if table is not self._known:
            self._known, self._blocks = table, blocks_of(table)
        self._blocks[self._first_region : self._first_region + count] = region
        if count != self._regions:
            self._regions = count
            row = self._plane.rows("controllers")[self.number]
            row["first_region"], row["regions"] = self._first_region, count

    def number_of(self, cause: Cause) -> int:
        """Give the number by which a cause is counted. Raises ``SimulationError`` for too many causes."""
        number = self._number_of.get(cause)
        if number is None:
            if len(self._causes) == MOST_CAUSES:
                raise SimulationError(f"{self.name}: more than {MOST_CAUSES} causes of traffic")
            number = self._number_of[cause] = len(self._causes)
            self._causes.append(cause)
        return number

    def start_kernel(self) -> None:
        """Protect a GEMM kernel that starts: until its first stage is measured, as the policy is configured."""
        self._switch_to(self._configured)

    def end_kernel(self) -> None:
        """Stop protecting a GEMM kernel that has ended: nothing of it is left to measure."""
        self._switch_to(self._idle)

    def tune(self, intensity: float) -> None:
        """Tell the policy how much of the bandwidth (0..1) the kernel's first stage took."""
        self._switch_to(self.policy.tuned(intensity))

    def _switch_to(self, policy: ArbitrationPolicy) -> None:
        if policy != self.policy:
            self._advance()
            self.use_policy(policy)
            self._plane.perform(kinds.SETTLE_LATER, self.number)

    @property
    def channel(self) -> MemoryView:
        """What serves the DRAM queue."""
        return self._view

    @property
    def submitted(self) -> dict[Cause, int]:
        """Bytes asked of it, by cause, in the order of their first bursts."""
        asked = self._plane.asked[self.number]
        return {self._causes[number]: int(asked["nbytes"][number]) for number in self._asked(asked)}

    def _asked(self, asked: Any) -> list[int]:
        met = [number for number in range(len(self._causes)) if asked["nbytes"][number]]
        return sorted(met, key=lambda number: int(asked["place"][number]))

    def served_bytes(self) -> dict[Cause, int]:
        """Bytes served up to now, by cause."""
        self._advance()
        return self.counted_bytes()

    def counted_bytes(self) -> dict[Cause, int]:
        """Bytes served up to where the channel has been advanced to, by cause."""
        served = self._view.served()
        asked = self._plane.asked[self.number]
        return {self._causes[number]: int(served[number]) for number in self._asked(asked)}

    def busy_fs(self) -> int:
        """Time the channel has spent serving."""
        return self._view.busy_fs()

    def commands(self) -> dict[str, int]:
        """Commands and requests of all channels up to now, by the model's names; empty for one that has no rows."""
        self._advance()
        return self._view.commands()

    def faults(self) -> list[str]:
        """Say in what a run that has ended contradicts itself."""
        served = self.served_bytes()
        found = [
            f"{self.name}: {asked} B of {cause.operation} {cause.direction} asked, {served[cause]} B served"
            for cause, asked in self.submitted.items()
            if asked != served[cause]
        ]
        if self.busy_fs() > int(self.env.now):
            found.append(f"{self.name}: busy for longer than the run took")
        return found + [f"{self.name}: {fault}" for fault in self._view.faults()]

    def standing(self) -> BusStanding | None:
        """Say how the channels stand; ``None`` where something is left to do, or they cannot be resumed."""
        if self.pending() or self.policy != self._idle:
            return None
        return self._view.standing(int(self.env.now))

    def resume(self, standing: BusStanding) -> None:
        """Go on from there, at time 0."""
        self._view.resume(standing)

    def pending(self) -> int:
        """Bursts not yet served."""
        return sum(self._view.pending().values())

    def waiting(self) -> list[str]:
        """Say what is still queued, for a stall report."""
        names = ("compute reads", "compute writes", "communication reads", "communication writes")
        return [
            f"{self.name}: {count} bursts of {names[lane]}" for lane, count in self._view.pending().items() if count
        ]

    def _advance(self) -> None:
        self._plane.perform(kinds.ADVANCE, self.number)

    # What the plane tells.

    def tell_submitted(self, lane: int, number: int) -> None:
        """Let the probe see a burst, and what is to be done when it is complete."""
        assert self._probe is not None
        burst = self._view.burst(lane, number)
        kind, a, b = int(burst["kind"]), int(burst["a"]), int(burst["b"])
        stream = Stream(lane // 2)
        access = Access.READ if lane % 2 == 0 else Access.UPDATE if burst["is_update"] else Access.WRITE
        done = None if kind == kinds.NOTHING else lambda: self._plane.perform(kind, a, b)
        cause = self._causes[int(burst["cause"])]
        done = self._probe.burst_submitted(self._rank, stream, access, int(burst["nbytes"]), cause, done)
        if done is not None:
            burst["kind"], burst["a"], burst["b"] = kinds.TELL, self._plane.action(done), 0

    def tell_advanced(self) -> None:
        """Let the probe look at the counters."""
        if self._probe is not None:
            self._probe.memory_advanced(self._rank)


def _register(plane: Plane, controller: MemoryController) -> None:
    """Let the plane tell a controller what it has to know."""
    found = plane.parts.setdefault("controllers", [])
    found.append(controller)
    if len(found) == 1:
        plane.handlers |= {
            kinds.TELL_SUBMITTED: lambda a, b, c: found[a].tell_submitted(b, c),
            kinds.TELL_ADVANCED: lambda a, _b, _c: found[a].tell_advanced(),
        }


class FluidView:
    """The memory of one controller that the plane serves, to be looked at."""

    def __init__(self, plane: Plane, number: int) -> None:
        self._plane = plane
        self._number = number

    @property
    def _server(self) -> Any:
        return self._plane.memory.servers[self._number, NOW]

    def burst(self, lane: int, number: int) -> Any:
        """Return the row of a burst that was queued just now."""
        bursts = self._plane.memory.bursts
        return bursts[self._number, lane, number % bursts.shape[2]]

    def pending(self) -> dict[int, int]:
        """Bursts not yet served, by lane."""
        tails, lanes = self._plane.tails[self._number], self._plane.memory.queue_lanes[self._number, NOW]
        return {lane: int(tails[lane] - lanes["serving"][lane]) for lane in range(LANES)}

    def served(self) -> list[int]:
        """Bytes served, by cause."""
        served: list[int] = self._plane.memory.served[self._number, NOW].tolist()
        return served

    def occupancy(self) -> int:
        """Count the requests in the DRAM queue."""
        return int(self._server["count"])

    def busy_fs(self) -> int:
        """Time spent serving."""
        return int(self._server["busy"])

    def counters(self) -> dict[str, int]:
        """Count changes of direction and of stream so far, by the names of ``frontend.COUNTERS``."""
        return {name: int(self._server[name]) for name in COUNTERS}

    def commands(self) -> dict[str, int]:
        """Count nothing: there are no rows to open."""
        return {}

    def faults(self) -> list[str]:
        """Find nothing: what is served is what came."""
        return []

    def standing(self, now: int) -> BusStanding:
        """Say how it stands, with nothing left to serve."""
        server, longest = self._server, self._longest_switch_fs()
        turns = tuple(int(server[name]) for name in TURNS)
        last = BusStanding(int(server["last_lane"]), longest, () if turns == NO_TURNS else turns)
        return last.later(now - int(server["free_at"]))

    def resume(self, standing: BusStanding) -> None:
        """Go on from there, at time 0."""
        server = self._server
        server["last_lane"] = standing.last_lane
        server["free_at"] = standing.turning_fs - self._longest_switch_fs()
        for name, value in zip(TURNS, standing.turns or NO_TURNS, strict=True):
            server[name] = value

    def _longest_switch_fs(self) -> int:
        times = self._plane.memory.service[self._number, 0]
        return int(max(times["to_read"], times["to_write"], times["stream_switch"]))
