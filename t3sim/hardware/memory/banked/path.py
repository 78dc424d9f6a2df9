"""The path from the LLC and the network to a channel: one finite FIFO a stream, and a port to the queues; compiled.

Bursts wait in lanes (stream, read or write) without bound: in registers, store buffers and caches all over the GPU.
From there requests enter the FIFO of their stream, reads and writes in turn while both wait, as a round robin over many
requesters gives. In it they keep their order: a head that may not enter its queue holds back what is behind it.
Arbitration picks the stream whose head goes on, and one request a cycle does, as in Accel-Sim's memory partition
(``l2cache.cc``).

Writes are held at the port where they would keep reads waiting for ever, which Ramulator's controller, whose channel
is behind it, does not prevent:

- while the channel drains writes and holds a read, also one whose row is open already: a drain serves the writes that
  came before it, as in DRAMSim3 (``controller.cc``, ``write_draining_``);
- where one more would start a drain before a turn of reads has served ``least_reads`` or all that waited, as in gem5
  (``mem_ctrl.cc``, ``minReadsPerSwitch``).
"""

from typing import NamedTuple

from t3sim.compiled import IntArray, Record, Records, part, record_type
from t3sim.hardware.memory.banked.control import Control
from t3sim.hardware.memory.banked.dram.next_command import has_room
from t3sim.hardware.memory.banked.dram.tables import NONE, READ_QUEUE, WRITE_QUEUE, Channel
from t3sim.hardware.memory.turns import TURNS, note_turn
from t3sim.hardware.plane.state import State


class PathRules(NamedTuple):
    """How the path is built."""

    entries: int
    """Requests in the FIFO of a stream."""
    least_reads: int
    """Reads that a turn serves before writes may end it."""


LANE = record_type(
    "head",  # next request to leave for the queues
    "next",  # next one to enter the FIFO
    "tail",  # end of what may
)
FIFO = record_type(
    "first",
    "count",
    "last_kind",  # 1: the request that entered last is a write
)
PORT = record_type(
    "turn",  # whose turn it was when it looked last
    "reads",  # that it has let in
    "reads_before",  # that the channel had served when their turn began
    *TURNS,  # what arbitration looks at
)


@part
def fill(lanes: Records, fifos: Records, kinds: IntArray, entries: int) -> None:
    """Let requests into the FIFOs for as long as there is room: reads and writes of a stream in turn."""
    for stream in range(2):
        fifo = fifos[stream]
        while fifo.count < entries:
            reads = lanes[2 * stream].next < lanes[2 * stream].tail
            writes = lanes[2 * stream + 1].next < lanes[2 * stream + 1].tail
            if not (reads or writes):
                break
            kind = 1 - fifo.last_kind if reads and writes else int(writes)
            kinds[stream * entries + _around(fifo.first + fifo.count, entries)] = kind
            lanes[2 * stream + kind].next += 1
            fifo.count += 1
            fifo.last_kind = kind


@part
def _around(place: int, entries: int) -> int:
    """Place in a ring of one that is at most once around: without a division, which takes longer than all else."""
    return place - entries if place >= entries else place


@part
def look(port: Record, channel: Channel) -> None:
    """Note where a turn of reads has begun."""
    state = channel.state[0]
    if state.queue_at_turn == READ_QUEUE and port.turn != READ_QUEUE:
        port.reads_before = state.reads
    port.turn = state.queue_at_turn


@part
def closed_queue(port: Record, rules: PathRules, channel: Channel) -> int:
    """Name the write queue where one more write would keep reads waiting that should not, else ``NONE``."""
    control: Control = channel.rules[0]
    state = channel.state[0]
    if port.reads == state.reads:
        return NONE
    if state.queue_at_turn == WRITE_QUEUE:
        return WRITE_QUEUE
    starts_drain = channel.queues[WRITE_QUEUE].count + 1 >= control.drain_from
    return WRITE_QUEUE if starts_drain and state.reads - port.reads_before < rules.least_reads else NONE


@part
def offers(fifos: Records, kinds: IntArray, entries: int, stream: int, closed: int, channel: Channel) -> bool:
    """Say whether the head of a stream's FIFO may enter its queue: one with room that is not ``closed``."""
    fifo = fifos[stream]
    if not fifo.count:
        return False
    queue = kinds[stream * entries + fifo.first]
    return bool(queue != closed and has_room(channel, queue))


@part
def take(lanes: Records, fifos: Records, kinds: IntArray, entries: int, stream: int) -> int:
    """Take the head out of a stream's FIFO; return its lane, the request before whose ``head`` it is."""
    fifo = fifos[stream]
    lane = 2 * stream + kinds[stream * entries + fifo.first]
    fifo.first = _around(fifo.first + 1, entries)
    fifo.count -= 1
    lanes[lane].head += 1
    return int(lane)


@part
def next_stream(
    state: State,
    table: int,
    turn: Record,
    occupancy: int,
    compute: bool,
    communication: bool,
    communication_waits: bool,
) -> int:
    """Pick the stream whose next request enters the queue, and note it in ``turn``; negative to hold both.

    ``table``: number of the policy's. ``compute``, ``communication``: whether the stream offers a request that there is
    room for. What waits without room is not passed over, but keeps its count.
    """
    clock = state.clock[0]
    if not communication_waits:
        turn.passed_over = 0
    place = (table * 4 + 2 * compute + communication) * clock.table_entries + occupancy
    stream = state.tables[(place * 2 + turn.last_stream) * clock.table_counts + turn.passed_over]
    return note_turn(turn, stream, communication, clock.table_counts - 1)
