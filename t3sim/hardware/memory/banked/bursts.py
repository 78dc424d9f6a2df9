"""The bursts of one GPU at its channels: spread over them, served, and done when the last one is; compiled."""

from typing import Final

from t3sim.compiled import Record, part
from t3sim.hardware.memory.banked.channel import holds_requests, run
from t3sim.hardware.memory.banked.dram.tables import NEVER
from t3sim.hardware.memory.banked.interleave import requests_of
from t3sim.hardware.memory.banked.tables import Memory, open_channel, open_memory
from t3sim.hardware.plane.kinds import NOTHING, SPREAD
from t3sim.hardware.plane.places import located
from t3sim.hardware.plane.queue import append, push
from t3sim.hardware.plane.state import NONE, State

_DIGIT: Final = 12
_DIGITS: Final = 5


@part
def _scaled(value: int, times: int, by: int) -> int:
    """Work out ``value * times // by`` for values of 63 bits; ``times`` and ``by`` are of 50."""
    whole, rest = value // by, value % by
    result, left = 0, 0
    for digit in range(_DIGITS - 1, -1, -1):
        left = (left << _DIGIT) + rest * ((times >> (digit * _DIGIT)) & ((1 << _DIGIT) - 1))
        result = (result << _DIGIT) + left // by
        left %= by
    return int(whole * times + result)


