"""What carries out a collective's tasks on one GPU: which CUs or copy engines, in which lanes, by slice or by chunk."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from t3sim.collectives.plan import Kind, MoveId, Plan, Task, part_of


@dataclass(frozen=True, slots=True)
class Carriers:
    """CUs that copy and sum; or copy engines, and CUs that sum. Engines learn of what has arrived by whole chunks."""

    window: int
    """Bytes that the CUs keep in flight."""
    engines: tuple[int, ...] = ()
    """Of each copy engine: bytes that it keeps in flight; none: CUs copy as well."""
    copy_start_fs: int = 0
    """From the start of an engine's copy to its first read."""
    sum_start_fs: int = 0
    """From the start of a sum beside engines to its first read: a kernel is launched for it."""

    def by_slice(self, plan: Plan, task: Task) -> bool:
        """Whether a slice of a task waits for that slice alone: in all of some plans, and in the last sums of all."""
        if self.engines or not task.reads:
            return False
        return plan.by_slice or (task.move is not None and task.move.number in plan.last_sums)

    def sums(self, plan: Plan, task: Task) -> bool:
        """Whether a task is a sum that is carried out beside the lane that it belongs to.

        While a ring's rank sends its last chunk, its own comes in and is summed; of shots, all lanes' CUs sum together.
        """
        if plan.in_shots or self.engines:
            return task.kind is Kind.LOCAL and task.reads > 0
        return self.by_slice(plan, task) and not plan.by_slice

    def lane(self, plan: Plan, task: Task) -> tuple[int, bool]:
        """Say in which lane a task is carried out: that of the plan, or the one beside it for sums.

        Where nothing that is copied waits for what arrives, an engine takes copies of several lanes one by one.
        """
        if self.engines and not task.reads:
            return -1 - task.lane, False
        if self.engines and plan.in_shots and not self.sums(plan, task):
            return task.lane % len(self.engines), False
        return task.lane, self.sums(plan, task)

    def start_fs(self, plan: Plan, task: Task) -> int:
        """From the moment at which a task may begin to its first read."""
        if not self.engines or not task.reads:
            return 0
        return self.sum_start_fs if self.sums(plan, task) else self.copy_start_fs

    def sums_for_others(self, plan: Plan, tasks: Sequence[Task]) -> dict[MoveId, int]:
        """Find the sums of a rank that another lane than their own waits for, each with its part of the buffer."""
        lanes = {task.move: self.lane(plan, task) for task in tasks}
        return {
            move: part_of(plan, task.chunk)
            for task in tasks
            for move in task.own
            if lanes[move] != self.lane(plan, task)
        }

    def sums_beside(self, plan: Plan, tasks: Sequence[Task]) -> dict[MoveId, int]:
        """Find the sums during which another lane of a rank may still send what they add; each with its part."""
        return {
            task.move: part_of(plan, task.chunk)
            for task in tasks
            if task.kind is Kind.LOCAL and task.move is not None
            for other in tasks
            if other.reads and other.chunk == task.chunk and task.move not in other.own
            if self.lane(plan, other) != self.lane(plan, task)
        }


def staged(tasks: Sequence[Task]) -> list[Task]:
    """Let a kernel whose data arrive in a buffer of its own copy what is only waited for.

    Copies of other chunks overlap with sending them on, and a sum is written anyway.
    """
    return [replace(task, kind=Kind.LOCAL, reads=1) if task.waits and not task.reads else task for task in tasks]
