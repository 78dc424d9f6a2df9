"""Sums on the way: the adder and the reduction buffer of one output of a switch; compiled.

The adder takes contributions in the order in which their first bytes come, each for its bytes over the adder's rate,
but no contribution is through before its last byte is there: bytes of several pass it in turns. Then it leaves its
input buffer. A sum goes out once the first bytes of all its contributions are there, so that its last byte leaves no
earlier than the last of them is through: with an adder as fast as all inputs, a sum takes no longer than a message.

A sum takes an entry from its first contribution until it has left the switch. Without a free entry, contributions to
a new sum stay in their input buffers, and the oldest sum gets the next entry.

Contributions without an entry may hold up others that come behind them, and nothing goes on any more if those are
what the sums with entries wait for. This cannot happen where all GPUs send contributions in one and the same order,
nor where they send one to each destination in turn, in any order of destinations, before the next one. A GPU that
sends several in a row to one destination, while others begin with another, needs an entry for each of them.
"""

from t3sim.compiled import part
from t3sim.hardware.plane.kinds import SUM
from t3sim.hardware.plane.links import FORWARDING
from t3sim.hardware.plane.queue import append, schedule
from t3sim.hardware.plane.state import NONE, State


@part
def choose_sums_later(state: State, number: int) -> None:
    """Deal with what has come to a reducer, at the end of this instant."""
    reducer = state.reducers[number]
    if reducer.choosing == 0:
        reducer.choosing = 1
        schedule(state, state.clock[0].now, FORWARDING, SUM, number, 0, 0)


@part
def offer(state: State, row: int) -> None:
    """Take a contribution whose first byte is there."""
    contributions = state.contributions
    message = state.messages[contributions[row].message]
    template = state.templates[message.template]
    number = state.adders[template.first_adder + message.piece % template.spread]
    reducer = state.reducers[number]
    reducer.first_came = append(contributions, reducer.first_came, reducer.last_came, row)
    reducer.last_came = row
    choose_sums_later(state, number)


@part
def takes_first(state: State, number: int) -> int:
    """Take the first of what has come, as seen the same from every rank; ``NONE`` when nothing is left."""
    reducer, contributions = state.reducers[number], state.contributions
    first, before_first, before, here = reducer.first_came, NONE, NONE, reducer.first_came
    while here != NONE:
        if goes_before(
            state,
            contributions[here].message,
            contributions[here].leg,
            contributions[first].message,
            contributions[first].leg,
        ):
            first, before_first = here, before
        before, here = here, contributions[here].next
    if first == NONE:
        return NONE
    if before_first == NONE:
        reducer.first_came = contributions[first].next
    else:
        contributions[before_first].next = contributions[first].next
    if reducer.last_came == first:
        reducer.last_came = before_first
    contributions[first].next = NONE
    return int(first)


@part
def goes_before(state: State, message: int, leg: int, other: int, other_leg: int) -> bool:
    """Whether a contribution comes before another one, the same seen from every rank; ties go to who came first."""
    one = state.templates[state.messages[message].template]
    two = state.templates[state.messages[other].template]
    if one.move != two.move:
        return bool(one.move < two.move)
    if one.distance != two.distance:
        return bool(one.distance < two.distance)
    return bool(state.legs[leg].flow < state.legs[other_leg].flow)


@part
def alike(state: State, message: int, other: int) -> bool:
    """Whether two messages are contributions to one sum."""
    one, two = state.messages[message], state.messages[other]
    return bool(one.piece == two.piece and state.templates[one.template].key == state.templates[two.template].key)


@part
def open_sum(state: State, number: int, message: int) -> int:
    """Find the sum with an entry that a message contributes to, or ``NONE``."""
    piece = state.messages[message].piece
    key = state.templates[state.messages[message].template].key
    here = state.reducers[number].first_open
    while here != NONE and (state.sums[here].key != key or state.sums[here].piece != piece):
        here = state.sums[here].next
    return int(here)


@part
def block(state: State, number: int, row: int) -> None:
    """Let a contribution wait for an entry."""
    reducer, contributions = state.reducers[number], state.contributions
    reducer.first_blocked = append(contributions, reducer.first_blocked, reducer.last_blocked, row)
    reducer.last_blocked = row
