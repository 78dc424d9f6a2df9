"""Jobs of a sweep in processes of this machine."""

from collections.abc import Generator, Iterable
from functools import partial

from t3sim.processes import Died, Workers
from t3sim.simulation import simulate_point
from t3sim.sweeps.resolve import Job
from t3sim.sweeps.worker import Answer, Simulate, answer


class LocalPool:
    """Runs jobs in ``jobs`` processes of this machine."""

    def __init__(self, jobs: int, simulate: Simulate = simulate_point) -> None:
        self._workers: Workers[Job, Answer] = Workers(jobs, partial(answer, simulate=simulate))

    def run(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Answer], None, None]:
        """Yield each job with its answer, as they finish; a job is taken when a worker is free for it."""
        finished = self._workers.run(jobs)
        try:
            for job, found in finished:
                yield job, _died(found) if isinstance(found, Died) else found
        finally:
            finished.close()  # at once: no worker goes on for jobs that nobody waits for


def _died(found: Died) -> Answer:
    return Answer(error_type="WorkerDied", error_message=found.how)
