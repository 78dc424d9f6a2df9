"""One simulated DRAM channel behind arbitration: lanes of requests in, bursts out; compiled.

As in the fluid channel, requests wait in four lanes (stream, read or write) until the policy lets them into the queues
of the channel.
"""

from t3sim.compiled import part, routine
from t3sim.hardware.memory.banked.dram.channel import enqueue
from t3sim.hardware.memory.banked.dram.next_command import arrived, tick
from t3sim.hardware.memory.banked.dram.tables import NONE, READ, READ_QUEUE, UPDATE, WRITE, WRITE_QUEUE, Channel
from t3sim.hardware.memory.banked.dram.timing import Timing
from t3sim.hardware.memory.banked.path import closed_queue, fill, look, next_stream, offers, take
from t3sim.hardware.memory.banked.tables import Memory, Simulated
from t3sim.hardware.plane.state import State


@part
def _admit(state: State, table: int, memory: Memory, simulated: Simulated, now: int) -> bool:
    """Let this cycle's request into its queue, if the policy picks a stream; return whether one did.

    Then the next may follow in the next cycle, else only what the channel does, or what arrives, changes that.
    """
    port, fifos, kinds, path = simulated.port[0], simulated.fifos, simulated.kinds, simulated.path[0]
    communicates = fifos[1].count > 0
    closed = closed_queue(port, path, simulated)
    compute = offers(fifos, kinds, path.entries, 0, closed, simulated)
    communication = offers(fifos, kinds, path.entries, 1, closed, simulated)
    if not (compute or communication):
        return False
    occupancy = simulated.queues[READ_QUEUE].count + simulated.queues[WRITE_QUEUE].count
    stream = next_stream(state, table, port, occupancy, compute, communication, communicates)
    if stream < 0:
        return False
    lane = take(simulated.lanes, fifos, kinds, path.entries, stream)
    request = simulated.requests[lane * path.ring + ((simulated.lanes[lane].head - 1) & (path.ring - 1))]
    kind = READ
    if lane % 2:
        kind = UPDATE if memory.slots[request.burst].is_update else WRITE
    enqueue(simulated, request.bank, request.row, kind, now, request.burst)
    arrived(simulated, request.bank, kind, now)
    port.reads += kind == READ
    return True


@routine
def run(state: State, table: int, memory: Memory, simulated: Simulated, until: int, only_first: bool) -> int:
    """Serve the cycles up to ``until``; return how many bursts completed. ``only_first``: stop at the first.

    ``table``: number of the decision table. Slot and cycle of the last data of each are in ``memory.completed``. Room
    that the last cycle makes is left for what arrives in it.
    """
    timing: Timing = simulated.rules[0]
    server, entries, completed = simulated.state[0], simulated.entries, memory.completed
    count, waits = 0, True
    while server.cycle < until:
        look(simulated.port[0], simulated)
        if waits:
            fill(simulated.lanes, simulated.fifos, simulated.kinds, simulated.path[0].entries)
            waits = simulated.fifos[0].count + simulated.fifos[1].count > 0
        entered = _admit(state, table, memory, simulated, server.cycle) if waits else False
        now = min(server.soonest, server.cycle + 1) if entered else server.soonest
        # With nothing left to serve there are only refreshes to come, which nobody waits for.
        if now > until or (only_first and not holds_requests(simulated)):
            break
        if now < server.soonest:
            server.cycle = now  # for what enters next
            continue
        slot = tick(simulated, now)
        if slot == NONE:
            continue
        burst = simulated.bursts[entries[slot].tag]
        burst.left -= 1
        if burst.left:
            continue
        served = completed[count]
        served.slot = entries[slot].tag
        served.end = now + (timing.rd_to_data if entries[slot].kind == READ else timing.wr_to_data)
        count += 1
        if only_first:
            break
    return count


@part
def holds_requests(channel: Channel) -> bool:
    """Whether any has entered the channel that is not served."""
    queues = channel.queues
    return bool(queues[READ_QUEUE].count or queues[WRITE_QUEUE].count or channel.state[0].opened_banks)
