"""The K loop of a GEMM's stage: slabs are loaded ahead and computed one after the other; compiled.

Per slab, the operands must have arrived and the slab before must be done; then it computes for as long as the CU array
says. LLC misses are read from DRAM, what they drive out is written back through the kernel's store buffer; a slab
without any arrives after the LLC's hit latency.
"""

from typing import Final

from t3sim.compiled import part
from t3sim.hardware.clock import Order
from t3sim.hardware.memory.access import Stream
from t3sim.hardware.plane.kinds import (
    ARRIVED,
    COMPUTED,
    EVICTED,
    LOAD,
    LOADED,
    LOADS,
    STEP,
    TELL_AWAITED,
    TELL_COMPUTED,
    TELL_ROOM,
)
from t3sim.hardware.plane.memory import submit
from t3sim.hardware.plane.queue import push, schedule
from t3sim.hardware.plane.state import NONE, State

_LOCAL: Final = int(Order.LOCAL)
_READS: Final = 2 * int(Stream.COMPUTE)
_WRITES: Final = _READS + 1


@part
def start(state: State, number: int, first: int, end: int) -> None:
    """Run the K loop of a stage whose slabs are the rows from ``first`` to ``end``."""
    pipeline = state.pipelines[number]
    pipeline.slab = first
    pipeline.end_slab = end
    push(state, STEP, number, 0, 0)
    if first < end:
        push(state, LOADS, number, first, min(first + pipeline.ahead, end))


@part
def loads(state: State, number: int, slab: int, end: int) -> None:
    """Start loading the operands of some slabs."""
    if slab + 1 < end:
        push(state, LOADS, number, slab + 1, end)
    push(state, LOAD, number, slab, 0)
    nbytes = state.slabs[slab].evicted
    if nbytes:
        pipeline = state.pipelines[number]
        state.buffers[pipeline.buffer].held += nbytes
        submit(state, pipeline.controller, _WRITES, nbytes, pipeline.write_cause, 0, EVICTED, number, slab)


@part
def load(state: State, number: int, slab: int) -> None:
    """Read a slab's operands, as far as the LLC does not hold them."""
    pipeline, nbytes = state.pipelines[number], state.slabs[slab].read
    if nbytes:
        submit(state, pipeline.controller, _READS, nbytes, pipeline.read_cause, 0, LOADED, number, slab)
    else:
        schedule(state, state.clock[0].now + pipeline.hit_latency, _LOCAL, ARRIVED, number, slab, 0)


@part
def loaded(state: State, number: int, slab: int) -> None:
    """Let a slab's operands arrive, after what happens locally in this instant already."""
    schedule(state, state.clock[0].now, _LOCAL, ARRIVED, number, slab, 0)


@part
def arrived(state: State, number: int, slab: int) -> None:
    """Compute a slab whose operands were waited for."""
    pipeline, now = state.pipelines[number], state.clock[0].now
    state.slabs[slab].arrived = 1
    if pipeline.awaited == slab:
        pipeline.awaited = NONE
        pipeline.stall += now - pipeline.since
        push(state, STEP, number, 0, 0)
        if state.clock[0].probing:
            push(state, TELL_AWAITED, number, 0, 0)


@part
def step(state: State, number: int) -> None:
    """Compute the next slab, or wait for its operands."""
    pipeline, now = state.pipelines[number], state.clock[0].now
    slab = pipeline.slab
    if slab == pipeline.end_slab:
        push(state, TELL_COMPUTED, number, 0, 0)
    elif state.slabs[slab].arrived:
        schedule(state, now + state.slabs[slab].time, _LOCAL, COMPUTED, number, 0, 0)
    else:
        pipeline.awaited = slab
        pipeline.since = now


@part
def computed(state: State, number: int) -> None:
    """Go on to the next slab, and load one more."""
    pipeline = state.pipelines[number]
    further = pipeline.slab + pipeline.ahead
    pipeline.slab += 1
    push(state, STEP, number, 0, 0)
    if further < pipeline.end_slab:
        push(state, LOADS, number, further, further + 1)


@part
def evicted(state: State, number: int, slab: int) -> None:
    """Take what is in memory now out of the store buffer."""
    give_room(state, state.pipelines[number].buffer, state.slabs[slab].evicted)


@part
def give_room(state: State, number: int, nbytes: int) -> None:
    """Take bytes out of a store buffer; who waits for it to hold so little goes on."""
    buffer = state.buffers[number]
    buffer.held -= nbytes
    if buffer.held <= buffer.level:
        push(state, TELL_ROOM, number, 0, 0)
