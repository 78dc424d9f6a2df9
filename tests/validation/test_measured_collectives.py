"""Collectives and sequential sublayers near what others measured; the bounds are ours, above the errors of today."""

import math
from statistics import fmean

import pytest

from t3sim.simulation import load_system
from t3sim.validation import checks, summary
from t3sim.validation.collectives import load_measured, simulated_us
from t3sim.validation.sublayers import load_measured as load_sublayers

MIB = 2**20
SAMPLE = (1 * MIB, 8 * MIB, 64 * MIB)


def rings(system):
    """List what was measured of a system as a ring: GPUs, collective, bytes, time."""
    table = load_measured()
    return [
        (curve.gpus, curve.collective, nbytes, time_us)
        for curve in table.curves
        if curve.system == system
        for nbytes, time_us in zip(table.bytes, curve.times_us, strict=True)
        if curve.in_switch_from is None or nbytes < curve.in_switch_from
    ]


@pytest.mark.parametrize(("system", "bound"), [("a100-80g", 0.12), ("h100-sxm", 0.12)])
def test_sample_of_collectives(system, bound):
    """A small, a middle and a large size of every collective that ran as a ring: geomean error within the bound."""
    loaded = load_system(system)
    cases = [case for case in rings(system) if case[2] in SAMPLE]
    assert len(cases) >= 7
    distances = [abs(math.log(simulated_us(loaded, *case[:3]) / case[3])) for case in cases]
    assert math.exp(fmean(distances)) - 1 < bound


@pytest.mark.campaign
def test_all_collectives():
    """Over all sizes: H100 within 6%, A100 within 7%, as the README says; what ran in the switch is apart."""
    done = summary("measured", checks("measured")["collectives"].compare())
    errors = {row["group"]: row["geomean_error"] for row in done if row["band"] == "all"}
    counts = {row["group"]: row["n"] for row in done if row["band"] == "all"}
    assert counts == {"a100-80g n=4": 30, "a100-80g n=8": 30, "h100-sxm n=8": 21, "h100-sxm n=8, in the switch": 9}
    assert errors["a100-80g n=4"] < 0.07
    assert errors["a100-80g n=8"] < 0.07
    assert errors["h100-sxm n=8"] < 0.06


def test_measured_tables_say_what_they_are():
    """Ninety times of nine curves, of whole buffers from 1 to 512 MiB, and eleven sublayers whose parts add up."""
    table = load_measured()
    assert sum(len(curve.times_us) for curve in table.curves) == 90
    assert (table.bytes[0], table.bytes[-1]) == (MIB, 512 * MIB)
    measured = load_sublayers().sublayers
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
