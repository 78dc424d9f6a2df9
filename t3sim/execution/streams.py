"""Kernels at once: processes of one GPU that run side by side, each after those that it waits for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from simpy.events import AllOf, Event

from t3sim.hardware.clock import Environment
from t3sim.hardware.compute.cus import Process


@dataclass(frozen=True, slots=True)
class Before:
    """What a process waits for, by the places of other processes."""

    ended: Sequence[int] = ()
    """Those that come before it on its own stream."""
    events: Sequence[int] = ()
    """Those of other streams whose events it waits for."""


def at_once(
    env: Environment, processes: Sequence[Callable[[], Process]], before: Sequence[Before], event_fs: int = 0
) -> Process:
    """Run ``processes``, each after what stands at its place in ``before``; ends with the last of them.

    A stream is a process after process; ``event_fs`` is what it takes another stream to see that one has ended.
    """
    ended = [Event(env) for _ in processes]
    seen = {place: Event(env) for each in before for place in each.events}
    for place, (process, each) in enumerate(zip(processes, before, strict=True)):
        awaited = [*(ended[other] for other in each.ended), *(seen[other] for other in each.events)]
        env.process(_in_turn(env, awaited, process, ended[place]))
    for place, event in seen.items():
        env.process(_see(env, ended[place], event, event_fs))
    yield AllOf(env, ended)


def _in_turn(env: Environment, awaited: Sequence[Event], process: Callable[[], Process], end: Event) -> Process:
    yield AllOf(env, awaited)
    yield from process()
    end.succeed()


def _see(env: Environment, end: Event, seen: Event, event_fs: int) -> Process:
    yield end
    if event_fs:
        yield env.timeout(event_fs)
    seen.succeed()
