"""One-at-a-time sensitivity: what dominates comes first, what is inert is said to be."""

import pytest

from t3sim.errors import InputError
from t3sim.sweeps.sensitivity import load_experiment, run_sensitivity


@pytest.fixture
def study(sweep_of, inline, tmp_path):
    """Give a function that runs the study of a tiny experiment."""

    def run(*axes, metric="total_us", **base):
        return run_sensitivity(load_experiment(sweep_of(*axes, **base)), tmp_path, inline(), metric=metric)

    return run


def of(found, parameter):
    return [row for row in found.rows if row["parameter"] == parameter]


def test_a_dominating_parameter_ranks_first(study):
    """Over a link a thousand times slower than all else, half its rate nearly doubles the time: at most 100% more."""
    found = study(**{"system.link.bandwidth": "0.05 GB/s"})
    assert found.rows[0]["parameter"] == "link.bandwidth"
    halved = {row["scheme"]: row["effect"] for row in of(found, "link.bandwidth") if row["change"] == "-50%"}
    assert 0.95 < halved["t3"] <= 1
    ranks = [row["rank"] for row in found.rows if row["status"] == "ok"]
    assert ranks == sorted(ranks)


def test_effects_are_of_the_geometric_mean(study):
    """An effect is after / before - 1, of each scheme; with two workloads, of their geometric means."""
    found = study({"kind": "list", "key": "tokens", "values": [64, 256]}, metric="dram_total_bytes")
    row = of(found, "llc.capacity")[0]
    assert row["effect"] == pytest.approx(row["after"] / row["before"] - 1)
    alone = [study(metric="dram_total_bytes", tokens=tokens) for tokens in (64, 256)]
    product = of(alone[0], "llc.capacity")[0]["before"] * of(alone[1], "llc.capacity")[0]["before"]
    assert row["before"] ** 2 == pytest.approx(product)


def test_an_inert_parameter_is_listed_as_such(study):
    """Nothing sequential goes through DMA or tracker; policies and rates that no run looks at are not even tried."""
    found = study(scheme=["sequential"])
    for name in ("dma.outstanding", "tracker.entries"):
        assert {row["status"] for row in of(found, name)} == {"no effect"}
        assert {row["rank"] for row in of(found, name)} == {None}
        assert {row["effect"] for row in of(found, name)} == {0.0}
    for name in ("arbitration.t3-mca.starvation_limit", "compute.matrix_flops_per_cycle.fp8"):
        assert {row["status"] for row in of(found, name)} == {"not touched"}
    assert {row["status"] for row in of(found, "compute.matrix_flops_per_cycle.fp16")} == {"ok"}


def test_a_parameter_that_moves_another_outcome_is_not_inert(study):
    """Where the metric stays and the traffic changes, the parameter has an effect: of 0 on the metric."""
    found = study(metric="link_bytes")
    assert {row["effect"] for row in found.rows if row["status"] == "ok"} == {0.0}
    assert {row["status"] for row in of(found, "compute.clock")} == {"ok"}


def test_changes_that_cannot_be_are_rows_with_a_reason(study):
    """A value that the system refuses, and one that the workload does not fit, are not valid and say why."""
    found = study(**{"system.gemm.slab_k": 24})
    (slab,) = (row for row in of(found, "gemm.slab_k") if row["change"] == "+50%")
    assert slab["status"] == "not valid"
    assert "is smaller than one K-slab of the kernel (36)" in slab["reason"]
    (efficiency,) = (row for row in of(found, "memory.efficiency") if row["change"] == "+50%")
    assert (efficiency["status"], efficiency["to"]) == ("not valid", None)
    assert not found.failed


def test_axes_that_set_the_system_are_refused(sweep_of):
    """What is varied cannot be an axis of the experiment."""
    axis = {"kind": "list", "key": "system.compute.cus", "values": [4, 8]}
    with pytest.raises(InputError, match=r"system\.compute\.cus: an axis sets what is to be varied"):
        load_experiment(sweep_of(axis))


def test_metrics_that_cannot_be_ranked_are_refused(study):
    """A name that is no outcome, and one that is zero."""
    with pytest.raises(InputError, match="--metric: is no outcome of a run, got 'cus'"):
        study(metric="cus")
    with pytest.raises(InputError, match="--metric: is not above zero in every run, got 'dram_reduction'"):
        study(metric="dram_reduction")
