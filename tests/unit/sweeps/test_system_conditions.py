"""Sweeps over what is wrong with GPUs and links."""

import pytest

from t3sim.errors import InputError
from t3sim.sweeps import load_sweep, run_sweep

SPEEDS = {"kind": "list", "key": "system.conditions.gpus.0.speed", "values": [1.0, 0.5, 0.1]}
LOSS = {
    "kind": "cases",
    "name": "trouble",
    "cases": [
        {"label": "none"},
        {"label": "slow", "set": {"system.conditions.links.Link[0->1].rate": 0.25}},
        {"label": "loss", "set": {"system.conditions.links.all": {"loss": 0.3, "retry": "1 us"}}},
        {"label": "no such GPU", "set": {"system.conditions.gpus.5.speed": 0.5}},
    ],
}


def test_a_speed_may_be_an_axis(sweep_of, inline, results, tmp_path):
    """Each value is a point of its own; the slower the GPU, the later the end."""
    run_sweep(load_sweep(sweep_of(SPEEDS)), tmp_path, inline())
    rows = results(tmp_path)
    assert [row["system.conditions.gpus.0.speed"] for row in rows if row["scheme"] == "t3"] == ["1.0", "0.5", "0.1"]
    for scheme in ("sequential", "t3"):
        times = [float(row["total_us"]) for row in rows if row["scheme"] == scheme]
        assert times == sorted(times)
        assert len(set(times)) == 3


def test_troubles_may_be_cases(sweep_of, inline, results, tmp_path):
    """Rows carry the spread over seeds where something is random, and a condition of nothing is a failed row."""
    run_sweep(load_sweep(sweep_of(LOSS, **{"system.conditions.seeds": 3})), tmp_path, inline())
    rows = {(row["trouble"], row["scheme"]): row for row in results(tmp_path)}
    assert len(rows) == 8
    for scheme in ("sequential", "t3"):
        none, slow, loss, wrong = (rows[case["label"], scheme] for case in LOSS["cases"])
        assert (none["seeds"], slow["seeds"], loss["seeds"]) == ("1", "1", "3")
        assert float(none["total_us"]) < float(slow["total_us"])
        assert float(none["total_us"]) < float(loss["total_us_min"]) < float(loss["total_us_p99"])
        assert (wrong["status"], wrong["error_type"]) == ("failed", "InputError")
        assert "conditions.gpus.5: no such GPU among 2 GPUs" in wrong["error_message"]


def test_a_wrong_value_is_refused_before_anything_runs(sweep_file, inline, tmp_path):
    """A value that no GPU takes is named with its line in the sweep."""
    path, backend = sweep_file({**SPEEDS, "values": [1.0, 0]}), inline()
    with pytest.raises(InputError, match=rf"{path}:\d+: system\.conditions\.gpus\.0\.speed: must be greater than"):
        run_sweep(load_sweep(path), tmp_path / "out", backend)
    assert not backend.jobs
