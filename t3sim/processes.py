"""Worker processes of this machine. One that dies takes no other item with it: its own is given to a new one.

Workers are plain subprocesses and not forks, so that threads, locks and the user's main module stay out of them. Each
speaks over an inherited socket, and watches its stdin, whose other end the parent holds and never writes to: when the
parent is gone, however it ended, the worker ends at once, in the middle of an item too.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, Final, Generic, Protocol, TypeVar, cast

from t3sim import compiled
from t3sim.errors import T3SimError

T = TypeVar("T")
R = TypeVar("R")

MOST_DEATHS: Final = 3
"""Workers that an item may cost before it is given up."""

_ENTRY: Final = "import sys; from t3sim.processes import serve; serve(int(sys.argv[1]))"

Progress = Callable[[int, int, str], None]
"""Called with items done, items in all, and what comes next."""


class WorkerError(T3SimError):
    """Workers died, or an error of theirs cannot be handed on."""


@dataclass(frozen=True, slots=True)
class Died:
    """In place of a result: workers died over the item."""

    how: str


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    jobs: int = 1,
    progress: Progress | None = None,
    label: Callable[[T], str] = str,
    group: Callable[[T], Hashable] | None = None,
) -> list[R]:
    """Return what ``function`` gives for each of ``items``, in their order, worked out in ``jobs`` processes.

    One job, or one item: in this process. Else ``function`` has to be one that a module has by its name, and items and
    results such as can be pickled. Items of one ``group`` go to one worker as far as that keeps none waiting: they may
    have something in common that it remembers. Raises what ``function`` raises first, ``WorkerError`` when workers die.
    """
    items = list(items)
    done: dict[int, R] = {}

    def tell(number: int) -> None:
        if progress is not None:
            progress(len(done), len(items), label(items[number]))

    if jobs == 1 or len(items) <= 1:
        for number, item in enumerate(items):
            tell(number)
            done[number] = function(item)
    else:
        groups = list(map(group, items)) if group is not None else list(range(len(items)))
        numbers = _ByGroup(groups)
        tell(0)
        with closing(Workers(min(jobs, len(items)), _Attempt(function, items)).run(numbers)) as answers:
            for number, answer in answers:
                done[number] = _unpacked(answer)
                if len(done) < len(items):
                    tell(numbers.latest)
    if progress is not None:
        progress(len(items), len(items), "done")
    return [done[number] for number in range(len(items))]


class _Attempt(Generic[T, R]):
    """Calls a function on an item by its number; an error is its result."""

    def __init__(self, function: Callable[[T], R], items: Sequence[T]) -> None:
        self._function = function
        self._items = items

    def __call__(self, number: int) -> "R | _Raised":
        try:
            return self._function(self._items[number])
        except Exception as error:  # noqa: BLE001 - it is raised where the results are waited for
            return _Raised.of(error)


@dataclass(frozen=True, slots=True)
class _Raised:
    """An error, pickled by the worker that it was raised in: not every error can be."""

    pickled: bytes
    text: str

    @classmethod
    def of(cls, error: Exception) -> "_Raised":
        try:
            pickled = pickle.dumps(error)
            pickle.loads(pickled)  # noqa: S301 - its own
        except Exception:  # noqa: BLE001 - whatever it is that cannot be pickled
            pickled = b""
        return cls(pickled, f"{type(error).__name__}: {error}")


def _unpacked(answer: Any) -> Any:
    if isinstance(answer, Died):
        raise WorkerError(answer.how)
    if isinstance(answer, _Raised):
        if answer.pickled:
            raise pickle.loads(answer.pickled)  # noqa: S301 - from a worker of this process
        raise WorkerError(answer.text)
    return answer


class Source(Protocol[T]):
    """Where workers take their items from."""

    def take(self, before: T | None) -> T | None:
        """Give the next item to a worker that had ``before``; ``None`` when there are no more."""


class _InOrder(Generic[T]):
    def __init__(self, items: Iterator[T]) -> None:
        self._items = items

    def take(self, before: T | None) -> T | None:
        del before
        return next(self._items, None)


class _ByGroup:
    """Numbers of items: those of one group for one worker, until none is left but those of others."""

    def __init__(self, groups: Sequence[Hashable]) -> None:
        self.latest = 0
        """Number that was taken last."""
        self._group_of = groups
        self._left: dict[Hashable, list[int]] = {}
        for number, group in enumerate(groups):
            self._left.setdefault(group, []).append(number)
        self._begun: set[Hashable] = set()

    def take(self, before: int | None) -> int | None:
        own = None if before is None else self._group_of[before]
        groups = [group for group, left in self._left.items() if left]
        if not groups:
            return None
        fresh = [group for group in groups if group not in self._begun]
        # What is shared is mostly worked out with the first items of a group: the last one is the one to take over.
        group = own if own in groups else fresh[0] if fresh else max(groups, key=lambda each: len(self._left[each]))
        mine = group == own or group not in self._begun
        self._begun.add(group)
        self.latest = self._left[group].pop(0 if mine else -1)
        return self.latest


class Workers(Generic[T, R]):
    """Calls a function on items, in processes of their own."""

    def __init__(self, jobs: int, function: Callable[[T], R]) -> None:
        self.jobs = jobs
        self._function = function

    def run(self, items: "Iterable[T] | Source[T]") -> Generator[tuple[T, R | Died], None, None]:
        """Yield each item with its result, as they finish; an item is taken when a worker is free for it."""
        source: Source[T] = _InOrder(iter(items)) if isinstance(items, Iterable) else items
        busy: dict[Connection, _Worker] = {}
        # The first worker compiles what is not compiled yet; the others then find it on disk.
        wanted = 1 if compiled.uncached() and compiled.cache_folder() else self.jobs
        try:
            self._fill(busy, source, wanted)
            while busy:
                for connection in cast("list[Connection]", wait(busy)):
                    finished = self._next(busy, connection, source)
                    if finished is not None:
                        self._fill(busy, source, self.jobs)
                        yield finished
        finally:
            for worker in busy.values():
                worker.end()

    def _fill(self, busy: "dict[Connection, _Worker]", source: Source[T], wanted: int) -> None:
        while len(busy) < wanted and (item := source.take(None)) is not None:
            self._start(busy, item, deaths=0)

    def _start(self, busy: "dict[Connection, _Worker]", item: T, deaths: int) -> None:
        worker = _Worker(self._function)
        busy[worker.connection] = worker
        worker.give(item, deaths)

    def _next(
        self, busy: "dict[Connection, _Worker]", connection: Connection, source: Source[T]
    ) -> tuple[T, R | Died] | None:
        """Take a result and hand out the next item; ``None`` when there is a dead worker instead, and a new one."""
        worker = busy[connection]
        item, answer = worker.item, worker.received()
        if answer is None:
            del busy[connection]
            status = worker.end()
            if worker.deaths + 1 < MOST_DEATHS:
                self._start(busy, item, worker.deaths + 1)
                return None
            return item, Died(_obituary(status))
        following = source.take(item)
        if following is None:
            del busy[connection]
            worker.end()
        else:
            worker.give(following, deaths=0)
        return item, answer[0]


class _Worker:
    """One process, and the item it has."""

    def __init__(self, function: object) -> None:
        self.connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and the code above
                [sys.executable, "-c", _ENTRY, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C in the terminal is for the parent to handle
            )
        self.item: Any
        self.deaths = 0
        """Workers that the item has cost before this one."""
        self._send(function)

    def give(self, item: object, deaths: int) -> None:
        self.item, self.deaths = item, deaths
        self._send(item)

    def received(self) -> tuple[Any] | None:
        """Return the result alone in a tuple; ``None`` when the process has died."""
        try:
            return (self.connection.recv(),)
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


def serve(descriptor: int) -> None:
    """Answer items that come over the socket ``descriptor``, the function that is called on them first."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with Connection(descriptor) as connection, contextlib.suppress(EOFError, OSError):
        function = connection.recv()
        while True:
            connection.send(function(connection.recv()))


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)
