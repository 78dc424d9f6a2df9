"""The compiled lanes of collective kernels against processes in plain Python, access by access, slice by slice."""

import importlib.util
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t3sim.collectives.planning import KIND as ALGORITHM
from t3sim.collectives.planning import NetworkFacts, make_plan
from t3sim.errors import PlanError
from t3sim.execution.carriers import Carriers
from t3sim.execution.collective_kernel import CollectiveKernel
from t3sim.execution.exchange import Exchange
from t3sim.hardware.machine import Machine
from t3sim.hardware.memory.arbitration.round_robin import RoundRobin
from t3sim.hardware.memory.fluid.in_order_spec import InOrderSpec
from t3sim.hardware.network.link import LinkSpec
from t3sim.hardware.network.switch import SwitchSpec
from t3sim.hardware.network.topologies import KIND as TOPOLOGY
from t3sim.hardware.probe import Probe
from t3sim.lowering.chunks import even_chunks
from t3sim.lowering.protocol import ProtocolSpec
from t3sim.registry import get, names

spec = importlib.util.spec_from_file_location("lane_reference", Path(__file__).with_name("lane_reference.py"))
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)

STEP = 1_000  # a byte on the wire


class Log(Probe):
    """Notes all bursts of every GPU and all messages, each with what becomes of it when."""

    def __init__(self, machine):
        self.env = machine.env
        self.bursts = {gpu.index: [] for gpu in machine.gpus}
        self.messages = {}
        machine.observe(self)

    def burst_submitted(self, rank, stream, access, nbytes, cause, done):
        """Note a burst, and when it is done."""
        burst = [self.env.now, stream, access, nbytes, cause]
        self.bursts[rank].append(burst)

        def noted():
            burst.append(self.env.now)
            done()

        return noted

    def note(self, what, message):
        """Note what becomes of a message."""
        ends = message.source, message.destinations
        key = *ends, message.home, message.move, message.piece, message.part, message.nbytes, message.wire_bytes
        self.messages.setdefault((what, *key), []).append(self.env.now)

    def message_sent(self, rank, message):
        """Note when it is handed over."""
        self.note(f"sent by {rank}", message)

    def message_accepted(self, rank, message, accepted):
        """Note when the link takes it: the slice has left the CUs."""

        def noted():
            self.note(f"left {rank}", message)
            accepted()

        return noted

    def message_delivered(self, rank, message):
        """Note when it is there."""
        self.note(f"came to {rank}", message)

    def message_consumed(self, rank, message):
        """Note when it is in memory."""
        self.note(f"in memory of {rank}", message)


