"""Jobs on an existing Dask cluster. Dask gives the task of a lost worker to another one by itself."""

import contextlib
import itertools
import uuid
from collections.abc import Generator, Iterable
from typing import Any, Final

from t3sim.errors import InputError, Problem, SimulationError, T3SimError
from t3sim.simulation import simulate_point
from t3sim.sweeps.resolve import Job
from t3sim.sweeps.worker import Answer, Simulate, answer
from t3sim.version import code_version

_CONNECT_S: Final = 10
_AHEAD: Final = 2
"""Jobs at the cluster for each of its threads: enough for none to wait, few enough for Dask to stay quick."""


class DaskPool:
    """Runs jobs on the Dask cluster whose scheduler is at ``address``, as in ``tcp://10.0.0.1:8786``."""

    def __init__(self, address: str, simulate: Simulate = simulate_point) -> None:
        self.address = address
        self._simulate = simulate

    def run(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Answer], None, None]:
        """Yield each job with its answer, as they finish; a job is taken when the cluster has room for it.

        Raises ``InputError`` when there is no such cluster or no Dask here, ``T3SimError`` when it is lost or runs
        another t3sim.
        """
        distributed = _library()
        waiting = iter(jobs)
        running: dict[str, Job] = {}
        names = (f"t3sim-{uuid.uuid4().hex}-{number}" for number in itertools.count())
        with contextlib.closing(self._connected(distributed)) as client:
            done = distributed.as_completed(loop=client.loop, raise_errors=False)

            def fill() -> None:
                room = _AHEAD * max(1, sum(client.ncores().values()))
                while len(running) < room and (job := next(waiting, None)) is not None:
                    name = next(names)
                    running[name] = job
                    done.add(client.submit(remote_answer, job, self._simulate, code_version(), key=name, pure=False))

            fill()
            while running:
                future = next(done)
                job = running.pop(future.key)
                finished = _answered(distributed, future)
                fill()
                yield job, finished

    def _connected(self, distributed: Any) -> Any:
        try:
            return distributed.Client(self.address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            message = f"no Dask scheduler answers there: {error}"
            raise InputError(Problem(message=message, key="--dask", value=self.address)) from None


def remote_answer(job: Job, simulate: Simulate, code: str) -> Answer:
    """Answer a job on a worker. Raises ``SimulationError`` where t3sim is another one than the sender's."""
    if code_version() != code:
        raise SimulationError(f"a Dask worker has t3sim {code_version()}, and this is {code}: install the same one")
    return answer(job, simulate)


def _answered(distributed: Any, future: Any) -> Answer:
    if future.status == "finished":
        result: Answer = future.result()
        return result
    if future.status != "error":
        raise T3SimError("the Dask cluster was lost; what is finished is kept, the same command goes on from there")
    error = future.exception()
    if isinstance(error, distributed.scheduler.KilledWorker):
        return Answer(error_type="WorkerDied", error_message="every Dask worker that got this point died in it")
    raise T3SimError(f"Dask: {type(error).__name__}: {error}") from error


def _library() -> Any:
    try:
        import distributed  # noqa: PLC0415 - optional, and slow to import
    except ImportError:
        message = "needs Dask, which is not installed: pip install 't3sim[dask]'"
        raise InputError(Problem(message=message, key="--dask")) from None
    return distributed
