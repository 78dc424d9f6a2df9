"""Collective kernels: lanes of tasks, slice by slice; compiled.

For every slice of a task the CUs read the copies it takes from DRAM (what the GPU holds, and each contribution that is
added), grain by grain of all copies, then hand the result to the link, or write it back. Tasks of one lane follow one
another, lanes go on side by side. What a lane, or two that share the same CUs, may keep in flight is a window.
"""

from typing import Final

from t3sim.compiled import part
from t3sim.hardware.clock import Order
from t3sim.hardware.memory.access import Stream
from t3sim.hardware.plane.kinds import (
    ALL_ENDED,
    COMPLETED,
    ENDED,
    GONE,
    LEFT,
    MARK,
    READ,
    RESUME,
    SEEN,
    TAKEN,
    TELL_COMPLETE,
    TELL_ENDED,
    TELL_STORED,
    TELL_TAKEN,
    TELL_VALUED,
    WRITTEN,
)
from t3sim.hardware.plane.memory import submit
from t3sim.hardware.plane.queue import append, give, push, schedule, take
from t3sim.hardware.plane.routes import new_message, send_message
from t3sim.hardware.plane.state import NONE, SLICES, State

_FIRST: Final = 0  # of an instant: as SimPy starts processes
_LOCAL: Final = int(Order.LOCAL)
_READS: Final = 2 * int(Stream.COMMUNICATION)
_WRITES: Final = _READS + 1
# Steps of a lane: what it does when it goes on.
NEXT, AWAIT, AWAITED, HANDLE, PIECE, LEAVE = range(6)
DUE, OVER = range(1, 3)
"""Of what others may wait for: it will happen within this instant, it has."""


@part
def start_lanes(state: State, first: int, count: int) -> None:
    """Begin with the tasks of some lanes of one kernel: one at once, several each on its own."""
    row = state.kernels[state.lanes[first].kernel]
    row.lanes_left = count
    row.single = count == 1
    if count == 1:
        push(state, RESUME, first, 0, 0)
        return
    for lane in range(first, first + count):
        schedule(state, state.clock[0].now, _FIRST, RESUME, lane, 0, 0)


@part
def resume(state: State, number: int) -> None:
    """Go on with a lane, until it waits for something or has a slice to read."""
    lane = state.lanes[number]
    while _comes_to(state, number) if lane.step < HANDLE else _handles(state, number):
        pass


@part
def _comes_to(state: State, number: int) -> bool:
    """Do a step towards the next task; whether the lane goes on."""
    lane = state.lanes[number]
    if lane.step == NEXT:
        if lane.task == lane.end_task:
            _end(state, number)
            return False
        lane.index = 0
        lane.step = HANDLE if state.tasks[lane.task].by_slice else AWAIT
        return True
    task = state.tasks[lane.task]
    if lane.step == AWAIT:
        if not _has_all(state, number):
            return False
        lane.step = AWAITED
        if task.delay:
            schedule(state, state.clock[0].now + task.delay, _LOCAL, RESUME, number, 0, 0)
            return False
    if task.reads:
        lane.step = HANDLE
    else:
        lane.task += 1
        lane.step = NEXT
    return True


@part
def _handles(state: State, number: int) -> bool:
    """Do a step of the task that the lane has come to; whether the lane goes on."""
    lane = state.lanes[number]
    task = state.tasks[lane.task]
    if lane.step == HANDLE:
        lane.piece = task.begin
        lane.slices_left = task.pieces - task.begin
        lane.left = OVER if lane.slices_left == 0 else 0
        lane.step = PIECE
    if lane.step == PIECE and lane.piece < task.pieces:
        if lane.slice == NONE and _is_there(state, number):
            _take_slice(state, number)
        if lane.slice != NONE and _has_room(state, number, read_bytes(state, lane.slice, lane.asked)):
            _read(state, number)
        return False
    lane.step = LEAVE
    if lane.left != OVER:
        lane.wants_left = 1
        return False
    lane.task += 1
    lane.step = NEXT
    return True


@part
def _end(state: State, number: int) -> None:
    kernel_number = state.lanes[number].kernel
    if state.kernels[kernel_number].single:
        push(state, TELL_ENDED, kernel_number, 0, 0)
    else:
        schedule(state, state.clock[0].now, _LOCAL, ENDED, kernel_number, 0, 0)


