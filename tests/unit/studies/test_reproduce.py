"""Published figures beside simulated ones, on a small set."""

import pytest

from t3sim.errors import InputError
from t3sim.results import geomean
from t3sim.simulation import load_system
from t3sim.studies import Published, Target, load_published, reproduce
from t3sim.studies.cu_sharing import with_cus_shared


def target(name, **fields):
    return Target(id=name, set="small", published=1.0, use="predict", **fields)


@pytest.fixture(scope="module")
def study():
    """Run one small trace and evaluate figures of every kind on it."""
    published = Published(
        source="a test",
        sets={"small": ("t-nlg-tp16",), "other": ("no such trace",)},
        targets=(
            target("geomean", metric="speedup", scheme="ideal-overlap"),
            target("max", metric="speedup", scheme="ideal-overlap", stat="max"),
            target("elsewhere", metric="speedup", scheme="ideal-overlap", tp=16),
            target("unmodelled"),
            target("shared", metric="all_reduce_slowdown", collective_cus=16),
            target("whole", metric="speedup", scheme="t3-mca", phases=("prompt",)),
            target("share", metric="communication_share", scheme="sequential", phases=("prompt",), stat="max"),
            Target(id="other", set="other", published=1.0, use="predict"),
        ),
    )
    seen = []
    result = reproduce(published, load_system(), ["small"], lambda *step: seen.append(step))
    return result, seen


@pytest.fixture
def small_figures():
    """Give figures of one small trace that a shipped system is calibrated on."""
    return Published(
        source="a test",
        system="t3-paper-published",
        sets={"small": ("t-nlg-tp16",)},
        targets=(
            target("geomean", metric="speedup", scheme="t3"),
            target("unmodelled"),
            target("shared", metric="all_reduce_slowdown", collective_cus=16),
        ),
    )


def test_only_the_sets_asked_for_are_run(study):
    """A set that nobody asked for is neither loaded nor compared."""
    result, _ = study
    assert list(result.by_set) == ["small"]
    assert [target.id for target in result.targets] == [
        "geomean",
        "max",
        "elsewhere",
        "unmodelled",
        "shared",
        "whole",
        "share",
    ]


def test_figures_are_evaluated_over_the_rows(study):
    """A figure is the mean or the largest of its metric over the sublayers; its error is simulated - published."""
    result, _ = study
    speedups = [row["speedup"] for row in result.result.rows if row["scheme"] == "ideal-overlap"]
    product = speedups[0] * speedups[1] * speedups[2] * speedups[3]
    values = {target.id: target for target in result.targets}
    assert values["geomean"].simulated == pytest.approx(product ** (1 / 4))
    assert values["max"].simulated == max(speedups)
    assert values["elsewhere"].simulated == values["geomean"].simulated
    for name in ("geomean", "max"):
        assert values[name].error == pytest.approx(values[name].simulated - 1.0)
    assert (values["unmodelled"].simulated, values["unmodelled"].status) == (None, "not modelled")


def test_shared_cus_are_run_for_the_figures_that_need_them(study):
    """Sixteen CUs for the collectives leave 64 to the GEMM; only the figures that ask for it see these times."""
    result, _ = study
    assert list(result.shared_cus) == [("small", 16)]
    shared = {row["sublayer"]: row for row in result.shared_cus["small", 16]}
    alone = {row["sublayer"]: row for row in result.result.rows if row["scheme"] == "sequential"}
    assert shared.keys() == alone.keys()
    for name, row in shared.items():
        assert 1.0 < row["gemm_us"] / alone[name]["gemm_us"] < 1.4
        assert 1.0 < row["rs_us"] / alone[name]["rs_us"] < 1.2
    ratios = [(row["rs_us"] + row["ag_us"]) / (alone[n]["rs_us"] + alone[n]["ag_us"]) for n, row in shared.items()]
    (figure,) = [target for target in result.targets if target.id == "shared"]
    assert figure.simulated == pytest.approx(geomean(ratios))


def test_whole_models_are_run_for_the_figures_that_need_them(study):
    """A prompt of the model on as many GPUs: it gains less than its sublayers do, since the rest stays."""
    result, _ = study
    rows = {row["scheme"]: row for row in result.whole["small"]}
    assert {(row["model"], row["tp"], row["phase"]) for row in rows.values()} == {("t-nlg", 16, "prompt")}
    values = {target.id: target.simulated for target in result.targets}
    plain, fused = rows["sequential"], rows["t3-mca"]
    assert values["whole"] == pytest.approx(plain["total_ms"] / fused["total_ms"])
    assert values["share"] == pytest.approx(plain["communication_ms"] / plain["total_ms"])
    sublayers = geomean([row["speedup"] for row in result.result.rows if row["scheme"] == "t3-mca"])
    assert 1 < values["whole"] < sublayers


def test_collectives_cannot_take_all_cus():
    """Collectives that leave the GEMM no CU are refused."""
    with pytest.raises(InputError, match="leaves the GEMM none of the system's 80 CUs"):
        with_cus_shared(load_system(), 80)


def test_progress_counts_all_points(study):
    """Progress runs from no point to all of them, those on shares of the CUs included."""
    _, seen = study
    assert [(done, total) for done, total, _ in seen] == [(done, 9) for done in range(10)]
    assert seen[4][2] == "small: 16 CUs for collectives"


def test_the_document_has_targets_first(study):
    """As JSON, the comparison comes before the rows it is made from."""
    result, _ = study
    assert list(result.document())[:2] == ["targets", "rows"]


def test_targets_of_unknown_sets_are_refused():
    """A published figure cannot belong to a set that is not there."""
    with pytest.raises(ValueError, match="sets that do not exist: small"):
        Published(source="a test", sets={"base": ()}, targets=(target("x"),))


def test_unknown_publications_are_refused():
    """An unknown name of published figures is refused with the known ones."""
    with pytest.raises(InputError, match="t3"):
        load_published("t33")


def test_the_calibrated_system_stands_beside_the_one_asked_for(small_figures):
    """Each figure is given for both systems; for the calibrated one itself both are the same."""
    asked, calibrated = (
        {target.id: target for target in reproduce(small_figures, load_system(name), ["small"]).targets}
        for name in ("t3-paper-2x-cu", "t3-paper-published")
    )
    for name in ("geomean", "shared"):
        assert calibrated[name].calibrated == calibrated[name].simulated
        assert asked[name].calibrated == pytest.approx(calibrated[name].simulated)
        assert asked[name].simulated != asked[name].calibrated
    assert asked["unmodelled"].calibrated is None


def test_without_a_calibrated_system_there_is_nothing_beside(study):
    """Figures that no system is calibrated on have no second value."""
    assert {target.calibrated for target in study[0].targets} == {None}
