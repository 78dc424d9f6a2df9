"""What an adder of a switch does with contributions, one at a time; compiled (see ``sums``)."""

from t3sim.compiled import part
from t3sim.hardware.plane.kinds import RELEASE, SUM, TELL_ADDED
from t3sim.hardware.plane.links import FORWARDING, transfer_fs
from t3sim.hardware.plane.queue import append, give, push, schedule, take
from t3sim.hardware.plane.routes import forget, go_on, new_room
from t3sim.hardware.plane.state import CONTRIBUTIONS, NONE, SUMS, State
from t3sim.hardware.plane.sums import alike, block, goes_before, open_sum, takes_first


@part
def add_next(state: State, number: int) -> None:
    """Take the next step: add to a sum with an entry, or give a free entry to the oldest sum without one."""
    reducer, contributions = state.reducers[number], state.contributions
    reducer.choosing = 0
    row = reducer.first_ready
    if row != NONE:
        reducer.first_ready = contributions[row].next
        push(state, SUM, number, 0, 0)
        _add(state, number, open_sum(state, number, contributions[row].message), row)
        return
    if reducer.free and reducer.first_blocked != NONE:
        push(state, SUM, number, 0, 0)
        _open_oldest(state, number)
        return
    row = takes_first(state, number)
    if row == NONE:
        return
    push(state, SUM, number, 0, 0)
    found = open_sum(state, number, contributions[row].message)
    if found == NONE:
        block(state, number, row)
    else:
        _add(state, number, found, row)


@part
def _open_oldest(state: State, number: int) -> None:
    """Give an entry to the sum that waits longest; all contributions to it that have come are to be added next."""
    reducer, contributions = state.reducers[number], state.contributions
    reducer.free -= 1
    message = contributions[reducer.first_blocked].message
    template = state.templates[state.messages[message].template]
    new = take(state, SUMS, state.sums)
    found = state.sums[new]
    found.key = template.key
    found.piece = state.messages[message].piece
    found.message = NONE
    found.missing = template.merges
    found.through = 0
    reducer.first_open = append(state.sums, reducer.first_open, reducer.last_open, new)
    reducer.last_open = new
    ready, here = NONE, reducer.first_blocked
    reducer.first_blocked = NONE
    while here != NONE:
        after = contributions[here].next
        if alike(state, contributions[here].message, message):
            reducer.first_ready = append(contributions, reducer.first_ready, ready, here)
            ready = here
        else:
            block(state, number, here)
        here = after


@part
def _add(state: State, number: int, row: int, contribution: int) -> None:
    reducer, found, now = state.reducers[number], state.sums[row], state.clock[0].now
    new = state.contributions[contribution]
    nbytes = state.messages[new.message].nbytes
    reducer.busy_until = max(reducer.busy_until, now) + transfer_fs(nbytes, reducer.rate)
    through = max(reducer.busy_until, new.last)
    schedule(state, through, FORWARDING, RELEASE, new.room, 0, 0)
    found.through = max(found.through, through)
    before, message = found.message, new.message
    if before == NONE or goes_before(state, message, new.leg, before, found.leg):
        found.message = message
        found.leg = new.leg
        loser = before
    else:
        loser = message
    found.missing -= 1
    if found.missing == 0:
        _complete(state, number, row)
    if loser != NONE:
        forget(state, loser)
        if state.clock[0].values:
            push(state, TELL_ADDED, before, message, found.message)
    give(state, CONTRIBUTIONS, state.contributions, contribution)


@part
def _complete(state: State, number: int, row: int) -> None:
    """Send a sum on."""
    reducer, sums = state.reducers[number], state.sums
    found, before, here = sums[row], NONE, reducer.first_open
    while here != row:
        before, here = here, sums[here].next
    if before == NONE:
        reducer.first_open = found.next
    else:
        sums[before].next = found.next
    if reducer.last_open == row:
        reducer.last_open = before
    room = new_room(state, NONE, NONE, 0, state.legs[found.leg].onward, number)
    go_on(state, found.leg, found.message, room, state.clock[0].now, found.through)
    forget(state, found.message)
    give(state, SUMS, sums, row)
