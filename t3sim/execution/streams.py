"""Kernels at once: processes of one GPU that run side by side, each after those that it waits for."""

from collections.abc import Callable, Sequence

from simpy.events import AllOf, Event

from t3sim.hardware.clock import Environment
from t3sim.hardware.compute.cus import Process


def at_once(env: Environment, processes: Sequence[Callable[[], Process]], after: Sequence[Sequence[int]]) -> Process:
    """Run ``processes``; ends with the last of them. ``after``: of each, the places of those that have to end before.

    A stream is a process after process; an event lets one wait for one of another stream.
    """
    ended = [Event(env) for _ in processes]
    for process, places, end in zip(processes, after, ended, strict=True):
        env.process(_in_turn(env, [ended[place] for place in places], process, end))
    yield AllOf(env, ended)


def _in_turn(env: Environment, before: Sequence[Event], process: Callable[[], Process], end: Event) -> Process:
    yield AllOf(env, before)
    yield from process()
    end.succeed()
