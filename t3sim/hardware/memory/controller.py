"""The memory controller as a SimPy component: bursts in, completions out.

The channel model advances lazily: when bursts arrive, and at the next completion somebody waits for. Arbitration
happens once per instant, after everything that arrives in it (``Order.SETTLE``), so the order in which a GPU's parts
submit within one femtosecond does not matter.
"""

from t3sim.errors import SimulationError
from t3sim.hardware.clock import Action, Environment, Order, call_after, call_at
from t3sim.hardware.memory.access import Access, Cause, Stream
from t3sim.hardware.memory.arbitration import ArbitrationPolicy, decision_table
from t3sim.hardware.memory.model import MOST_CAUSES, Channels, MemorySpec
from t3sim.hardware.probe import Probe
from t3sim.hardware.standing import BusStanding
from t3sim.lowering.layout import Place


class MemoryController:
    """One GPU's memory controller, DRAM queue and channels."""

    def __init__(self, env: Environment, spec: MemorySpec, policy: ArbitrationPolicy, rank: int) -> None:
        self.env = env
        self.name = f"Gpu[{rank}].Memory"
        self.spec = spec
        self.probe: Probe | None = None
        self.submitted: dict[Cause, int] = {}
        """Bytes asked of it, by cause, in the order of their first bursts."""
        self._rank = rank
        self._number_of: dict[Cause, int] = {}
        self._channel = spec.channel()
        self._waiters: dict[tuple[int, int], Action] = {}
        self._settling = False
        self._wake_fs = 0
        self._advanced_fs = -1
        self._configured = policy
        self._idle = policy.tuned(0.0)
        """The policy while no GEMM runs, which takes no bandwidth then."""
        self.use_policy(self._idle)

    def use_policy(self, policy: ArbitrationPolicy) -> None:
        """Arbitrate by ``policy`` from now on."""
        self.policy = policy
        self._table = decision_table(policy, self.spec.queue_entries)

    def submit(
        self, stream: Stream, access: Access, nbytes: int, cause: Cause, place: Place, done: Action | None = None
    ) -> None:
        """Queue a burst of ``nbytes`` at ``place``.

        ``done`` runs when a read's data arrive or a write or update is in memory.
        """
        assert nbytes > 0, f"{self.name}: empty burst"
        if self.probe is not None:
            done = self.probe.burst_submitted(self._rank, stream, access, nbytes, cause, done)
        lane = 2 * stream + (access is not Access.READ)
        is_update, notify = access is Access.UPDATE, done is not None
        number_of_cause = self._number_of.get(cause)
        if number_of_cause is None:
            number_of_cause = self._new_cause(cause)
        number = self._channel.push(lane, nbytes, number_of_cause, place, is_update=is_update, notify=notify)
        self.submitted[cause] += nbytes
        if done is not None:
            self._waiters[lane, number] = done
        self._settle_later()

    def _new_cause(self, cause: Cause) -> int:
        """Give a cause its number in the channel's counters. Raises ``SimulationError`` for too many."""
        if len(self._number_of) == MOST_CAUSES:
            raise SimulationError(f"{self.name}: more than {MOST_CAUSES} causes of traffic")
        number = self._number_of[cause] = len(self._number_of)
        self.submitted[cause] = 0
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
            self._settle_later()

    @property
    def channel(self) -> Channels:
        """What serves the DRAM queue."""
        return self._channel

    def served_bytes(self) -> dict[Cause, int]:
        """Bytes served up to now, by cause."""
        self._advance()
        return self.counted_bytes()

    def counted_bytes(self) -> dict[Cause, int]:
        """Bytes served up to where the channel has been advanced to, by cause."""
        served = self._channel.served()
        return {cause: int(served[number]) for cause, number in self._number_of.items()}

    def busy_fs(self) -> int:
        """Time the channel has spent serving."""
        return self._channel.busy_fs()

    def commands(self) -> dict[str, int]:
        """Commands and requests of all channels up to now, by the model's names; empty for one that has no rows."""
        self._advance()
        return self._channel.commands()

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
        return found + [f"{self.name}: {fault}" for fault in self._channel.faults()]

    def standing(self) -> BusStanding | None:
        """Say how the channels stand; ``None`` where something is left to do, or they cannot be resumed."""
        if self.pending() or self._waiters or self.policy != self._idle:
            return None
        return self._channel.standing(int(self.env.now))

    def resume(self, standing: BusStanding) -> None:
        """Go on from there, at time 0."""
        self._channel.resume(standing)

    def pending(self) -> int:
        """Bursts not yet served."""
        return sum(self._channel.pending().values())

    def waiting(self) -> list[str]:
        """Say what is still queued, for a stall report."""
        names = ("compute reads", "compute writes", "communication reads", "communication writes")
        return [
            f"{self.name}: {count} bursts of {names[lane]}" for lane, count in self._channel.pending().items() if count
        ]

    def _settle_later(self) -> None:
        if not self._settling:
            self._settling = True
            call_after(self.env, 0, self._settle, Order.SETTLE)

    def _settle(self) -> None:
        self._settling = False
        self._advance()
        self._plan()

    def _plan(self) -> None:
        """Let in what was pushed and wake at the next completion that somebody waits for."""
        next_end = self._channel.admit(self._table, int(self.env.now))
        if self.probe is not None:
            self.probe.memory_advanced(self._rank)
        if next_end and next_end != self._wake_fs:
            call_at(self.env, next_end, lambda: self._wake(next_end), Order.MEMORY)
        self._wake_fs = next_end

    def _wake(self, planned_fs: int) -> None:
        if planned_fs == self._wake_fs:  # else something arrived since and changed the plan
            self._wake_fs = 0
            self._advance()
            if not self._settling:  # else what completed led to new bursts, and settling them plans anew
                self._plan()

    def _advance(self) -> None:
        """Serve up to now and hand out what completed."""
        now = int(self.env.now)
        if now == self._advanced_fs:
            return
        self._advanced_fs = now
        completed = self._channel.advance(self._table, now)
        if self.probe is not None:
            self.probe.memory_advanced(self._rank)
        for lane, number, end in completed:
            done = self._waiters.pop((lane, number))
            if lane % 2 == 0:
                call_at(self.env, end + self.spec.read_latency, done)
            elif end == now:
                done()
            else:
                call_at(self.env, end, done, Order.MEMORY)
