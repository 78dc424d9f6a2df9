"""The engine: does what comes next until Python is to be told something; compiled as a whole."""

from collections.abc import Callable
from typing import Final

from t3sim.compiled import Direct, Record, compiled, part, renamed
from t3sim.hardware.plane import (
    adder,
    dma,
    lanes,
    links,
    memory,
    pipeline,
    receipt,
    routes,
    sums,
    tile_sums,
    tracker,
    trigger,
)
from t3sim.hardware.plane import trigger_state as t3
from t3sim.hardware.plane.kinds import (
    ACCEPT,
    ADVANCE,
    ALL_ENDED,
    ARRIVED,
    CHOOSE,
    COMPLETE,
    COMPLETED,
    COMPUTED,
    CONSUMED,
    DELIVER,
    ENDED,
    EVICTED,
    FORGET,
    FORWARD,
    GIVE,
    GO,
    GONE,
    LANDED,
    LEFT,
    LOAD,
    LOADED,
    LOADS,
    MARK,
    OFFER,
    PLAN,
    POST,
    READ,
    RECEIVE,
    RELEASE,
    RESUME,
    RETURN_AT,
    SEEN,
    SENT,
    SETTLE,
    SETTLE_LATER,
    SPREAD,
    STAGE,
    START,
    STEP,
    SUM,
    TAKEN,
    TELL_ENDED,
    WAKE,
    WRITTEN,
)
from t3sim.hardware.plane.queue import push, take_first
from t3sim.hardware.plane.state import State, opened_as

DONE, TOLD, FULL = range(3)
"""Why the engine returns: there is nothing left to do before the limit, Python is told something, a table is full."""


@part
def _of_memory(state: State, kind: int, a: int, b: int, c: int) -> bool:
    if kind == SETTLE:
        memory.settle(state, a)
    elif kind == SETTLE_LATER:
        memory.settle_later(state, a)
    elif kind == WAKE:
        memory.wake(state, a, b)
    elif kind == SPREAD:
        memory.spread(state, a, b)
    elif kind == PLAN:
        memory.plan(state, a, b)
    elif kind == ADVANCE:
        memory.advance(state, a)
    elif kind == COMPLETE:
        memory.complete(state, a, b, c)
    else:
        return False
    return True


@part
def _of_links(state: State, kind: int, a: int, b: int, c: int) -> bool:
    if kind == ACCEPT:
        links.accept(state, a)
    elif kind == GO:
        routes.go(state, a)
    elif kind == CHOOSE:
        routes.choose(state, a)
    elif kind == SENT:
        routes.sent(state, a)
    elif kind == DELIVER:
        receipt.deliver(state, a, b, c)
    elif kind == CONSUMED:
        receipt.consumed(state, a, b, c)
    elif kind == RETURN_AT:
        links.return_at(state, a, b, c)
    else:
        return False
    return True


@part
def _of_messages(state: State, kind: int, a: int, b: int, c: int) -> bool:
    if kind == FORWARD:
        routes.go_on_over(state, a, b, c)
    elif kind == RELEASE:
        routes.release(state, a)
    elif kind == OFFER:
        sums.offer(state, a)
    elif kind == SUM:
        adder.add_next(state, a)
    elif kind == FORGET:
        routes.forget(state, a)
    elif kind == POST:
        routes.post(state, a, b, c)
    elif kind == RECEIVE:
        receipt.receive(state, a, b, c)
    elif kind in (LANDED, t3.TILE_LANDED):
        receipt.landed(state, a)
    else:
        return False
    return True


@part
def _of_lanes(state: State, kind: int, a: int, b: int) -> bool:
    if kind == START:
        lanes.start_lanes(state, a, b)
    elif kind == RESUME:
        lanes.resume(state, a)
    elif kind == SEEN:
        lanes.seen(state, a, b)
    elif kind == MARK:
        lanes.mark(state, a, b)
    elif kind == COMPLETED:
        lanes.completed(state, a)
    elif kind == LEFT:
        lanes.left(state, a)
    elif kind == ENDED:
        lanes.ended(state, a)
    elif kind == ALL_ENDED:
        push(state, TELL_ENDED, a, 0, 0)
    else:
        return False
    return True


@part
def _of_slices(state: State, kind: int, a: int, b: int) -> bool:
    if kind == READ:
        lanes.read(state, a, b)
    elif kind == TAKEN:
        lanes.taken(state, a)
    elif kind == WRITTEN:
        lanes.written(state, a)
    elif kind == GONE:
        lanes.gone(state, a)
    else:
        return False
    return True


