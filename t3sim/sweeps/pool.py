"""Local worker processes. A worker that dies takes no other job with it: its own is given to a new worker.

The workers are plain subprocesses and not forks, so that threads, locks and the user's main module stay out of them.
"""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Generator, Iterable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Final, cast

from t3sim import compiled
from t3sim.simulation import simulate_point
from t3sim.sweeps.resolve import Job
from t3sim.sweeps.worker import Answer, Simulate

MOST_DEATHS: Final = 3
"""Workers that a job may cost before it counts as failed."""

_ENTRY: Final = "import sys; from t3sim.sweeps.worker import serve; serve(int(sys.argv[1]))"


class LocalPool:
    """Runs jobs in ``jobs`` processes of this machine."""

    def __init__(self, jobs: int, simulate: Simulate = simulate_point) -> None:
        self.jobs = jobs
        self._simulate = simulate

    def run(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Answer], None, None]:
        """Yield each job with its answer, as they finish; a job is taken when a worker is free for it."""
        waiting = iter(jobs)
        busy: dict[Connection, _Worker] = {}
        # The first worker compiles what is not compiled yet; the others then find it on disk.
        wanted = 1 if compiled.uncached() and compiled.cache_folder() else self.jobs
        try:
            self._fill(busy, waiting, wanted)
            while busy:
                for connection in cast("list[Connection]", wait(busy)):
                    finished = self._next(busy, connection, waiting)
                    if finished is not None:
                        self._fill(busy, waiting, self.jobs)
                        yield finished
        finally:
            for worker in busy.values():
                worker.end()

    def _fill(self, busy: "dict[Connection, _Worker]", waiting: Iterator[Job], wanted: int) -> None:
        while len(busy) < wanted and (job := next(waiting, None)) is not None:
            self._start(busy, job, deaths=0)

    def _start(self, busy: "dict[Connection, _Worker]", job: Job, deaths: int) -> None:
        worker = _Worker(self._simulate)
        busy[worker.connection] = worker
        worker.give(job, deaths)

    def _next(
        self, busy: "dict[Connection, _Worker]", connection: Connection, waiting: Iterator[Job]
    ) -> tuple[Job, Answer] | None:
        """Take an answer and hand out the next job; ``None`` when there is a dead worker instead, and a new one."""
        worker = busy[connection]
        job, answer = worker.job, worker.received()
        if answer is None:
            del busy[connection]
            status = worker.end()
            if worker.deaths + 1 < MOST_DEATHS:
                self._start(busy, job, worker.deaths + 1)
                return None
            return job, Answer(error_type="WorkerDied", error_message=_obituary(status))
        following = next(waiting, None)
        if following is None:
            del busy[connection]
            worker.end()
        else:
            worker.give(following, deaths=0)
        return job, answer


class _Worker:
    """One process, and the job it has."""

    def __init__(self, simulate: Simulate) -> None:
        self.connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and the code above
                [sys.executable, "-c", _ENTRY, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C in the terminal is for the parent to handle
            )
        self.job: Job
        self.deaths = 0
        """Workers that the job has cost before this one."""
        self._send(simulate)

    def give(self, job: Job, deaths: int) -> None:
        self.job, self.deaths = job, deaths
        self._send(job)

    def received(self) -> Answer | None:
        """Return the answer to the job; ``None`` when the process has died."""
        try:
            return cast("Answer", self.connection.recv())
        except (EOFError, OSError):
            return None

    def end(self) -> int:
        """End the process, whatever it is doing; its exit status."""
        self.connection.close()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.kill()
        return self._process.wait()

    def _send(self, message: object) -> None:
        with contextlib.suppress(OSError):  # it has died; what is received from it will say so
            self.connection.send(message)


def _obituary(status: int) -> str:
    how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with exit code {status}"
    return f"{MOST_DEATHS} workers died in this point; the last one {how}"