@part
def ended(state: State, number: int) -> None:
    """Count a lane of a kernel that is over."""
    row = state.kernels[number]
    row.lanes_left -= 1
    if row.lanes_left == 0:
        schedule(state, state.clock[0].now, _LOCAL, ALL_ENDED, number, 0, 0)


@part
def _has_all(state: State, number: int) -> bool:
    """Whether all that a lane's task waits for is in memory; if not, it waits for the first that is not."""
    lane = state.lanes[number]
    task = state.tasks[lane.task]
    while lane.index < task.waits:
        arrival = state.arrivals[state.waits[task.first_wait + lane.index]]
        if arrival.complete != OVER:
            arrival.first_waiter = append(state.lanes, arrival.first_waiter, arrival.last_waiter, number)
            arrival.last_waiter = number
            return False
        lane.index += 1
    return True


@part
def _call(state: State, number: int) -> None:
    """Let the first lane that waits for room look whether there is enough."""
    window = state.windows[number]
    if window.first_waiter != NONE and not window.called and window.turn in (NONE, window.first_waiter):
        window.called = 1
        schedule(state, state.clock[0].now, _LOCAL, RESUME, window.first_waiter, 0, 0)


@part
def _has_room(state: State, number: int, nbytes: int) -> bool:
    """Whether a lane's window has room for a read; if not, or if it is another lane's turn, it waits for that.

    Lanes that share a window take turns by slices: all reads of one, then the lane that has waited longest.
    """
    lane = state.lanes[number]
    window = state.windows[lane.window]
    waits, goes_on = window.first_waiter == number, window.turn == number
    # More than the whole window passes when it is empty.
    fits = not window.in_flight or window.in_flight + nbytes <= window.limit
    if fits and (goes_on or (window.turn == NONE and (waits or window.first_waiter == NONE))):
        window.in_flight += nbytes
        window.turn = number
        if waits:
            window.first_waiter = lane.next
            window.called = 0
        return True
    if waits:
        window.called = 0
    elif goes_on:
        lane.next = window.first_waiter
        if window.first_waiter == NONE:
            window.last_waiter = number
        window.first_waiter = number
    else:
        window.first_waiter = append(state.lanes, window.first_waiter, window.last_waiter, number)
        window.last_waiter = number
    return False


@part
def _is_there(state: State, number: int) -> bool:
    """Whether a lane's next slice is in memory; if not, the lane waits for that."""
    lane = state.lanes[number]
    task, row = state.tasks[lane.task], state.kernels[lane.kernel]
    if task.by_slice:
        for place in range(task.first_wait, task.first_wait + task.waits):
            if state.marks[state.arrivals[state.waits[place]].first_mark + lane.piece] == 0:
                row.first_news = append(state.lanes, row.first_news, row.last_news, number)
                row.last_news = number
                return False
    return True


