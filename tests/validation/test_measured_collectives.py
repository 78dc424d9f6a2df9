"""Collectives and sequential sublayers near what others measured; the bounds are ours, above the errors of today."""

from statistics import fmean

import pytest

from t3sim.simulation import load_system
from t3sim.validation import checks, summary
from t3sim.validation.collectives import load_measured_collectives, simulated, simulated_us
from t3sim.validation.sublayers import load_measured_sublayers

MIB = 2**20
GOALS = {
    ("a100-80g", "NCCL, ring"): 0.07,
    ("h100-sxm", "NCCL, ring"): 0.07,
    ("h100-sxm", "NCCL, in the switch"): 0.08,
    ("a100-80g", "NCCL, all-to-all"): 0.08,
    ("h100-sxm", "NCCL, all-to-all"): 0.08,
    ("a100-80g", "TensorRT-LLM"): 0.12,
    ("h100-sxm", "TensorRT-LLM"): 0.12,
    ("h100-sxm", "multimem"): 0.08,
    ("a100-80g-2-nodes", "NCCL, two nodes"): 0.10,
    ("a100-80g-2-nodes", "NCCL, two nodes, small"): 0.18,
}
"""Most that held-out rows of a system and group may be off on average."""
LARGE = ("NCCL, in the switch", "NCCL, all-to-all", "multimem")
"""Groups whose goal is for 8 MiB and more."""


def held_out(system, group):
    """List what nothing was fitted to."""
    least = 8 * MIB if group in LARGE else 0
    rows = [
        item
        for item in load_measured_collectives()
        if (item.system, item.group, item.use) == (system, group, "holdout")
    ]
    return [item for item in rows if item.bytes >= least]


def mean_error(rows):
    """Mean size of the relative errors."""
    return fmean(abs(simulated(item) / item.time_us - 1) for item in rows)


@pytest.mark.parametrize(("system", "group"), GOALS)
def test_sample_of_held_out_rows(system, group):
    """Some of the held-out rows of up to 64 MiB, evenly over the group: within one and a half times the goal."""
    rows = [item for item in held_out(system, group) if item.bytes <= 128 * MIB]
    sample = rows[:: max(1, len(rows) // 6)]
    assert len(sample) >= 2
    assert mean_error(sample) < 1.5 * GOALS[system, group]


@pytest.mark.campaign
@pytest.mark.parametrize(("system", "group"), GOALS)
def test_all_held_out_rows(system, group):
    """All held-out rows of a group: within its goal."""
    rows = held_out(system, group)
    assert len(rows) >= 4
    assert mean_error(rows) < GOALS[system, group]


@pytest.mark.campaign
def test_every_row_is_compared():
    """Every row of the table is in the summary, once."""
    done = summary("measured", checks("measured")["collectives"].compare())
    counts = {row["group"]: row["n"] for row in done if row["band"] == "all"}
    assert counts.keys() == {f"{system}, {group}" for system, group in GOALS}
    assert sum(counts.values()) == len(load_measured_collectives())


@pytest.mark.parametrize("collective", ["reduce_scatter", "all_gather", "all_reduce"])
def test_ring_over_the_switch_is_the_ring(collective):
    """The ring takes as long through NVSwitch as over links from GPU to GPU, within half a percent."""
    ring = f"algorithms={{{collective}: ring}}"
    libraries = "software.libraries=[nccl]"
    switched, linked = (
        simulated_us(load_system("h100-sxm", [ring, libraries, *more]), 8, collective, 16 * MIB)
        for more in ((), ("topology={kind: ring}",))
    )
    assert switched == pytest.approx(linked, rel=0.005)


def test_measured_tables_say_what_they_are():
    """191 times, each of a shipped system, and eleven sublayers whose parts add up."""
    table = load_measured_collectives()
    assert len(table) == 191
    assert len({(item.system, item.gpus, item.collective, item.bytes, item.libraries) for item in table}) == 191
    measured = load_measured_sublayers().sublayers
    assert len(measured) == 11
    for item in measured:
        assert item.gemm_us is None or item.gemm_us + item.collective_us == pytest.approx(item.time_us, rel=1e-3)


def test_sequential_sublayers():
    """GEMM, then collective: 15% on average where a GPU has rows enough, and each one within 25%."""
    done = checks("measured")["sublayers"].compare()
    whole = [item for item in done if item.quantity == "sequential_us" and "other node" not in item.group]
    large = [item for item in whole if item.band == "M >= 1024"]
    assert (len(whole), len(large)) == (10, 9)
    assert fmean(abs(item.error) for item in large) < 0.15
    assert max(abs(item.error) for item in whole) < 0.25
