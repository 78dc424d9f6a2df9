"""What T3's evaluation reports, from one configuration, and the order of the schemes that must hold everywhere.

The bounds around each published figure are ours; none of them is a parameter that was fitted here.
"""

import pytest

from t3sim.results import geomean
from t3sim.simulation import simulate
from t3sim.studies import load_published

pytestmark = pytest.mark.xdist_group("base set")  # simulated once, by one worker
PUBLISHED = load_published().spec
SUBLAYERS = [
    (model, tp, sublayer)
    for model in ("mega-gpt-2", "t-nlg")
    for tp in (8, 16)
    for sublayer in ("op", "fc2", "fc1", "ip")
]


@pytest.fixture(scope="module")
def base(reproduced):
    """Run the base set once: every scheme on all sixteen sublayers, with the paper's configuration."""
    return reproduced("base")


@pytest.fixture(scope="module")
def simulated(base):
    """Give the simulated value of each published figure, by its id."""
    return {target.id: target.simulated for target in base.targets}


@pytest.fixture(scope="module")
def speedups(base):
    """Give the speedup of each scheme on each sublayer."""
    table = {place: {} for place in SUBLAYERS}
    for row in base.result.rows:
        table[row["model"], row["tp"], row["sublayer"]][row["scheme"]] = row["speedup"]
    return table


def test_the_base_set_is_complete(base, paper_system):
    """Sixteen sublayers under five schemes, all simulated with one configuration that nothing overrides."""
    rows = base.result.rows
    assert {(row["model"], row["tp"], row["sublayer"]) for row in rows} == set(SUBLAYERS)
    assert len(rows) == 16 * 5
    assert not base.result.failed
    assert {row["config_hash"] for row in rows} == {paper_system.config_hash}
    assert paper_system.resolved["name"] == "t3-paper"


@pytest.mark.parametrize(
    ("figure", "low", "high"),
    [
        ("ideal_overlap_geomean", 1.30, 1.38),
        ("ideal_overlap_max", 1.45, 1.52),
        ("t3_mca_geomean", 1.26, 1.36),
        ("dram_reduction_geomean", 0.19, 0.26),
        ("dram_reduction_max", 0.28, 0.38),
        ("gemm_reads_ratio", 1.4, 1.7),
        ("ar_slowdown_8_cus", 1.37, 1.45),
        ("ar_slowdown_16_cus", 1.02, 1.12),
        ("gemm_slowdown_64_cus", 1.17, 1.25),
    ],
)
def test_figure_is_near_the_published_one(simulated, figure, low, high):
    """The simulated figure is in a band that holds the published one."""
    published = next(target.published for target in PUBLISHED.targets if target.id == figure)
    assert low <= published <= high
    assert low <= simulated[figure] <= high


def test_ratios_of_the_identities(simulated):
    """The reads that T3 saves are those of the step counts: 2.5 times on 8 GPUs and 2.2 times on 16."""
    assert simulated["rs_reads_ratio_tp8"] == pytest.approx(2.5)
    assert simulated["rs_reads_ratio_tp16"] == pytest.approx(31 / 14, rel=0.005)
    assert simulated["rs_reads_ratio"] == pytest.approx((2.5 * 31 / 14) ** 0.5, rel=0.005)


@pytest.mark.parametrize("place", SUBLAYERS, ids=lambda place: f"{place[0]}-tp{place[1]}-{place[2]}")
def test_schemes_are_ordered_in_every_sublayer(speedups, place):
    """Sequential is no faster than T3, and T3 no faster than T3-MCA, to within 1%; one sublayer is known to break it.

    Its GEMM keeps the DRAM busy and takes a seventh of its reduce-scatter: docs/studies.md, "When MCA costs".
    """
    of = speedups[place]
    assert of["sequential"] == 1
    assert of["t3"] >= 0.99
    if place == ("mega-gpt-2", 16, "op"):
        assert 0.96 * of["t3"] <= of["t3-mca"] < 0.99 * of["t3"]
    else:
        assert of["t3-mca"] >= 0.99 * of["t3"]


@pytest.mark.parametrize("model", ["mega-gpt-2", "t-nlg"])
@pytest.mark.parametrize("tp", [8, 16])
def test_schemes_are_ordered_where_memory_serves_in_order(model, tp):
    """With the calibrated memory they are in every sublayer."""
    rows = simulate(f"{model}-tp{tp}", schemes=["sequential", "t3", "t3-mca"], system=PUBLISHED.system).rows
    for one, t3, mca in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
        assert (one["scheme"], t3["scheme"], mca["scheme"]) == ("sequential", "t3", "t3-mca")
        assert t3["speedup"] >= 0.99
        assert mca["speedup"] >= 0.99 * t3["speedup"]


def test_nothing_beats_the_ideal(speedups):
    """T3-MCA stays below the ideal with near-memory compute, up to 2% that its finer grain may save."""
    means = {scheme: geomean([of[scheme] for of in speedups.values()]) for scheme in ("t3-mca", "ideal-overlap-nmc")}
    assert means["t3-mca"] <= 1.02 * means["ideal-overlap-nmc"]


def test_unmodelled_figures_have_no_value(base):
    """Figures of what is not modelled say so instead of showing a number."""
    for target in base.targets:
        assert (target.simulated is None) == (target.status == "not modelled")
