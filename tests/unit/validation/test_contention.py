"""Published figures of contention beside pairs of stated shapes: what is run, and what is said of it."""

from dataclasses import replace

import pytest

from t3sim.validation import contention
from t3sim.validation.contention import AtOnce, MeasuredAgainstContention, at_once
from t3sim.validation.measured_contention import MeasuredContention, load_measured_contention

SMALL = {"M": 4096, "N": 2048, "K_local": 1024, "dtype": "fp16", "gathered": 8 * 2**20}
WAYS = {
    "split": {"what": "a share", "settings": {"software.cu_sharing": "fixed"}},
    "gemm-first": {"what": "what is left", "settings": {"software.cu_sharing": "gemm-first"}},
    "copy-engines": {"what": "no CUs", "by_engines": True},
}


@pytest.fixture
def table():
    """Give a table of one figure and one small pair."""

    def build(ways, **figure):
        known = {"system": "a100-80g", "gpus": 4, "what": "w", "source": "s", "cus": 24, "pairs": "p"}
        figure = {**known, "quantity": "slowdown", "measured": 2.0, "ways": tuple(ways), **figure}
        return MeasuredContention.model_validate(
            {"source": "s", "ways": WAYS, "pairs": {"p": (SMALL,)}, "figures": (figure,)}
        )

    return build


def times(table, way):
    """Give the times of the small pair, in one way."""
    found = table([way])
    return at_once(found.figures[0], found.pairs["p"][0], found.ways[way])


@pytest.mark.parametrize(("together", "share"), [(150, 0.0), (100, 1.0), (120, 0.5), (200, 0.0)])
def test_a_share_of_the_ideal_is_of_its_gain(together, share):
    """100 and 50 one after the other are ideally 1.5 times as fast, and at 120 1.25 times; slower ones gain nothing."""
    found = AtOnce(gemm_fs=100, collective_fs=50, gemm_beside_fs=110, together_fs=together)
    assert found.share_of_ideal == pytest.approx(max(share, 0.001))
    assert found.slowdown == 1.1


def test_a_gemm_that_leaves_cus_is_slower(table):
    """24 of 108 CUs are the collective's while both run; by copy engines the GEMM has all, and hardly waits."""
    split, engines = times(table, "split"), times(table, "copy-engines")
    assert split.gemm_fs == engines.gemm_fs
    assert split.collective_fs == engines.collective_fs
    assert split.slowdown > engines.slowdown >= 1


def test_a_collective_that_comes_second_waits_for_the_gemm(table):
    """Where the GEMM's workgroups take CUs first it takes as long as alone, and the collective ends after it."""
    found = times(table, "gemm-first")
    assert found.slowdown == pytest.approx(1, abs=0.05)
    assert found.together_fs > found.gemm_beside_fs
    assert times(table, "split").together_fs == times(table, "split").gemm_beside_fs


def test_each_way_is_a_group_and_its_range_is_told(table, monkeypatch):
    """Two ways of one pair are two comparisons with the published figure; the notes have both ranges."""
    loaded = load_measured_contention()
    small = table(["split", "copy-engines"])
    monkeypatch.setattr(contention, "load_measured_contention", lambda: replace(loaded, spec=small))
    check = MeasuredAgainstContention()
    assert check.notes == []
    found = check.compare()
    assert [(one.group, one.reference) for one in found] == [
        ("a100-80g, w, split", 2.0),
        ("a100-80g, w, copy-engines", 2.0),
    ]
    assert check.notes[0].startswith(f"a100-80g, w, split: slowdown {found[0].simulated:.2f} to")
    assert check.notes[1].endswith("of 1 pairs; measured 2")


def test_names_that_do_not_exist_are_refused(table):
    """A figure names ways and pairs of its table."""
    with pytest.raises(ValueError, match="figures name pairs that do not exist: q"):
        table(["split"], pairs="q")
    with pytest.raises(ValueError, match="figures name ways that do not exist: x"):
        table(["x"])


def test_shipped_gemms_take_what_the_figure_says():
    """GEMMs set beside one of 1.18 ms are 1 ms of an A100's peak of 312 TFLOP/s, which they sustain at 85%."""
    table = load_measured_contention().spec
    figure = table.figures[0]
    assert (figure.system, figure.measured) == ("a100-80g", 1.76)
    for shape in table.pairs[figure.pairs]:
        assert 2 * shape.M * shape.N * shape.K_local / 312e12 == pytest.approx(0.001, rel=0.01)
