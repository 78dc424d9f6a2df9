"""Copy engines, with 400 ns for each read: how many copy, what they keep in flight, what a copy's start takes."""

import pytest

from t3sim.execution.data import DataMode
from t3sim.schemes.kernels import CollectivePhase
from t3sim.schemes.peer_plans import by_engines
from t3sim.simulation.lab import SystemLab
from t3sim.simulation.plans import facts_of

CHUNK = 4096
NS = 10**6
FULLY_CONNECTED = "topology={kind: fully-connected}"


@pytest.fixture
def copied(slow_reads, collective_op, sublayer_of, lowered):
    """Give a function that has engines copy a collective of 4 KiB for each of four GPUs: the outcome."""

    def run(op, *changes, data=None):
        system = slow_reads(*changes)
        (work,) = lowered(system, sublayer_of(4, collective_op("c", op, 4 * CHUNK)))
        phase = CollectivePhase(by_engines(work, facts_of(system, 4)), by_engines=True)
        return SystemLab(system, 4, "all", data=data).run([phase], "default")

    return run


@pytest.mark.parametrize(("count", "turns"), [(1, 3), (2, 2), (3, 1), (8, 1)])
def test_copies_beyond_the_engines_take_turns(count, turns, copied):
    """Three copies of 400 ns each; then four copies of 4 KiB are summed with 4 KiB in flight."""
    gathered = copied("all_gather", FULLY_CONNECTED, f"copy_engines.count={count}")
    assert gathered.total_fs == pytest.approx(turns * 400 * NS, abs=NS)
    scattered = copied("reduce_scatter", FULLY_CONNECTED, f"copy_engines.count={count}")
    assert scattered.total_fs == pytest.approx((turns + 4) * 400 * NS, abs=NS)
    assert gathered.link_bytes == scattered.link_bytes == 3 * CHUNK


@pytest.mark.parametrize("kib", [1, 2])
@pytest.mark.parametrize(("count", "turns"), [(1, 12), (2, 8), (3, 4)])
def test_an_engine_keeps_so_much_in_flight(count, turns, kib, copied):
    """With 1 KiB in flight a copy of 4 KiB takes four times 400 ns, whatever CUs and other engines could do."""
    engines = f"copy_engines.count={count}", f"copy_engines.outstanding={kib} KiB"
    outcome = copied("all_gather", FULLY_CONNECTED, *engines)
    assert outcome.total_fs == pytest.approx(turns / kib * 400 * NS, rel=0.01)


@pytest.mark.parametrize("op", ["reduce_scatter", "all_gather"])
def test_parts_of_one_home_are_copied_as_one(op, copied):
    """A plan that cuts each GPU's part in two is as any other for engines that copy it straight there."""
    halves = "topology={kind: switch}", f"algorithms={{{op}: bidirectional-ring}}"
    cut, whole = (copied(op, *network) for network in (halves, (FULLY_CONNECTED,)))
    assert cut.link_bytes == 3 * CHUNK
    assert cut.served_bytes == whole.served_bytes
    assert cut.total_fs == pytest.approx(whole.total_fs, abs=NS)


@pytest.mark.parametrize(("count", "starts"), [(1, 3), (2, 2), (3, 1)])
def test_each_copy_starts_up_once(count, starts, copied):
    """Three copies of sixteen slices: a start of 5 us each, one after the other where they share an engine."""
    engines = FULLY_CONNECTED, f"copy_engines.count={count}"
    for op in ("all_gather", "reduce_scatter"):
        free, late = (copied(op, *engines, f"copy_engines.start_up={us} us").total_fs for us in (0, 5))
        assert late - free == pytest.approx(starts * 5000 * NS, abs=NS)


def test_a_sum_beside_engines_is_launched_and_a_copy_is_not(copied):
    """The collective's call is launched; after its copies so is the kernel that sums; start-ups are the copies'."""
    late = FULLY_CONNECTED, "copy_engines.count=2", "compute.launch_overhead=3 us"
    assert copied("all_gather", *late).total_fs == pytest.approx((3000 + 2 * 400) * NS, abs=NS)
    assert copied("reduce_scatter", *late).total_fs == pytest.approx((2 * 3000 + 6 * 400) * NS, abs=NS)


def test_on_a_ring_a_step_is_a_copy_and_a_sum_of_whole_chunks(copied):
    """With 1 KiB in flight a copy takes 1.6 us; the sum of two with 4 KiB 0.8 us, after it and before the next copy."""
    slow = "copy_engines.outstanding=1 KiB"
    assert copied("reduce_scatter", slow).total_fs == pytest.approx(3 * (1600 + 800) * NS, rel=0.01)
    assert copied("all_gather", slow).total_fs == pytest.approx(3 * 1600 * NS, rel=0.01)
    assert copied("reduce_scatter", slow, "copy_engines.start_up=5 us").total_fs == pytest.approx(
        3 * (5000 + 1600 + 800) * NS, rel=0.01
    )


def test_on_a_ring_each_step_reads_once_more(copied):
    """Three chunks are read to be sent, three come, three sums read two and write one."""
    served = copied("reduce_scatter").served_bytes
    assert served["reduce_scatter", "read"] == (3 + 3 * 2) * CHUNK
    assert served["reduce_scatter", "write"] == (3 + 3) * CHUNK


def test_copies_hold_no_cus(copied):
    """An all-gather needs none; the CUs of a reduce-scatter are there until they have summed."""
    assert copied("all_gather", FULLY_CONNECTED).cu_busy_fs["all_gather"] == 0
    scattered = copied("reduce_scatter", FULLY_CONNECTED)
    assert scattered.cu_busy_fs["reduce_scatter"] == scattered.total_fs


@pytest.mark.parametrize(
    "network",
    [
        (),
        (FULLY_CONNECTED,),
        ("topology={kind: switch}",),
        ("topology={kind: switch}", "algorithms={reduce_scatter: bidirectional-ring, all_gather: bidirectional-ring}"),
    ],
)
@pytest.mark.parametrize("op", ["reduce_scatter", "all_gather"])
def test_engines_put_the_right_numbers_everywhere(op, network, copied):
    """Of every GPU, every element; with one engine and with more than copies."""
    for count in (1, 2, 8):
        found = copied(op, *network, f"copy_engines.count={count}", data=DataMode()).data
        assert found.errors == 0, str(found)
