"""Collectives on networks take what closed forms say, and what a peer says where its network is the same."""

import math

import pytest

from t3sim.collectives.plan import Operation
from t3sim.collectives.planning import algorithms_for
from t3sim.errors import InputError
from t3sim.validation.network import bounds, cases
from t3sim.validation.network_astra_sim import load_peer_runs

TOLERANCE = 0.005
_FAST_BYTES = 2**20
B, L, HOP = 75e9, 500e-9, 500e-9
_QUICK = {("torus", 4), ("torus", 8), ("torus", 16), ("double-tree", 4)}
FAST = [case for case in cases() if case.nbytes == _FAST_BYTES or (case.algorithm, case.gpus) in _QUICK]


def label(case):
    return case.label


@pytest.mark.parametrize("case", FAST, ids=label)
def test_small_buffers_take_the_closed_form(case):
    """Time on free memory is that of the algorithm's closed form, and not less."""
    assert case.simulated_us() == pytest.approx(case.seconds * 1e6, rel=TOLERANCE)
    assert case.simulated_us() > case.seconds * 1e6 * (1 - 1e-6)


@pytest.mark.campaign
@pytest.mark.parametrize("case", [case for case in cases() if case not in FAST], ids=label)
def test_all_take_the_closed_form(case):
    """So it is for larger ones. In a torus of three dimensions one of the sub-chunks may wait a latency more."""
    more = L / case.seconds if len(case.shape) == 3 else 0
    assert case.simulated_us() == pytest.approx(case.seconds * 1e6, rel=max(TOLERANCE, more))


@pytest.mark.campaign
@pytest.mark.parametrize("case", bounds(), ids=label)
def test_bounds_are_kept(case):
    """Two trees through one port each take what it carries at least; and less than half as much again."""
    assert 1 < case.simulated_us() / (case.seconds * 1e6) < 1.5


def test_every_algorithm_is_compared():
    """Each registered algorithm has cases, for all operations that it does."""
    compared = {(case.algorithm, case.operation) for case in (*cases(), *bounds())}
    assert compared == {(name, operation) for operation in Operation for name in algorithms_for(operation)}


def test_closed_forms_by_hand():
    """Some of the forms, worked out on paper: 16 GPUs or 2 x 8, 16 MiB, 75 GB/s and 500 ns, 25 GB/s and 2 us a NIC."""
    known = {case.label: case.seconds * 1e6 for case in cases()}
    assert known["all_reduce 16 MiB, ring on switch, n=16"] == pytest.approx(434.43, abs=0.01)
    assert known["all_to_all 16 MiB, direct on fully-connected, n=16"] == pytest.approx(14.48, abs=0.01)
    assert known["reduce_scatter 16 MiB, halving-doubling on switch, n=16"] == pytest.approx(211.72, abs=0.01)
    assert known["all_reduce 16 MiB, torus on torus, n=4x4"] == pytest.approx(212.72, abs=0.01)
    assert known["all_gather 16 MiB, hierarchical on multi-node, n=2x8"] == pytest.approx(196.23, abs=0.01)
    assert known["all_to_all 16 MiB, two-level on multi-node, n=4x8"] == pytest.approx(505.32, abs=0.01)


def test_the_peers_fully_connected_network_is_ours():
    """With a link for each pair a step takes ASTRA-sim chunk / rate + latency, and 30 ns more at most."""
    runs = [run for run in load_peer_runs() if run.topology == "fully-connected"]
    assert len(runs) == 12
    for run in runs:
        steps = 2 if run.op == "all_reduce" else 1
        ours = run.simulated_us()
        assert ours == pytest.approx(steps * (run.total_bytes / run.gpus / B + L) * 1e6, rel=1e-4)
        assert ours < run.time_ns / 1e3 < ours * 1.0005 + 0.03


def test_what_the_peers_switch_costs():
    """ASTRA-sim's switch takes a message in full before it goes on, and its tree sends the whole buffer at once.

    So a message of c bytes takes 2 c/B + 2 hops. Of messages that follow one another the wait is for the last: c/B
    more than without. Two children's buffers come to their parent one after the other, but for the root's only child.
    """
    for run in (run for run in load_peer_runs() if run.topology == "switch"):
        n, levels, sent = run.gpus, run.gpus.bit_length() - 1, run.total_bytes / B
        seconds = {
            "ring": (n - 1) * (2 * sent / n + 2 * HOP),
            "direct": sent + 2 * HOP,
            "halving-doubling": math.fsum(2 * sent / 2**step + 2 * HOP for step in range(1, levels + 1)),
            "double-tree": (2 * levels + levels - 1) * sent + levels * 2 * HOP,
        }[run.algorithm]
        steps = 2 if run.op == "all_reduce" else 1
        assert run.time_ns == pytest.approx(steps * seconds * 1e9, rel=TOLERANCE), run.label


def test_ours_passes_bytes_on_as_they_come():
    """Through a switch our message of c bytes takes c/B + 2 hops, which is never later than in full."""
    small = [run for run in load_peer_runs() if run.topology == "switch" and run.total_bytes <= 2**22]
    for run in (run for run in small if run.algorithm != "double-tree"):
        n, levels, sent = run.gpus, run.gpus.bit_length() - 1, run.total_bytes / B
        hops = {"ring": n - 1, "direct": 1, "halving-doubling": levels}[run.algorithm]
        steps = 2 if run.op == "all_reduce" else 1
        assert run.simulated_us() == pytest.approx(steps * ((n - 1) / n * sent + hops * 2 * HOP) * 1e6, rel=TOLERANCE)
        assert run.simulated_us() < run.time_ns / 1e3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("topology,algorithm\nswitch,ring\n", "KeyError"),
        (
            "topology,algorithm,op,gpus,total_bytes,link_gbps,hop_latency_ns,time_ns,source\nring,a,b,c,1,1,1,1,x\n",
            "ring",
        ),
        (None, "FileNotFoundError"),
    ],
)
def test_a_table_that_cannot_be_read(tmp_path, text, reason):
    """A table of runs that is missing, incomplete or of another network is refused, naming the file."""
    path = tmp_path / "runs.csv"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=reason) as caught:
        load_peer_runs(path)
    assert caught.value.problems[0].file == str(path)
