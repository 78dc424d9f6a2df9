"""One GPU stands for all: mirrored and full networks agree to the femtosecond."""

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from t3sim.collectives.grid import rotated, turn
from t3sim.hardware.clock import Order, call_at
from t3sim.hardware.network.link import LinkSpec
from t3sim.hardware.network.message import Message
from t3sim.hardware.network.network import Network
from t3sim.hardware.network.topologies import KIND
from t3sim.registry import get

# Byte times of 1 ns, and all else in multiples of half of one: much happens in one instant.
LINK = {"bandwidth": 10**9, "direction": "per_direction", "latency": 4_000_000}
UNIT = 500_000


def spec(send_buffer, receive_buffer, latency):
    """Give a link whose buffers hold a few messages."""
    return LinkSpec(**{**LINK, "latency": latency}, send_buffer=send_buffer, receive_buffer=receive_buffer)


NIC = LinkSpec(**{**LINK, "bandwidth": 10**9 // 2}, send_buffer=20, receive_buffer=20)
WIRINGS = {
    "ring": ({}, range(2, 10)),
    "fully-connected": ({}, range(2, 10)),
    "switch": ({}, range(2, 10)),
    "switch of 3 planes": ({"planes": 3}, range(2, 10)),
    "torus of 2 x 3": ({"shape": (2, 3)}, [6]),
    "torus of 3 x 3": ({"shape": (3, 3)}, [9]),
    "torus of 4 x 2": ({"shape": (4, 2)}, [8]),
    "multi-node of 2": ({"nodes": 2, "nic": NIC}, [2, 4, 6, 8]),
    "multi-node of 3": ({"nodes": 3, "nic": NIC, "oversubscription": 2.0}, [6, 9]),
    "torus of 2 x 2 x 2": ({"shape": (2, 2, 2)}, [8]),
}


def wired(name, gpus, link):
    """Wire GPUs by one of the wirings."""
    fields, _ = WIRINGS[name]
    return get(KIND, name.split(" of ")[0])(**fields).wire(link, gpus)


CASES = [(name, gpus) for name, (_, sizes) in WIRINGS.items() for gpus in sizes]


def message(source, destination, nbytes, piece):
    return Message(
        operation=0,
        home=source,
        move=piece,
        piece=piece,
        pieces=100,
        source=source,
        destinations=(destination,),
        nbytes=nbytes,
        wire_bytes=nbytes,
    )


def run(wiring, sends, answers, hold_fs, *, mirrored):
    """Let every rank send alike, and answer what it gets; log what each rank sees, in order and as offsets."""
    env = simpy.Environment(0)
    network = Network(env, wiring, mirrored=mirrored)
    ranks = [0] if mirrored else range(wiring.gpus)
    logs = {rank: [] for rank in ranks}
    left = dict.fromkeys(ranks, answers)

    def send(rank, number, offset, nbytes):
        out = message(rank, rotated(rank, offset, wiring.shape), nbytes, number)
        network.send(out, lambda: logs[rank].append((env.now, "accepted", number)))

    def deliver(rank, got):
        offset = turn(rank, got.source, wiring.shape)
        assert got.destinations == (rank,)
        assert got.home == got.source
        logs[rank].append((env.now, "delivered", offset, got.piece, got.nbytes))
        call_at(env, env.now + hold_fs, lambda: network.consumed(got), Order.MEMORY)
        if left[rank]:
            left[rank] -= 1
            send(rank, 1_000 + left[rank], offset, got.nbytes)

    for rank in ranks:
        network.attach(rank, lambda got, rank=rank: deliver(rank, got))
        for number, (time, offset, nbytes) in enumerate(sends):
            call_at(env, time, lambda rank=rank, to=(number, offset, nbytes): send(rank, *to))
    env.run()
    assert network.waiting() == []
    assert network.faults(int(env.now)) == []
    return logs


@pytest.mark.parametrize(("name", "gpus"), CASES)
@settings(max_examples=25)
@given(data=st.data())
def test_mirrored_equals_full_to_the_femtosecond(name, gpus, data):
    """Where all ranks send the same sizes to the same offsets at the same times, rank 0 alone sees what each sees."""
    offsets = st.integers(1, gpus - 1)
    sends = data.draw(
        st.lists(st.tuples(st.integers(0, 40).map(lambda n: n * UNIT), offsets, st.integers(1, 12)), max_size=25)
    )
    link = spec(data.draw(st.integers(4, 30)), data.draw(st.integers(10, 40)), data.draw(st.integers(2, 10)) * UNIT)
    wiring = wired(name, gpus, link)
    hold_fs = data.draw(st.integers(0, 8)) * UNIT
    answers = data.draw(st.integers(0, 5))
    full = run(wiring, sends, answers, hold_fs, mirrored=False)
    mirrored = run(wiring, sends, answers, hold_fs, mirrored=True)
    for rank in full:
        assert full[rank] == mirrored[0], f"rank {rank}"
