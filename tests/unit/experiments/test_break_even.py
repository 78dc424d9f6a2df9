"""Break-even against speedups that are given by hand, and on the small system."""

import pytest

from t3sim.data import models_dir
from t3sim.errors import InputError
from t3sim.experiments import break_even as module
from t3sim.experiments.break_even import break_even
from t3sim.workload import load_model


@pytest.fixture
def model():
    """Give a model."""
    return load_model("t-nlg", folder=models_dir()).spec


@pytest.fixture
def given(monkeypatch):
    """Let speedups be a function of tokens and scheme; give the sizes that were simulated."""
    sizes = []

    def install(speedup):
        def simulate_point(point, schemes):
            tokens = point.sublayer.operations[0].M
            sizes.append(tokens)
            rows = [{"status": "ok", "scheme": name, "M": tokens, "speedup": speedup(tokens, name)} for name in schemes]
            return [{**row, "status": "failed", "speedup": None} if row["speedup"] is None else row for row in rows]

        monkeypatch.setattr(module, "simulate_point", simulate_point)
        return sizes

    return install


def search(model, system, **options):
    return break_even(model, 8, system, **{"tokens": (128, 16384), "sublayers": ["op"], "schemes": ["t3"], **options})


@pytest.mark.parametrize("threshold", [200, 1000, 5000, 9999])
def test_the_size_from_which_a_scheme_wins_is_found(model, tiny_loaded, given, threshold):
    """The size named wins, and the largest that does not is less than a tenth below; few sizes are simulated."""
    sizes = given(lambda tokens, _: 1.1 if tokens >= threshold else 0.9)
    (found,) = search(model, tiny_loaded()).thresholds
    assert threshold <= found.wins_from < threshold * 1.1 + 1
    assert found.wins == ((found.wins_from, 16384),)
    assert len(sizes) == len(set(sizes)) <= 8 + 4


def test_a_scheme_may_win_up_to_a_size(model, tiny_loaded, given):
    """What wins only at small sizes, or in the middle, wins from none on; its ranges say where."""
    given(lambda tokens, scheme: 1.1 if (tokens <= 1000 if scheme == "t3" else 500 <= tokens <= 5000) else 1.0)
    small, middle = search(model, tiny_loaded(), schemes=["t3", "t3-mca"]).thresholds
    assert (small.wins_from, middle.wins_from) == (None, None)
    assert small.wins[0][0] == 128
    assert 900 < small.wins[-1][1] <= 1000
    assert 500 <= middle.wins[0][0] < 551
    assert 4500 < middle.wins[-1][1] <= 5000


def test_always_and_never(model, tiny_loaded, given):
    """A scheme that always wins does from the fewest tokens on; one that is as fast as sequential does not win."""
    given(lambda _, scheme: 1.1 if scheme == "t3" else 1.0)
    always, never = search(model, tiny_loaded(), schemes=["t3", "t3-mca", "sequential"]).thresholds
    assert (always.wins_from, always.wins) == (128, ((128, 16384),))
    assert (never.wins_from, never.wins) == (None, ())


def test_a_failed_run_does_not_win(model, tiny_loaded, given):
    """A size whose run fails counts as one where the scheme does not win, and its row says so."""
    given(lambda tokens, _: None if tokens == 16384 else 1.1)
    found = search(model, tiny_loaded())
    assert found.thresholds[0].wins_from is None
    assert [row["M"] for row in found.result.failed] == [16384]


def test_real_speedups_are_those_of_a_run(model, tiny_loaded):
    """On a real system the rows are those of a run, by size; sizes too small for the ring are left out."""
    found = search(model, tiny_loaded("gemm.tile_n=8192", "gemm.tile_m=64"), tokens=(64, 1024))
    sizes = [row["M"] for row in found.result.rows]
    assert sizes == sorted(sizes)
    assert sizes[0] == 512, "fewer rows make fewer than eight tiles"
    for row in found.result.rows:
        assert row["status"] == "ok"
    wins = {row["M"] for row in found.result.rows if row["speedup"] > 1}
    assert wins == {size for size in sizes for low, high in found.thresholds[0].wins if low <= size <= high}


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"tokens": (0, 128)}, ("--from",)),
        ({"tokens": (256, 128)}, ("--from", "256")),
        ({"schemes": ["t4"]}, ("--scheme", "'t4'")),
        ({"sublayers": ["fc3"]}, ("--sublayer", "'fc3'")),
        ({"gpus": "4"}, ("--gpus", "'4'")),
        ({"tokens": (1, 10**9)}, ("tokens",)),
    ],
)
def test_what_cannot_be_is_refused(model, tiny_loaded, options, parts):
    """Sizes, names and GPUs that cannot be are bad input."""
    with pytest.raises(InputError) as refused:
        search(model, tiny_loaded(), **options)
    assert not [part for part in parts if part not in str(refused.value)]


def test_no_size_that_fits_is_refused(model, tiny_loaded):
    """When even the largest size cannot be cut up, there is nothing to say."""
    with pytest.raises(InputError, match="--to"):
        search(model, tiny_loaded("gemm.tile_n=8192", "gemm.tile_m=1024"), tokens=(64, 1024))
