"""What every scheme must keep; a new one is tested here without editing this file."""

from itertools import pairwise
from typing import get_args

import pytest

from t3sim.collectives.planning import NetworkFacts
from t3sim.registry import get, names
from t3sim.results.schemes import Role, baseline, is_ideal, scheme_info
from t3sim.schemes.scheme import KIND
from t3sim.simulation import scheme_names
from t3sim.simulation.lab import SystemLab

GPUS = ("mirror", "all")
RING = NetworkFacts(ranks=4, shape=(4,))
# For schemes that a ring is not enough for: all that a switch can do, for the collectives beside them as well.
SWITCH = (
    "topology={kind: switch, switch: {reduces: true, multicasts: true, adder_rate: 8 TB/s, entries: 64}}",
    "algorithms={reduce_scatter: in-switch, all_gather: in-switch}",
)
SHAPE = (128, 48, 40)


@pytest.fixture(params=names(KIND))
def scheme(request):
    """Give the name of each registered scheme."""
    return request.param


@pytest.fixture
def system_for(scheme, tiny_system):
    """Give a builder of systems on whose network the scheme can run."""
    network = SWITCH if get(KIND, scheme)().misfit(RING) else ()
    return lambda *overrides: tiny_system(*network, *overrides)


def parts_of(outcome):
    """Give the times of GEMM, reduce-scatter and all-gather."""
    return [outcome.of(operation) for operation in ("gemm", "reduce_scatter", "all_gather")]


@pytest.mark.parametrize("gpus", GPUS)
@pytest.mark.parametrize("shape", [(128, 48, 40), (100, 50, 25)], ids=["even", "ragged"])
def test_total_covers_its_longest_part(scheme, gpus, shape, system_for, pair, run_scheme):
    """A scheme takes at least as long as its GEMM, its reduce-scatter and its all-gather, each of which takes time."""
    outcome = run_scheme(system_for(), pair(4, shape), scheme, gpus)
    parts = parts_of(outcome)
    assert min(parts) > 0
    assert outcome.total_fs >= max(parts)
    assert outcome.total_fs <= sum(parts)


@pytest.mark.parametrize("gpus", GPUS)
def test_traffic_is_never_negative_and_operands_are_read(scheme, gpus, system_for, pair, run_scheme):
    """Bytes of every cause are whole and not negative, and the GEMM reads each operand at least once."""
    outcome = run_scheme(system_for(), pair(4, SHAPE), scheme, gpus)
    assert all(type(nbytes) is int and nbytes >= 0 for nbytes in outcome.served_bytes.values())
    assert outcome.served_bytes["gemm", "read"] >= (128 + 48) * 40 * 2
    # What every other GPU has to get of each, summed on its way where the switch can, and else at its end.
    chunk = 128 * 48 * 2 // 4
    assert outcome.link_bytes >= (3 + 1 if system_for().topology.kind == "switch" else 2 * 3) * chunk
    assert outcome.dram_busy_fs > 0
    assert 0 < outcome.link_busy_fs <= sum(parts_of(outcome))


@pytest.mark.parametrize("gpus", GPUS)
def test_two_runs_give_equal_outcomes(scheme, gpus, system_for, pair, run_scheme):
    """The same sublayer on the same system costs the same, in every number."""
    sublayer = pair(4, (100, 50, 25))
    first = run_scheme(system_for(), sublayer, scheme, gpus)
    assert first == run_scheme(system_for(), sublayer, scheme, gpus)


@pytest.mark.parametrize("shape", [(128, 48, 40), (256, 64, 8), (64, 64, 200)])
def test_more_link_bandwidth_is_never_slower(scheme, shape, system_for, pair, run_scheme):
    """Each doubling of the link's bandwidth makes a sublayer faster, or leaves it as it is.

    Up to 5%: what arrives in shorter bursts disturbs a GEMM that shares its memory with it more. A rival whose GEMM has
    half of these four CUs has less to gain.
    """
    totals = [
        run_scheme(system_for(f"link.bandwidth={rate} GB/s"), pair(4, shape), scheme).total_fs
        for rate in (25, 50, 100, 200, 400)
    ]
    assert all(faster <= 1.05 * slower for slower, faster in pairwise(totals)), totals
    assert totals[-1] < (0.95 if scheme_info(scheme).role == "rival" else 0.9) * totals[0]


