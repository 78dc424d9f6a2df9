"""Running a sweep: each point once, in one table, whatever happens on the way."""

from pathlib import Path

import pytest

from t3sim.errors import InputError
from t3sim.sweeps import load_sweep, merge, run_sweep
from t3sim.sweeps.journal import JOURNAL, Journal, JournalError

TOKENS = {"kind": "list", "key": "tokens", "values": [64, 128, 256]}
TP = {"kind": "list", "key": "tp", "values": [2, 4]}


def test_the_order_of_finishing_does_not_show(sweep_of, inline, results, tmp_path):
    """The table is in the order of the combinations: combination, sublayer, scheme."""
    spec = load_sweep(sweep_of(TOKENS, TP, sublayer=["op", "fc2"]))
    run_sweep(spec, tmp_path / "a", inline())
    run_sweep(spec, tmp_path / "b", inline(reverse=True))
    rows = results(tmp_path / "a")
    assert rows == results(tmp_path / "b")
    keys = [(row["tokens"], row["tp"], row["sublayer"], row["scheme"]) for row in rows]
    assert keys == [
        (tokens, tp, sublayer, scheme)
        for tokens in ("64", "128", "256")
        for tp in "24"
        for sublayer in ("op", "fc2")
        for scheme in ("sequential", "t3")
    ]


def test_finished_points_are_not_run_again(sweep_of, inline, results, tmp_path):
    """A sweep that has grown runs its new points only; one that has shrunk runs none, and lists what is left."""
    first, second, third = inline(), inline(), inline()
    run_sweep(load_sweep(sweep_of({**TOKENS, "values": [64, 256]})), tmp_path, first)
    run_sweep(load_sweep(sweep_of(TOKENS)), tmp_path, second)
    result = run_sweep(load_sweep(sweep_of({**TOKENS, "values": [128]})), tmp_path, third)
    assert [len(backend.jobs) for backend in (first, second, third)] == [2, 1, 0]
    assert {row["tokens"] for row in results(tmp_path)} == {"128"}
    assert (result.tally.points, result.tally.finished_before) == (1, 1)


def test_axes_in_another_order_are_the_same_points(sweep_of, inline, tmp_path):
    """What a point is does not depend on how its settings were put together."""
    again = inline()
    run_sweep(load_sweep(sweep_of(TOKENS, TP)), tmp_path, inline())
    run_sweep(load_sweep(sweep_of(TP, TOKENS)), tmp_path, again)
    assert not again.jobs


def test_an_edited_file_is_another_point(sweep_of, inline, tmp_path, tiny_settings):
    """A model file that has changed under its name makes new points."""
    model = tmp_path / "toy.yaml"
    text = Path(tiny_settings["model"]).read_text(encoding="utf-8")
    for hidden, ran in ((64, 1), (64, 0), (128, 1)):
        model.write_text(text.replace("hidden: 64", f"hidden: {hidden}"), encoding="utf-8")
        backend = inline()
        run_sweep(load_sweep(sweep_of(model=str(model))), tmp_path / "out", backend)
        assert len(backend.jobs) == ran


def test_values_that_mean_the_same_are_one_point(sweep_of, inline, results, tmp_path):
    """Three ways to write a bandwidth run once, and each is listed with its own words."""
    ways = ["100 GB/s", "0.1 TB/s", "100000 MB/s"]
    backend = inline()
    spec = load_sweep(sweep_of({"kind": "list", "key": "system.link.bandwidth", "values": ways}))
    result = run_sweep(spec, tmp_path, backend)
    rows = results(tmp_path)
    assert len(backend.jobs) == 1
    assert (result.tally.done, result.tally.left) == (3, 0)
    assert [row["system.link.bandwidth"] for row in rows] == [way for way in ways for _ in range(2)]
    assert len({row["point_id"] for row in rows}) == 1
    again = inline()
    run_sweep(spec, tmp_path, again)
    assert not again.jobs


def test_points_that_cannot_be_are_rows(sweep_of, inline, results, tmp_path):
    """Five GPUs cannot share 64 columns: a failed row that says so, and the others are simulated."""
    result = run_sweep(load_sweep(sweep_of({**TP, "values": [2, 5, 4]})), tmp_path, inline())
    rows = results(tmp_path)
    assert [(row["tp"], row["status"]) for row in rows[::2]] == [("2", "ok"), ("5", "failed"), ("4", "ok")]
    assert rows[2]["error_type"] == "InputError"
    assert "cannot share the hidden size 64" in rows[2]["error_message"]
    assert (result.written.failed, result.tally.failed, result.tally.left) == (2, 1, 0)
    assert [row["scheme"] for row in result.written.failures] == ["sequential", "t3"]