@part
def _of_stages(state: State, kind: int, a: int, b: int, c: int) -> bool:
    if kind == STAGE:
        pipeline.start(state, a, b, c)
    elif kind == LOADS:
        pipeline.loads(state, a, b, c)
    elif kind == LOAD:
        pipeline.load(state, a, b)
    elif kind == LOADED:
        pipeline.loaded(state, a, b)
    elif kind == ARRIVED:
        pipeline.arrived(state, a, b)
    elif kind == STEP:
        pipeline.step(state, a)
    elif kind == COMPUTED:
        pipeline.computed(state, a)
    elif kind == EVICTED:
        pipeline.evicted(state, a, b)
    elif kind == GIVE:
        pipeline.give_room(state, a, b)
    else:
        return False
    return True


@part
def _of_tiles(state: State, kind: int, a: int, b: int, c: int) -> bool:
    if kind == t3.BURST:
        trigger.burst(state, a, b, c)
    elif kind == t3.STORE:
        trigger.store(state, a, b)
    elif kind in (t3.SEND_TILE, t3.COMMAND_READ):
        trigger.leave(state, a, int(kind == t3.COMMAND_READ))
    elif kind == t3.STORED:
        trigger.stored(state, a)
    elif kind == t3.CONTRIBUTE:
        trigger.contribute(state, a)
    elif kind == t3.COMPLETE_ALL:
        trigger.complete_all(state, a, b)
    elif kind == t3.COMPLETE_TILE:
        trigger.complete(state, a)
    else:
        return False
    return True


@part
def _of_counts(state: State, kind: int, a: int, b: int) -> bool:
    if kind == t3.COUNT:
        tracker.count(state, a, b)
    elif kind == t3.ADD:
        tracker.add(state, a, b)
    elif kind == t3.NEXT_ENTRY:
        tracker.next_entry(state, a, b)
    elif kind == t3.FIRED:
        trigger.fired(state, a)
    elif kind == t3.SUM_NEXT:
        tile_sums.sum_next(state, a)
    elif kind == t3.SUM_READ:
        tile_sums.sum_read(state, a, b)
    elif kind == t3.SUMMED:
        tile_sums.is_summed(state, a)
    else:
        return False
    return True


@part
def _of_engines(state: State, kind: int, a: int, b: int, c: int) -> bool:
    if kind == t3.TRIGGER:
        dma.trigger(state, a, b, c)
    elif kind == t3.COMMAND_READY:
        dma.ready(state, a, b)
    elif kind == t3.COMMAND_TAKEN:
        dma.taken(state, a)
    else:
        return False
    return True


@part
def _tell(clock: Record, kind: int, a: int, b: int, c: int) -> None:
    clock.kind = kind
    clock.a = a
    clock.b = b
    clock.c = c


opened: Callable[[State], State] = opened_as("")
"""What each engine has one of its own for."""


def _run(where: State, floor: int, time: int, key: int) -> int:
    """Do frames until ``floor`` are left, then events before (``time``, ``key``) with all that they lead to."""
    state = opened(where)
    clock = state.clock[0]
    while True:
        if clock.need:
            return FULL
        if clock.frames == floor:
            if clock.events == 0:
                return DONE
            first = state.events[0]
            if first.time > time or (first.time == time and first.key >= key):
                return DONE
            take_first(state)
        clock.frames -= 1
        clock.handled += 1
        frame = state.frames[clock.frames]
        kind, a, b, c = frame.kind, frame.a, frame.b, frame.c
        if not (
            _of_memory(state, kind, a, b, c)
            or _of_links(state, kind, a, b, c)
            or _of_messages(state, kind, a, b, c)
            or _of_lanes(state, kind, a, b)
            or _of_slices(state, kind, a, b)
            or _of_stages(state, kind, a, b, c)
            or _of_tiles(state, kind, a, b, c)
            or _of_counts(state, kind, a, b)
            or _of_engines(state, kind, a, b, c)
        ):
            _tell(clock, kind, a, b, c)
            return TOLD


def _submit(where: State, number: int, lane: int, nbytes: int, cause: int, is_update: int, kind: int, a: int) -> None:
    """Queue a burst of Python's."""
    state = opened(where)
    memory.submit(state, number, lane, nbytes, cause, is_update, kind, a, 0)


def _push(where: State, kind: int, a: int, b: int, c: int) -> None:
    state = opened(where)
    push(state, kind, a, b, c)


RUN, SUBMIT, PUSH = range(3)
"""What the plane may be asked to do."""
_ENTRIES: Final = (_run, _submit, _push)
Engine = tuple[Direct[..., int | None], ...]


def engine(model: str) -> Engine:
    """Make the engine of planes whose memories are of a model: by what is asked. It is compiled when it is called."""
    opened = opened_as(model)
    return tuple(Direct(compiled(renamed(entry, model, opened=opened))) for entry in _ENTRIES)