@pytest.mark.parametrize("shape", [(128, 48, 40), (256, 64, 8), (64, 64, 200)])
def test_more_link_bandwidth_is_never_slower_without_contention(shape, tiny_system, pair, run_scheme):
    """Where nothing shares the memory, more link bandwidth is strictly faster or the same to a nanosecond."""
    totals = [
        run_scheme(tiny_system(f"link.bandwidth={rate} GB/s"), pair(4, shape), "sequential").total_fs
        for rate in (25, 50, 100, 200, 400)
    ]
    assert all(faster <= slower + 1_000_000 for slower, faster in pairwise(totals)), totals


@pytest.mark.parametrize("op", ["reduce_scatter", "all_gather"])
def test_collective_alone_is_run_as_it_is(scheme, op, system_for, collective_op, sublayer_of, run_scheme):
    """One collective without a GEMM costs the same under every scheme: there is nothing to fuse or to overlap."""
    sublayer = sublayer_of(4, collective_op("r", op, 8192))
    outcome = run_scheme(system_for(), sublayer, scheme)
    plain = run_scheme(system_for(), sublayer, "sequential")
    assert outcome.total_fs == plain.total_fs == outcome.of(op)
    assert outcome.served_bytes == plain.served_bytes


def test_gemm_alone_is_run_as_it_is(scheme, system_for, gemm_op, sublayer_of, run_scheme):
    """A sublayer of one GEMM takes the same time and traffic under every scheme."""
    sublayer = sublayer_of(4, gemm_op("g", (128, 48, 40)))
    outcome = run_scheme(system_for(), sublayer, scheme)
    plain = run_scheme(system_for(), sublayer, "sequential")
    assert outcome.total_fs == plain.total_fs == outcome.of("gemm")
    assert outcome.served_bytes == plain.served_bytes


@pytest.mark.parametrize(("name", "launches"), [("sequential", 0), ("t3", 1), ("t3-mca", 1), ("ideal-overlap", 0)])
def test_all_gather_is_launched_where_it_is_a_kernel_of_its_own(name, launches, tiny_system, pair, run_scheme):
    """The second half of an all-reduce runs on in its first half's kernel; after a fused first half it is launched."""
    free, late = (
        run_scheme(tiny_system(f"compute.launch_overhead={launch}"), pair(4, (128, 48, 40)), name)
        for launch in ("0 ns", "7 us")
    )
    assert late.of("all_gather") - free.of("all_gather") == pytest.approx(launches * 7 * 10**9, abs=10**8)


def test_schemes_have_distinct_labels_and_places():
    """Each scheme has a label of its own, and the table order names every scheme once with the baseline first."""
    labels = [get(KIND, name).label for name in names(KIND)]
    assert all(labels)
    assert len(set(labels)) == len(labels)
    assert sorted(scheme_names()) == sorted(names(KIND))
    assert scheme_names()[0] == baseline()


def test_one_scheme_is_the_baseline():
    """Each scheme declares one of the roles, and exactly one says that the others are compared with it."""
    roles = [get(KIND, name).role for name in names(KIND)]
    assert set(roles) <= set(get_args(Role))
    assert roles.count("baseline") == 1


def test_ideals_are_what_no_machine_runs(scheme, system_for, pair, lowered):
    """Where GEMM and reduce-scatter can overlap, a scheme is one run of one machine, and only an ideal is not."""
    system, sublayer, machines = system_for(), pair(4, SHAPE), []
    get(KIND, scheme)().simulate(SystemLab(system, 4, "mirror", machines.append), lowered(system, sublayer))
    assert (len(machines) == 1) == (not is_ideal(scheme))
