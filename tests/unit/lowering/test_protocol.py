"""Protocols of collective kernels: which one is run, and what it costs beside the data."""

import pytest

from t3sim.lowering.load import Load
from t3sim.lowering.protocol import NO_PROTOCOL, PipelineSpec, ProtocolSpec, chosen, usable
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


def load(steps, moved, ranks=8, buffer=10**9):
    """Make what a collective is to one GPU."""
    return Load(ranks=ranks, buffer_bytes=buffer, steps=steps, moved_bytes=moved, bytes_per_s=LINK)


def total_us(op, *settings):
    """Time of a collective of 4 MB on 4 GPUs."""
    system = load_system("t3-paper-published", [*LINKS_ALONE, *settings])
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
    assert chosen(table, load(steps, round(sent_mb * 1e6))) is table[name]


def test_choice_does_not_know_of_extra_latency():
    """What a kernel takes beyond the table changes no choice."""
    table = protocols()
    slow = table["simple"].model_copy(update={"extra_latency": 1000 * US})
    assert chosen({**table, "simple": slow}, load(3, 10**8)) is slow


def test_no_protocol_costs_nothing():
    """A system without protocols sends payload alone."""
    assert chosen({}, load(3, 10**6)) is NO_PROTOCOL
    assert NO_PROTOCOL.wire_bytes(1000, LINK) == 1000


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


@pytest.mark.parametrize("system", ["t3-paper", "t3-paper-fluid", "t3-paper-published"])
def test_a_step_s_latency_is_that_of_the_link_and_of_a_load(system):
    """A step of 0.5 us of the link and 0.3 of a load in any idle memory is there already; one more us is not."""

    def us(step):
        table = f"protocols={{p: {{base_latency: 0 us, step_latency: {step} ns, payload_share: 1.0}}}}"
        operation = Collective(id="c", op="all_gather", bytes=4 << 20, dtype="fp16", phase="forward", sublayer="c")
        sublayer = Sublayer(model="m", phase="forward", sublayer="c", tp=2, operations=(operation,))
        (row,) = simulate_point(Point(system=load_system(system, [table]), sublayer=sublayer), ["sequential"])
        return row["total_us"]

    assert load_system(system).spec.gemm_rates().load_latency_s == pytest.approx(0.3e-6)
    assert us(800) == us(0)
    assert us(1800) == pytest.approx(us(0) + 1, abs=1e-3)


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
    """One mirrored A100, of memory that asks for no addresses, runs NCCL's collectives exactly as four full ones do."""
    operation = Collective(id="c", op=op, bytes=1 << 20, dtype="fp16", phase="forward", sublayer="c")
    sublayer = Sublayer(model="m", phase="forward", sublayer="c", tp=4, operations=(operation,))
    system = load_system("a100-80g", ["memory={model: fluid, memory: {extends: banked-hbm2}}"])
    times = [
        simulate_point(Point(system=system, sublayer=sublayer, gpus=gpus), ["sequential"]) for gpus in ("mirror", "all")
    ]
    assert times[0][0]["total_us"] == times[1][0]["total_us"]


def test_peers_and_filling_come_before_the_first_slice():
    """Flags of 7 peers, the launch where no base is given, and the loops that fill two stages, by hand."""
    pipeline = PipelineSpec(channels=1, chunks=(8, 4), loops=(10,), stages=2)
    # 160 bytes over 2 ranks are 10 loops of 8 x 2 bytes: two tenths of the way; sending 240 bytes takes 1 ns.
    one = ProtocolSpec(base_latency=0, peer_latency=5, step_latency=0, payload_share=1.0)
    assert one.start_fs(load(1, 240), 100) == 35
    assert one.model_copy(update={"peer_latency": 0}).start_fs(load(1, 240), 100) == 100
    piped = ProtocolSpec(base_latency=7, step_latency=0, payload_share=1.0, pipeline=pipeline)
    assert piped.start_fs(load(1, 240, ranks=2, buffer=160), 100) == 7 + 200_000
    assert piped.expected_fs(load(1, 240, ranks=2, buffer=160)) == 7 + 1_000_000


@pytest.mark.parametrize(
    ("buffer_mib", "loop_mib", "filled"),
    [
        (1, 1, 0),
        (2, 2, 0),
        (4, 2, 1 / 2),
        (8, 4, 1 / 2),
        (32, 4, 2 / 8),
        (64, 8, 2 / 8),
        (512, 8, 2 / 64),
        (1024, 16, 2 / 64),
    ],
)
def test_loops_of_nvls(buffer_mib, loop_mib, filled):
    """Loops of 8 GPUs x 16 channels x 16 to 128 KiB, by NCCL's rule by hand; one loop alone fills nothing."""
    spec = load_system("h100-sxm").spec.protocols["nvls"].pipeline
    assert spec.loop_bytes(buffer_mib << 20, 8) == loop_mib << 20
    assert spec.fill(buffer_mib << 20, 8) == pytest.approx(filled)


def test_a_protocol_is_for_its_algorithm_operations_and_sizes():
    """What is not of the algorithm, not for the operation, too large or for fewer GPUs is left out."""
    any_ring = ProtocolSpec(base_latency=0, step_latency=0, payload_share=1.0)
    small = any_ring.model_copy(update={"algorithm": "one-shot", "most_bytes": 100, "most_ranks": 4})
    halves = any_ring.model_copy(update={"operations": ("all_gather",)})
    table = {"any": any_ring, "small": small, "halves": halves}
    assert set(usable(table, "ring", "all_reduce", 10**9, 64)) == {"any"}
    assert set(usable(table, "ring", "all_gather", 1, 2)) == {"any", "halves"}
    assert set(usable(table, "one-shot", "all_reduce", 100, 4)) == {"small"}
    assert not usable(table, "one-shot", "all_reduce", 101, 4)
    assert not usable(table, "one-shot", "all_reduce", 100, 5)


def test_host_adds_its_part_to_every_collective():
    """15 us of the host's are 15 us more, whatever the protocol."""
    assert total_us("all_gather", "software.host_overhead=15 us") == pytest.approx(total_us("all_gather") + 15)


def test_staged_all_to_all_copies_what_it_keeps_and_what_comes_last():
    """The own quarter is read and written first; of each quarter that arrives, no more than the staging in the end."""
    slow = "memory.bandwidth=100 GB/s"
    base = "algorithm: direct, base_latency: 1 us, step_latency: 0 ns, payload_share: 1.0"
    plain, whole, capped = (
        total_us("all_to_all", slow, f"protocols={{p: {{{base}{end}}}}}")
        for end in ("", ", staged: true", ", staged: true, staging: 128 KiB")
    )
    # Four quarters, or one and three times 128 KiB, are read and written at 100 GB/s.
    assert whole - plain == pytest.approx(2 * NBYTES / 100e9 * 1e6, rel=0.15)
    assert capped - plain == pytest.approx(2 * (NBYTES / 4 + 3 * 2**17) / 100e9 * 1e6, rel=0.15)
