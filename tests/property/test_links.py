"""The compiled links, routes and adders of switches against ones in plain Python, message by message."""

import importlib.util
from pathlib import Path

import simpy
from hypothesis import event, given, settings
from hypothesis import strategies as st

from t3sim.hardware.clock import call_at
from t3sim.hardware.network.link import LinkSpec
from t3sim.hardware.network.message import Message
from t3sim.hardware.network.network import Network
from t3sim.hardware.network.switch import SwitchSpec
from t3sim.hardware.network.topologies import KIND
from t3sim.registry import get

spec = importlib.util.spec_from_file_location("link_reference", Path(__file__).with_name("link_reference.py"))
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)

# A byte takes 1000 fs, and times are multiples of that: much happens in one instant. Or it takes 1333 and a third.
STEP = 1_000
RATES = (10**12, 10**12, 75 * 10**10)
steps = st.integers(0, 40).map(lambda number: number * STEP)


@st.composite
def links(draw, rate=None):
    """Draw a link of a few latencies whose buffers hold a few messages."""
    latency = draw(st.integers(2, 8)) * STEP
    return LinkSpec(
        bandwidth=rate or draw(st.sampled_from(RATES)),
        direction="per_direction",
        latency=latency,
        send_buffer=draw(st.integers(1, 40)),
        receive_buffer=draw(st.integers(2 * latency // STEP, 50)),
    )


@st.composite
def wirings(draw, kinds=("ring", "torus", "switch", "multi-node")):
    """Draw a few GPUs and what is between them."""
    kind, gpus, fields = draw(st.sampled_from(kinds)), draw(st.integers(2, 6)), {}
    if kind == "torus":
        fields["shape"], gpus = draw(st.sampled_from([((2, 2), 4), ((3, 2), 6), ((3, 3), 9)]))
    if kind == "switch":
        fields["planes"] = draw(st.sampled_from([1, 1, 2]))
    if kind == "multi-node":
        gpus = draw(st.sampled_from([4, 6]))
        fields |= {"nodes": 2, "nic": draw(links(5 * 10**11)), "oversubscription": draw(st.sampled_from([1.0, 2.0]))}
    if kind in {"switch", "multi-node"}:
        rate = draw(st.sampled_from([5 * 10**11, 10**12, 3 * 10**12, 8 * 10**12]))
        entries = draw(st.sampled_from([1, 1, 2, 3]))
        fields["switch"] = SwitchSpec(reduces=True, multicasts=True, adder_rate=rate, entries=entries)
    return get(KIND, kind)(**fields).wire(draw(links()), gpus)


def message(serial, source, destinations, nbytes, more, **fields):
    """Make a message that holds wires for ``more`` bytes than it has."""
    given = {"operation": 0, "home": source, "move": serial, "piece": serial, "pieces": 200, **fields}
    sizes = {"nbytes": nbytes, "wire_bytes": nbytes + more}
    return Message(source=source, destinations=destinations, serial=serial, **sizes, **given)


@st.composite
def plain_sends(draw, gpus):
    """Draw messages from GPUs to others: bursts of them, or one by one."""
    sends = []
    for _ in range(draw(st.integers(1, 8))):
        source, to = draw(st.permutations(range(gpus)).map(lambda ranks: ranks[:2]))
        time, nbytes = draw(steps), draw(st.integers(1, 15))
        more, hold = draw(st.sampled_from([0, 0, 3])), draw(st.integers(0, 30)) * STEP
        for _ in range(draw(st.integers(1, 4))):
            sends.append((time, message(len(sends) + 1, source, (to,), nbytes, more), hold))
    return sorted(sends, key=lambda send: send[0])


@st.composite
def sends_through_a_switch(draw, gpus):
    """Draw plain messages, copies for several GPUs, and contributions to sums for one or for several.

    Sums for several come from all GPUs and go on as their home's, as those of plans do: else two adders could make two
    sums of one flow in one instant, and nothing says which of these is first.
    """
    sends, by_all, one_home = list(draw(plain_sends(gpus))), draw(st.booleans()), draw(st.booleans())
    for piece in range(100, 100 + draw(st.integers(0, 8))):
        ends = tuple(draw(st.permutations(range(gpus)))[: draw(st.integers(1, gpus))]) if not one_home else (0,)
        sources = draw(st.permutations(range(gpus)))
        nbytes, more, hold = draw(st.integers(1, 15)), draw(st.sampled_from([0, 0, 3])), draw(st.integers(0, 30)) * STEP
        made = len(sends) + 1
        if draw(st.booleans()):
            ends, sources = (ends, sources) if by_all else (ends[:1], sources[: draw(st.integers(1, gpus))])
            fields = {"home": ends[0], "piece": piece, "merges": len(sources)} | ({"move": piece} if by_all else {})
            for serial, source in enumerate(sources, made):
                sends.append((draw(steps), message(serial, source, ends, nbytes, more, **fields), hold))
        elif others := tuple(end for end in ends if end != sources[0]):
            sends.append((draw(steps), message(made, sources[0], others, nbytes, more), hold))
    return sorted(sends, key=lambda send: send[0])


def compiled_times(wiring, sends):
    """Run the network; give the same as the plain one does."""
    env = simpy.Environment(0)
    network = Network(env, wiring, mirrored=False)
    accepted, arrived = {}, {}
    holds = {each.piece: hold for _, each, hold in sends}

    def deliver(gpu, found):
        arrived[found.serial, gpu] = env.now
        call_at(env, env.now + holds[found.piece], lambda: network.consumed(found))

    def send(made):
        network.send(made, lambda: accepted.setdefault(made.serial, env.now))

    for gpu in range(wiring.gpus):
        network.attach(gpu, lambda found, gpu=gpu: deliver(gpu, found))
    for time, made, _ in sends:
        call_at(env, time, lambda made=made: send(made))
    env.run()
    return accepted, arrived


@settings(max_examples=250)
@given(st.data())
def test_every_message_arrives_when_the_plain_network_says(data):
    """Messages that share links, buffers and receivers are accepted and arrive at the femtosecond that rules give."""
    wiring = data.draw(wirings())
    sends = data.draw(plain_sends(wiring.gpus))
    accepted, arrived = compiled_times(wiring, sends)
    assert (accepted, arrived) == reference.ReferenceNetwork(wiring).run(sends)
    assert len(accepted) == len(arrived) == len(sends)


@settings(max_examples=250)
@given(st.data())
def test_sums_and_copies_arrive_when_the_plain_network_says(data):
    """So do sums of a switch's adders and copies that it makes, beside plain messages, with entries for few sums."""
    wiring = data.draw(wirings(("switch",)))
    sends = data.draw(sends_through_a_switch(wiring.gpus))
    accepted, arrived = compiled_times(wiring, sends)
    event("all arrive" if len(accepted) == len(sends) else "some wait for each other")
    assert (accepted, arrived) == reference.ReferenceNetwork(wiring).run(sends)