def networks(gpus):
    """Give ways to wire GPUs, each with what algorithms may know of it."""
    adds = SwitchSpec(reduces=True, multicasts=True, adder_rate=2 * 10**12, entries=4)
    facts = NetworkFacts(ranks=gpus, shape=(gpus,))
    yield "ring", {}, facts
    yield "fully-connected", {}, facts
    yield "switch", {"switch": adds}, replace(facts, switch_reduces=True, switch_multicasts=True)
    if gpus in {4, 6}:
        yield "torus", {"shape": (2, gpus // 2)}, NetworkFacts(ranks=gpus, shape=(2, gpus // 2))


@cache
def planned(algorithm, gpus):
    """Give all that an algorithm does on some GPUs: (plan, kind of topology, its fields)."""
    found = []
    for ranks in gpus:
        for kind, fields, facts in networks(ranks):
            for operation in get(ALGORITHM, algorithm).operations:
                with suppress(PlanError):
                    found.append((make_plan(operation, algorithm, facts), kind, fields))
    return found


@st.composite
def links(draw):
    """Draw links of one latency whose buffers hold a few slices."""
    latency = draw(st.integers(2, 20))
    return LinkSpec(
        bandwidth=10**12,
        direction="per_direction",
        latency=latency * STEP,
        send_buffer=draw(st.integers(1, 60)),
        receive_buffer=draw(st.integers(2 * latency, 100)),
    )


memories = st.builds(
    lambda rate, entries, latency, turnaround: InOrderSpec(
        bandwidth=rate,
        efficiency=1.0,
        channels=2,
        access=4,
        queue_entries=entries,
        read_latency=latency,
        update_cost=1.0,
        turnaround=turnaround,
        stream_switch=0,
    ),
    st.sampled_from([5 * 10**11, 3 * 10**12, 10**14]),
    st.integers(1, 6),
    st.sampled_from([0, 10 * STEP, 77_777]),
    st.sampled_from([0, 1_234]),
)

protocols = st.builds(
    ProtocolSpec,
    base_latency=st.just(0),
    step_latency=st.sampled_from([0, 0, 30 * STEP, 123_456]),
    payload_share=st.sampled_from([1.0, 0.5]),
    staged=st.booleans(),
    staging=st.none() | st.integers(1, 60),
)


@st.composite
def cases(draw, chosen, chunk, window):
    """Draw which of some plans is carried out, over what, by whom, and when each GPU begins."""
    plan, kind, fields = draw(st.sampled_from(chosen))
    starts = st.integers(0, 50).map(lambda number: number * STEP)
    return {
        "plan": plan,
        "wiring": get(TOPOLOGY, kind)(**fields).wire(draw(links()), plan.ranks),
        "nbytes": draw(st.integers(*chunk)) * plan.ranks,
        "slice": draw(st.integers(5, 40)),
        "memory": draw(memories),
        "protocol": draw(protocols),
        "window": draw(st.integers(*window)),
        "starts": draw(st.lists(starts, min_size=plan.ranks, max_size=plan.ranks)),
    }


def compiled_kernel(gpu, _network, chunks, case):
    exchange = Exchange(gpu.ports.network, 0, case["plan"], chunks)
    return CollectiveKernel(gpu.ports, exchange, case["protocol"], Carriers(case["window"]))


def plain_kernel(gpu, network, chunks, case):
    given = case["plan"], chunks.piece_bytes, case["protocol"], case["window"]
    return reference.ReferenceKernel(gpu.ports, network, *given)


def run(gpu_spec, case, kernel_of):
    """Run a kernel on every GPU; give all bursts, all messages, and when each GPU is done."""
    chunks = even_chunks(case["nbytes"], case["plan"].parts, case["slice"])
    machine = Machine(replace(gpu_spec, memory=case["memory"]), case["wiring"], RoundRobin(), mirrored=False)
    log, ends = Log(machine), {}
    kernels = [kernel_of(gpu, machine.network, chunks, case) for gpu in machine.gpus]

    def program(rank):
        yield machine.env.timeout(case["starts"][rank])
        yield from kernels[rank].run()
        ends[rank] = machine.env.now

    for rank in range(case["plan"].ranks):
        machine.env.process(program(rank))
    machine.env.run()
    assert len(ends) == case["plan"].ranks
    return log.bursts, log.messages, ends


@pytest.fixture(scope="module")
def gpu_spec(tiny_system):
    """Give a GPU of which only the memory is changed."""
    return tiny_system().gpu()


@pytest.mark.parametrize("algorithm", names(ALGORITHM))
@settings(max_examples=12)
@given(data=st.data())
def test_every_slice_is_read_and_leaves_when_the_plain_kernel_says(gpu_spec, algorithm, data):
    """All reads, writes and messages of all lanes, and the kernels' ends, are at the femtosecond that rules give."""
    case = data.draw(cases(planned(algorithm, (2, 3, 4, 6)), (1, 40), (8, 200)))
    found, expected = (run(gpu_spec, case, kernel_of) for kernel_of in (compiled_kernel, plain_kernel))
    assert found == expected


@pytest.mark.parametrize("algorithm", ["ring", "direct", "bidirectional-ring"])
@settings(max_examples=12)
@given(data=st.data())
def test_lanes_that_share_a_window_take_turns_as_in_the_plain_kernel(gpu_spec, algorithm, data):
    """So they are where many slices wait for one window: of last sums beside what is sent, or of what shots brought."""
    case = data.draw(cases(planned(algorithm, (2, 3, 4)), (60, 120), (10, 60)))
    found, expected = (run(gpu_spec, case, kernel_of) for kernel_of in (compiled_kernel, plain_kernel))
    assert found == expected