def test_failed_points_are_run_again_when_asked(sweep_of, inline, broken, results, tmp_path):
    """A failed point stays failed on resume; with ``retry_failed`` it is run, and its new rows count."""
    spec = load_sweep(sweep_of({**TOKENS, "values": [64, 128]}))
    assert run_sweep(spec, tmp_path, broken).written.failed == 4
    resumed, retried = inline(), inline()
    assert run_sweep(spec, tmp_path, resumed).written.failed == 4
    result = run_sweep(spec, tmp_path, retried, retry_failed=True)
    assert (len(resumed.jobs), len(retried.jobs)) == (0, 2)
    assert (result.written.failed, result.tally.left) == (0, 0)
    assert {row["status"] for row in results(tmp_path)} == {"ok"}


def test_fail_fast_stops_at_the_first_failure(sweep_of, broken, tmp_path):
    """What comes after the failure is left for the next run."""
    result = run_sweep(load_sweep(sweep_of(TOKENS)), tmp_path, broken, fail_fast=True)
    assert (result.tally.done, result.tally.failed, result.tally.left) == (1, 1, 2)


def test_ctrl_c_keeps_what_is_finished(sweep_of, inline, results, tmp_path):
    """After an interrupt the table holds the finished points, and the next run goes on from there."""

    class Interrupted(inline):
        def run(self, jobs):
            yield next(super().run(jobs))
            raise KeyboardInterrupt

    spec, rest = load_sweep(sweep_of(TOKENS)), inline()
    result = run_sweep(spec, tmp_path, Interrupted())
    assert result.interrupted
    assert result.tally.left == 2
    assert len(results(tmp_path)) == 2
    run_sweep(spec, tmp_path, rest)
    assert len(rest.jobs) == 2
    assert len(results(tmp_path)) == 6


def test_shards_share_the_points_and_merge_into_the_same_table(sweep_of, inline, results, tmp_path):
    """Every point is in one shard of three; merged, they are the table of the whole sweep."""
    spec = load_sweep(sweep_of(TOKENS, TP, sublayer=["op", "fc2"]))
    backends = [inline() for _ in range(3)]
    folders = [tmp_path / f"shard{number}" for number in (1, 2, 3)]
    for number, (folder, backend) in enumerate(zip(folders, backends, strict=True), start=1):
        run_sweep(spec, folder, backend, shard=(number, 3))
    run_sweep(spec, tmp_path / "whole", inline())
    assert [len(backend.jobs) for backend in backends] == [4, 4, 4]
    assert merge(spec, folders[:2], tmp_path / "merged").tally.left == 4
    result = merge(spec, folders, tmp_path / "merged")
    assert result.tally.left == 0
    assert results(tmp_path / "merged") == results(tmp_path / "whole")


def test_a_folder_in_use_or_read_only_is_refused_before_anything_runs(sweep_of, inline, tmp_path):
    """The second of two sweeps in one folder gets an error, and so does one without a place to write to."""
    spec, backend = load_sweep(sweep_of(TOKENS)), inline()
    with Journal(tmp_path), pytest.raises(InputError, match="another sweep is writing"):
        run_sweep(spec, tmp_path, backend)
    with pytest.raises(InputError, match="cannot write"):
        run_sweep(spec, tmp_path / JOURNAL, backend)
    assert not backend.jobs


def test_a_result_that_cannot_be_kept_ends_the_sweep(sweep_of, inline, tmp_path, monkeypatch):
    """When the disk is full, the earlier table stays as it was."""
    run_sweep(load_sweep(sweep_of({**TOKENS, "values": [64]})), tmp_path, inline())
    before = (tmp_path / "results.csv").read_bytes()

    def full(*_):
        raise JournalError("no space left on device")

    monkeypatch.setattr(Journal, "_append", full)
    with pytest.raises(JournalError):
        run_sweep(load_sweep(sweep_of(TOKENS)), tmp_path, inline())
    assert (tmp_path / "results.csv").read_bytes() == before


def test_too_many_combinations_are_refused(sweep_of, inline, tmp_path):
    """More than the sweep's own limit is taken for a slip."""
    spec = load_sweep({**sweep_of(TOKENS, TP), "max_points": 5})
    with pytest.raises(InputError, match="max_points"):
        run_sweep(spec, tmp_path, inline())