@part
def _cycle_of(gpu: Record, now: int) -> int:
    """Last cycle whose edge is not after ``now``: the edge of cycle n is n x second / clock, rounded down."""
    if gpu.clock == 1:
        return int(now // gpu.second)
    cycle = _scaled(now + 1, gpu.clock, gpu.second)
    return cycle - (_time_of(gpu, cycle) > now)


@part
def _time_of(gpu: Record, cycle: int) -> int:
    """Edge of a cycle, fs."""
    return int(cycle * gpu.second if gpu.clock == 1 else _scaled(cycle, gpu.second, gpu.clock))


@part
def queue_burst(
    state: State, number: int, lane: int, nbytes: int, cause: int, is_update: int, kind: int, a: int, b: int
) -> int:
    """Give a burst a slot."""
    memory = open_memory(state.memories[number])
    gpu, slot = memory.gpu[0], memory.gpu[0].free
    burst = memory.slots[slot]
    gpu.free = burst.next
    gpu.left -= 1
    if gpu.left < state.clock[0].margin:
        state.clock[0].need = 1
    burst.lane = lane
    burst.nbytes = nbytes
    burst.cause = cause
    burst.is_update = is_update
    burst.kind = kind
    burst.a = a
    burst.b = b
    burst.end = 0
    memory.waiting[lane] += 1
    return int(slot)


@part
def spread_burst(state: State, number: int, slot: int) -> None:
    """Queue what falls to each simulated channel."""
    memory = open_memory(state.memories[number])
    gpu, burst = memory.gpu[0], memory.slots[slot]
    gpu.room = 0
    first, count, offset = located(state, number, burst.kind, burst.a, burst.b)
    for place in range(gpu.simulated):
        _find(state, memory, place, burst.lane, first, count, offset, slot)
    if gpu.room:
        state.clock[0].need = 1
        push(state, SPREAD, number, slot, 0)
        return
    burst.channels = 0
    for place in range(gpu.simulated):
        channel = memory.channels[place]
        if channel.found:
            open_channel(channel.now).bursts[slot].left = channel.found
            memory.tails[4 * place + burst.lane] += channel.found
            channel.planned = 0
            burst.channels += 1
    if burst.channels == 0:
        gpu.first_untouched = append(memory.slots, gpu.first_untouched, gpu.last_untouched, slot)
        gpu.last_untouched = slot


@part
def _find(state: State, memory: Memory, place: int, lane: int, first: int, count: int, offset: int, slot: int) -> None:
    """Write a burst's requests at one channel behind those of its lane, as far as there is room."""
    channel = memory.channels[place]
    simulated, tail = open_channel(channel.now), memory.tails[4 * place + lane]
    ring, waiting, found = simulated.path[0].ring, tail - simulated.lanes[lane].head, 0
    for region in range(first, first + count):
        found += requests_of(
            memory.gpu[0],
            state.regions[region],
            offset,
            channel.number,
            simulated.requests,
            lane * ring,
            ring,
            tail + found,
            ring - waiting - found,
            slot,
        )
    channel.found = found
    if waiting + found > ring:
        memory.gpu[0].room = max(memory.gpu[0].room, waiting + found)


@part
def serve(state: State, number: int, now: int) -> int:
    """Serve all cycles up to ``now``; return how many awaited bursts this completed. An end may lie after ``now``."""
    memory = open_memory(state.memories[number])
    gpu, done = memory.gpu[0], 0
    cycle = _cycle_of(gpu, now)
    while gpu.first_due != NONE and memory.slots[gpu.first_due].end <= now:
        slot = gpu.first_due
        gpu.first_due = memory.slots[slot].next
        done = _end(memory, slot, memory.slots[slot].end, done)
    for place in range(gpu.simulated):
        channel = memory.channels[place]
        if channel.planned and channel.planned == cycle:
            channel.now, channel.ahead = channel.ahead, channel.now
            channel.planned = 0
            done = _end(memory, channel.slot, _time_of(gpu, channel.end), done)
        else:
            table = state.controllers[number].table
            count = run(state, table, memory, open_channel(channel.now), cycle, False)
            for index in range(count):
                served = memory.completed[index]
                done = _end(memory, served.slot, _time_of(gpu, served.end), done)
    return int(done)


@part
def _end(memory: Memory, slot: int, end: int, done: int) -> int:
    """Note what one channel has served of a burst; ``done``: how many are to be handed out, also returned."""
    burst = memory.slots[slot]
    burst.channels -= 1
    burst.end = max(burst.end, end)
    if burst.channels > 0:
        return done
    memory.waiting[burst.lane] -= 1
    memory.served[burst.cause] += burst.nbytes
    if burst.kind == NOTHING:
        _free(memory, slot)
        return done
    memory.done[done] = slot
    return done + 1


@part
def _free(memory: Memory, slot: int) -> None:
    gpu = memory.gpu[0]
    memory.slots[slot].next = gpu.free
    gpu.free = slot
    gpu.left += 1


@part
def completed(state: State, number: int, index: int) -> Record:
    """Give one of the bursts that are done; its slot is free then."""
    memory = open_memory(state.memories[number])
    slot = memory.done[index]
    _free(memory, slot)
    return memory.slots[slot]


@part
def admit_and_predict(state: State, number: int, now: int) -> int:
    """Let in what was queued, at ``now``; when the next burst will have its last command on a channel, 0 if none."""
    memory = open_memory(state.memories[number])
    gpu, table, soonest = memory.gpu[0], state.controllers[number].table, 0
    cycle = _cycle_of(gpu, now)
    while gpu.first_untouched != NONE:
        # This instant's completions are handed out already.
        slot = gpu.first_untouched
        burst = memory.slots[slot]
        gpu.first_untouched = burst.next
        burst.end = now + 1
        gpu.first_due = append(memory.slots, gpu.first_due, gpu.last_due, slot)
        gpu.last_due = slot
    for place in range(gpu.simulated):
        channel = memory.channels[place]
        if channel.planned <= cycle or channel.table != table:
            channel.table = table
            _run_ahead(state, memory, place, table, cycle)
        if channel.planned:
            end = _time_of(gpu, channel.planned)
            soonest = end if soonest == 0 else min(soonest, end)
    if gpu.first_due != NONE:
        end = memory.slots[gpu.first_due].end
        soonest = end if soonest == 0 else min(soonest, end)
    return int(soonest)


@part
def _run_ahead(state: State, memory: Memory, place: int, table: int, cycle: int) -> None:
    """Let a copy of a channel run from ``cycle`` to the next burst that it completes."""
    channel = memory.channels[place]
    now, ahead = open_channel(channel.now), open_channel(channel.ahead)
    now.state[0].cycle = max(cycle, now.state[0].cycle)
    waiting = 0
    for lane in range(4):
        now.lanes[lane].tail = memory.tails[4 * place + lane]
        waiting += now.lanes[lane].tail - now.lanes[lane].head
    channel.planned = 0
    if waiting == 0 and not holds_requests(now):
        return
    for block in range(channel.blocks):
        ahead.blocks[block] = now.blocks[block]
    if run(state, table, memory, ahead, NEVER - 1, True):
        channel.planned = ahead.state[0].cycle
        channel.slot = memory.completed[0].slot
        channel.end = memory.completed[0].end