@part
def _take_slice(state: State, number: int) -> None:
    """Begin with a lane's next slice."""
    lane = state.lanes[number]
    task = state.tasks[lane.task]
    lane.slice = take(state, SLICES, state.slices)
    lane.asked = 0
    new = state.slices[lane.slice]
    new.lane = number
    new.task = lane.task
    new.piece = lane.piece
    new.nbytes = state.pieces[task.first_piece + lane.piece]
    grain = state.windows[lane.window].grain
    new.reads = task.reads * ((new.nbytes + grain - 1) // grain)
    new.left = new.reads


@part
def read_bytes(state: State, row: int, number: int) -> int:
    """Bytes of a read of a slice: those of one grain of one copy, the copies in turn."""
    piece = state.slices[row]
    grain = state.windows[state.lanes[piece.lane].window].grain
    return int(min(grain, piece.nbytes - number // state.tasks[piece.task].reads * grain))


@part
def _read(state: State, number: int) -> None:
    """Ask for a lane's next read, which has room."""
    lane = state.lanes[number]
    row, asked, kernel_row = lane.slice, lane.asked, state.kernels[lane.kernel]
    lane.asked += 1
    if lane.asked == state.slices[row].reads:
        lane.slice = NONE
        lane.piece += 1
        state.windows[lane.window].turn = NONE
        _call(state, lane.window)
    push(state, RESUME, number, 0, 0)
    nbytes = read_bytes(state, row, asked)
    submit(state, kernel_row.controller, _READS, nbytes, kernel_row.read_cause, 0, READ, row, asked)


@part
def read(state: State, row: int, number: int) -> None:
    """Take what was asked of a slice, whose room goes to the next read; what is complete needs room till it leaves."""
    piece = state.slices[row]
    window = state.lanes[piece.lane].window
    piece.left -= 1
    nbytes = read_bytes(state, row, number)
    if piece.left:
        state.windows[window].in_flight -= nbytes
        _call(state, window)
    else:
        state.windows[window].in_flight += piece.nbytes - nbytes
        push(state, TAKEN, row, 0, 0)
    copies = state.tasks[piece.task].reads
    if state.clock[0].values and (number // copies + 1) * state.windows[window].grain >= piece.nbytes:
        push(state, TELL_TAKEN, row, number % copies, 0)


@part
def taken(state: State, row: int) -> None:
    """Write a slice back or send it on, all its copies being there."""
    piece = state.slices[row]
    task = state.tasks[piece.task]
    if task.is_local:
        kernel_row = state.kernels[state.lanes[piece.lane].kernel]
        submit(state, kernel_row.controller, _WRITES, piece.nbytes, kernel_row.write_cause, 0, WRITTEN, row, 0)
        return
    wire_bytes = state.wires[task.first_wire + piece.piece]
    message = new_message(state, task.template, piece.piece, task.pieces, piece.nbytes, wire_bytes)
    send_message(state, message, state.ways[task.first_way + piece.piece % task.spread], GONE, row, 0)
    if state.clock[0].values:
        push(state, TELL_VALUED, row, message, 0)


@part
def written(state: State, row: int) -> None:
    """Count a slice that is back in memory, for lanes that wait for it."""
    task = state.tasks[state.slices[row].task]
    if task.sum != NONE:
        push(state, MARK, task.sum, state.slices[row].piece, 0)
    push(state, GONE, row, 0, 0)
    if state.clock[0].values:
        push(state, TELL_STORED, row, 0, 0)


@part
def gone(state: State, row: int) -> None:
    """Count a slice that has left the CUs, and give back its room in the window."""
    piece, now = state.slices[row], state.clock[0].now
    lane = state.lanes[piece.lane]
    state.windows[lane.window].in_flight -= piece.nbytes
    _call(state, lane.window)
    lane.slices_left -= 1
    if lane.slices_left == 0:
        lane.left = DUE
        schedule(state, now, _LOCAL, LEFT, piece.lane, 0, 0)
    give(state, SLICES, state.slices, row)


@part
def left(state: State, number: int) -> None:
    """Note that all slices of a lane's task have left."""
    lane = state.lanes[number]
    lane.left = OVER
    if lane.wants_left:
        lane.wants_left = 0
        push(state, RESUME, number, 0, 0)


@part
def seen(state: State, number: int, piece: int) -> None:
    """Let lanes go on that wait for a piece of a move."""
    arrival, lanes = state.arrivals[number], state.lanes
    row = state.kernels[arrival.kernel]
    state.marks[arrival.first_mark + piece] = 1
    here = row.first_news
    row.first_news = NONE
    while here != NONE:
        schedule(state, state.clock[0].now, _LOCAL, RESUME, here, 0, 0)
        here = lanes[here].next


@part
def mark(state: State, number: int, piece: int) -> None:
    """Note that a piece of a move is in memory."""
    arrival, now = state.arrivals[number], state.clock[0].now
    arrival.missing -= 1
    if arrival.by_slice:
        if arrival.delay:
            schedule(state, now + arrival.delay, _LOCAL, SEEN, number, piece, 0)
        else:
            seen(state, number, piece)
    if arrival.missing == 0:
        arrival.complete = DUE
        schedule(state, now, _LOCAL, COMPLETED, number, 0, 0)


@part
def completed(state: State, number: int) -> None:
    """Let lanes go on that wait for a move, in the order in which they began to wait."""
    arrival, lanes = state.arrivals[number], state.lanes
    arrival.complete = OVER
    if arrival.told:
        push(state, TELL_COMPLETE, number, 0, 0)
    turned, here = NONE, arrival.first_waiter
    while here != NONE:
        after = lanes[here].next
        lanes[here].next = turned
        turned, here = here, after
    while turned != NONE:
        after = lanes[turned].next
        push(state, RESUME, turned, 0, 0)
        turned = after
