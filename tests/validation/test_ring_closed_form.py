"""Collectives alone on a ring take what the closed form says.

The peer is ASTRA-sim 2 (analytical network, direct ring): at these points it is within 0.6% of the same formula.
"""

from itertools import product

import pytest

from t3sim.simulation import load_system
from t3sim.validation.ring import RING

TOLERANCE = 0.005
LATENCY_S = 500e-9
PASSES = {"reduce_scatter": 1, "all_gather": 1, "all_reduce": 2}
GPUS = (4, 8, 16, 32)
GB_PER_S = (75, 150)
# 6 MB and 6 MiB up to 192 MB and 192 MiB, and the outputs of the models studied.
SIZES = (
    6_000_000,
    6_291_456,
    24_000_000,
    25_165_824,
    50_331_648,
    69_730_304,
    75_497_472,
    83_886_080,
    96_000_000,
    100_663_296,
    192_000_000,
    201_326_592,
)


@pytest.fixture(scope="module")
def ring():
    """Give the systems by link rate: memory and launches cost nothing, so that only the links are left."""
    return {rate: load_system(overrides=[*RING, f"link.bandwidth={rate} GB/s"]) for rate in GB_PER_S}


@pytest.fixture
def agrees(ring, rows_of, only):
    """Give the check of one point."""

    def check(collective, gpus, rate, nbytes):
        row = rows_of(ring[rate], only(collective, gpus, nbytes), "sequential")["sequential"]
        once = (gpus - 1) / gpus * nbytes / (rate * 1e9) + (gpus - 1) * LATENCY_S
        expected_us = PASSES[collective] * once * 1e6
        assert row["total_us"] == pytest.approx(expected_us, rel=TOLERANCE)
        assert row["total_us"] > expected_us * (1 - 1e-9)
        # Whole chunks travel: an uneven buffer makes one GPU send up to a byte more a step than another.
        sent = PASSES[collective] * (gpus - 1) * nbytes / gpus
        assert row["link_bytes"] == pytest.approx(sent, abs=PASSES[collective] * gpus)

    return check


@pytest.mark.parametrize("nbytes", [6_000_000, 69_730_304])
@pytest.mark.parametrize("rate", GB_PER_S)
@pytest.mark.parametrize("gpus", GPUS)
@pytest.mark.parametrize("collective", PASSES)
def test_collective_alone(agrees, collective, gpus, rate, nbytes):
    """A collective takes (n-1)/n x bytes / rate + (n-1) x latency, an all-reduce twice that, and never less."""
    agrees(collective, gpus, rate, nbytes)


@pytest.mark.campaign
@pytest.mark.parametrize(("collective", "gpus", "rate", "nbytes"), [*product(PASSES, GPUS, GB_PER_S, SIZES)])
def test_collective_alone_everywhere(agrees, collective, gpus, rate, nbytes):
    """The closed form holds for every collective, ring size, link rate and buffer of the comparison."""
    agrees(collective, gpus, rate, nbytes)


def test_latency_is_paid_once_per_step(ring, rows_of, only):
    """With a buffer of one byte a GPU, what is left are the latencies of n - 1 steps."""
    for gpus in GPUS:
        row = rows_of(ring[75], only("reduce_scatter", gpus, gpus), "sequential")["sequential"]
        assert row["total_us"] == pytest.approx((gpus - 1) * 0.5, rel=1e-3)
