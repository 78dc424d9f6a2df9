"""Running a sweep: what is pending goes to workers, what is finished into the journal, and all of it into a table."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

from t3sim.errors import InputError, Problem
from t3sim.results import Row, complete
from t3sim.simulation.point import identity
from t3sim.sweeps.combinations import Combinations
from t3sim.sweeps.journal import Journal
from t3sim.sweeps.resolve import Job, PointTask, Resolver, task_identity
from t3sim.sweeps.table import row_csv
from t3sim.sweeps.worker import Answer


class Backend(Protocol):
    """What runs jobs, and yields each with its answer, in any order."""

    def run(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Answer], None, None]:
        """Take jobs as there is room for them; yield every one that was taken."""
        ...


@dataclass(slots=True)
class Tally:
    """How far a sweep is: points are counted once, however many combinations lead to them."""

    combinations: int = 0
    points: int = 0
    """Points of the sweep, or of its shard."""
    finished_before: int = 0
    done: int = 0
    """Points that this run has finished."""
    failed: int = 0
    """Of those, the ones that failed."""

    @property
    def pending(self) -> int:
        """Points that this run has to finish in all."""
        return self.points - self.finished_before

    @property
    def left(self) -> int:
        """Points that are not finished yet."""
        return self.pending - self.done


Report = Callable[[Tally], None]


@dataclass(slots=True)
class Runner:
    """Runs the pending points of a sweep, or of one shard of it, into a journal."""

    combinations: Combinations
    journal: Journal
    resolver: Resolver
    shard: tuple[int, int] = (1, 1)
    retry_failed: bool = False
    fail_fast: bool = False
    report: Report = lambda _: None
    tally: Tally = field(default_factory=Tally)
    recipes: list[tuple[str, ...]] = field(default_factory=list)
    """Recipes of each combination, in their order."""
    _pending: dict[str, None] = field(default_factory=dict)

    def count(self) -> Tally:
        """Count what there is to do. Raises ``InputError`` for names of files, schemes or sublayers that are none."""
        if self.combinations.size > (most := self.combinations.spec.max_points):
            raise InputError(Problem(message=f"{self.combinations.size} combinations", key="max_points", value=most))
        self.recipes = [
            tuple(task.recipe for task in self.resolver.tasks(combination.settings))
            for combination in self.combinations
        ]
        number, count = self.shard
        chosen = list(dict.fromkeys(recipe for recipes in self.recipes for recipe in recipes))[number - 1 :: count]
        self._pending = dict.fromkeys(filter(self._is_pending, chosen))
        self.tally = Tally(len(self.recipes), len(chosen), len(chosen) - len(self._pending))
        return self.tally

    def run(self, backend: Backend) -> None:
        """Run what is pending. Raises ``JournalError`` when a result cannot be kept."""
        if not self._pending:
            return
        self.report(self.tally)
        waiting: dict[str, list[str]] = {}
        # Closed as soon as the block ends, however it ends: no worker goes on for a sweep that has stopped.
        with closing(backend.run(self._jobs(waiting))) as answers:
            for job, answer in answers:
                first, *others = waiting.pop(job.key)
                rows = answer.rows or _failed_rows(identity(job.point), job.schemes, answer)
                self._keep(first, job.key, rows)
                for recipe in others:
                    self._keep_same(recipe, job.key)
                if self.fail_fast and self.tally.failed:
                    break
        self.journal.flush()

    def _is_pending(self, recipe: str) -> bool:
        return not self.journal.has(recipe) or (self.retry_failed and self.journal.failed(recipe))

    def _jobs(self, waiting: dict[str, list[str]]) -> Iterator[Job]:
        """Yield the jobs to run; ``waiting`` gets the recipes that wait for each, by the job's key."""
        run_here: set[str] = set()
        for task in self._pending_tasks():
            try:
                job = self.resolver.job(task)
            except InputError as error:
                answer = Answer(error_type=type(error).__name__, error_message=str(error))
                self._keep(task.recipe, task.recipe, _failed_rows(task_identity(task), task.schemes, answer))
                if self.fail_fast:
                    return
                continue
            if job.key in waiting:
                waiting[job.key].append(task.recipe)
            elif self.journal.has_key(job.key) and (job.key in run_here or not self._is_retried(task)):
                self._keep_same(task.recipe, job.key)
            else:
                run_here.add(job.key)
                waiting[job.key] = [task.recipe]
                yield job

    def _pending_tasks(self) -> Iterator[PointTask]:
        left = dict(self._pending)
        for combination, recipes in zip(self.combinations, self.recipes, strict=True):
            if any(recipe in left for recipe in recipes):
                for task in self.resolver.tasks(combination.settings):
                    if task.recipe in left:
                        del left[task.recipe]
                        yield task

    def _is_retried(self, task: PointTask) -> bool:
        return self.journal.has(task.recipe)  # and pending none the less

    def _keep(self, recipe: str, key: str, rows: Sequence[Row]) -> None:
        failed = any(row["status"] != "ok" for row in rows)
        self.journal.add(recipe, key, list(map(row_csv, rows)), failed=failed)
        self._count_done(failed)

    def _keep_same(self, recipe: str, key: str) -> None:
        self.journal.add_same(recipe, key)
        self._count_done(self.journal.failed(recipe))

    def _count_done(self, failed: bool) -> None:  # noqa: FBT001 - called here only
        self.tally.done += 1
        self.tally.failed += failed
        self.report(self.tally)


def _failed_rows(known: Row, schemes: Sequence[str], answer: Answer) -> tuple[Row, ...]:
    error = {"status": "failed", "error_type": answer.error_type, "error_message": answer.error_message}
    return tuple(complete({**known, "scheme": scheme, **error}) for scheme in schemes)
