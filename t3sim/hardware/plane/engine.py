"""The engine: does what comes next until Python is to be told something; compiled as a whole."""

from t3sim.compiled import Direct, Record, compiled, part
from t3sim.hardware.plane import adder, lanes, links, memory, pipeline, receipt, routes, sums
from t3sim.hardware.plane.queue import push, take_first
from t3sim.hardware.plane.state import (
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
    READ,
    RECEIVE,
    RELEASE,
    RESUME,
    RETURN_AT,
    SEEN,
    SENT,
    SETTLE,
    SETTLE_LATER,
    STAGE,
    START,
    STEP,
    SUM,
    TAKEN,
    TELL_ENDED,
    WAKE,
    WAKE_AT,
    WRITTEN,
    State,
    opened,
)

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
    elif kind == WAKE_AT:
        memory.wake_at(state, a, b)
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
    elif kind == RECEIVE:
        receipt.receive(state, a, b, c)
    elif kind == LANDED:
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
def _tell(clock: Record, kind: int, a: int, b: int, c: int) -> None:
    clock.kind = kind
    clock.a = a
    clock.b = b
    clock.c = c


@compiled
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
        ):
            _tell(clock, kind, a, b, c)
            return TOLD


@compiled
def _submit(where: State, number: int, lane: int, nbytes: int, cause: int, is_update: int, kind: int, a: int) -> None:
    """Queue a burst of Python's."""
    state = opened(where)
    memory.submit(state, number, lane, nbytes, cause, is_update, kind, a, 0)


@compiled
def _send(
    where: State,
    template: int,
    leg: int,
    piece: int,
    pieces: int,
    nbytes: int,
    wire_bytes: int,
    serial: int,
    kind: int,
    a: int,
) -> int:
    """Send a message of Python's; return its row."""
    state = opened(where)
    message = routes.new_message(state, template, piece, pieces, nbytes, wire_bytes)
    if serial:
        state.messages[message].serial = serial
    routes.send_message(state, message, leg, kind, a, 0)
    return message


@compiled
def _push(where: State, kind: int, a: int, b: int, c: int) -> None:
    state = opened(where)
    push(state, kind, a, b, c)


RUN, SUBMIT, SEND, PUSH = (Direct(function) for function in (_run, _submit, _send, _push))
