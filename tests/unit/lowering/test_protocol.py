"""Protocols of collective kernels: which one is run, and what it costs beside the data."""

import pytest

from t3sim.lowering.protocol import PLAIN, ProtocolSpec, chosen
from t3sim.simulation import Point, load_system, simulate_point
from t3sim.workload.operations import Collective, Sublayer

US = 10**9
LINK = 240 * 10**9
# NCCL's table for NVLink on Ampere (src/graph/tuning.cc): base and step latency in us, share, limit in GB/s.
TABLE = {"ll": (6.6, 0.6, 0.5, 87.7), "ll128": (14.0, 1.9, 0.92, None), "simple": (8.4, 3.4, 1.0, None)}
# Only the links and the protocol are left.
LINKS_ALONE = (
    "memory.bandwidth=1000000 TB/s",
    "memory.efficiency=1.0",
    "memory.read_latency=0 ns",
    "memory.turnaround=0 ns",
    "compute.launch_overhead=1 us",
    "compute.collective_outstanding_per_cu=1 MiB",
    "link.bandwidth=100 GB/s",
    "link.direction=per_direction",
    "link.latency=500 ns",
)
NBYTES = 4 * 10**6


def protocols():
    """Make the table."""
    return {
        name: ProtocolSpec(
            base_latency=round(base * US),
            step_latency=round(step * US),
            payload_share=share,
            rate_limit=limit and round(limit * 1e9),
        )
        for name, (base, step, share, limit) in TABLE.items()
    }


def total_us(op, *settings):
    """Time of a collective of 4 MB on 4 GPUs."""
    system = load_system(overrides=[*LINKS_ALONE, *settings])
    operation = Collective(id="c", op=op, bytes=NBYTES, dtype="fp16", phase="forward", sublayer="c")
    sublayer = Sublayer(model="m", phase="forward", sublayer="c", tp=4, operations=(operation,))
    (row,) = simulate_point(Point(system=system, sublayer=sublayer), ["sequential"])
    return row["total_us"]


# Where two lines of the table cross, worked out by hand: with x MB sent on 4 GPUs, ll is 8.4 + x / 0.0877 and simple
# 18.6 + x / 0.24, equal at 1.41; on 8 GPUs ll and ll128 meet at 2.40 and ll128 and simple at 13.5.
@pytest.mark.parametrize(
    ("steps", "sent_mb", "name"),
    [(3, 1.40, "ll"), (3, 1.42, "simple"), (7, 2.3, "ll"), (7, 2.5, "ll128"), (7, 13, "ll128"), (7, 14, "simple")],
)
def test_choice_follows_the_table(steps, sent_mb, name):
    """The protocol that the table takes for the fastest is run; 4 GPUs never use LL128 between LL and Simple."""
    table = protocols()
    assert chosen(table, steps, round(sent_mb * 1e6), LINK) is table[name]


def test_choice_does_not_know_of_extra_latency():
    """What a kernel takes beyond the table changes no choice."""
    table = protocols()
    slow = table["simple"].model_copy(update={"extra_latency": 1000 * US})
    assert chosen({**table, "simple": slow}, 3, 10**8, LINK) is slow


def test_no_protocol_costs_nothing():
    """A system without protocols sends payload alone."""
    assert chosen({}, 3, 10**6, LINK) is PLAIN
    assert PLAIN.wire_bytes(1000, LINK) == 1000


@pytest.mark.parametrize(("share", "limit", "expected"), [(0.5, None, 2000), (1.0, 60, 4000), (0.5, 60, 4000)])
def test_flags_and_limits_hold_the_wire_longer(share, limit, expected):
    """Half of the wire for flags doubles the time on it; a limit of a quarter of the link's rate makes it four."""
    spec = ProtocolSpec(base_latency=0, step_latency=0, payload_share=share, rate_limit=limit and limit * 10**9)
    assert spec.wire_bytes(1000, LINK) == expected


@pytest.mark.parametrize(("op", "passes"), [("reduce_scatter", 1), ("all_gather", 1), ("all_reduce", 2)])
def test_collective_takes_what_its_protocol_says(op, passes):
    """Base and extra once a kernel, the step's latency in place of the wire's 0.5 us, the flags' time on the wire."""
    settings = "base_latency: 5 us, step_latency: 2 us, payload_share: 0.5, extra_latency: 3 us"
    expected = 8 + passes * (3 * 2 + 3 / 4 * NBYTES / (0.5 * 100e9) * 1e6)
    assert total_us(op, f"protocols={{p: {{{settings}}}}}") == pytest.approx(expected, rel=1e-3)


def test_all_reduce_is_launched_once():
    """An all-reduce is one kernel: it costs a reduce-scatter and an all-gather less one launch."""
    parts = total_us("reduce_scatter") + total_us("all_gather")
    assert total_us("all_reduce") == pytest.approx(parts - 1.0, rel=1e-6)


def test_step_is_never_less_than_the_hardware():
    """A table that takes a step to be faster than wire and memory does not make them faster."""
    fast = "protocols={p: {base_latency: 1 us, step_latency: 0 ns, payload_share: 1.0}}"
    assert total_us("reduce_scatter", fast) == total_us("reduce_scatter")


def test_staged_all_gather_copies_its_last_chunk():
    """With a receive buffer, the kernel copies the last chunk out; a reduce-scatter writes its result anyway."""
    slow = "memory.bandwidth=100 GB/s"
    for op, extra_us in (("all_gather", 2 * NBYTES / 4 / 100e9 * 1e6), ("reduce_scatter", 0), ("all_reduce", 0)):
        plain, staged = (
            total_us(op, slow, f"protocols={{p: {{base_latency: 1 us, step_latency: 0 ns, payload_share: 1.0{end}}}}}")
            for end in ("", ", staged: true")
        )
        assert staged - plain == pytest.approx(extra_us, rel=0.02, abs=1e-6)


@pytest.mark.parametrize("op", ["reduce_scatter", "all_gather", "all_reduce"])
def test_mirror_and_ring_agree_under_protocols(op):
    """One mirrored A100 runs NCCL's collectives to the femtosecond as four full ones do."""
    operation = Collective(id="c", op=op, bytes=1 << 20, dtype="fp16", phase="forward", sublayer="c")
    sublayer = Sublayer(model="m", phase="forward", sublayer="c", tp=4, operations=(operation,))
    times = [
        simulate_point(Point(system=load_system("a100-80g"), sublayer=sublayer, gpus=gpus), ["sequential"])
        for gpus in ("mirror", "all")
    ]
    assert times[0][0]["total_us"] == times[1][0]["total_us"]
