"""Conditions from the command line: what is said of them, refused, and left hanging."""

import csv
import io

import pytest

SLOW = "conditions.links.Link[0->1].rate=0.5"
RUN = ("--sublayer", "op", "--scheme", "sequential,t3", "--format", "csv")


def test_a_dead_link_is_a_failed_run_and_no_hang(t3sim, trace):
    """The exit code is 1, and the message says which transfers wait for the link, in every row that has failed."""
    found = t3sim("run", trace, *RUN, "--set", "conditions.links.Link[0->1].down=[{from: 0 us}]")
    assert found.code == 1
    assert "Link[0->1]: " in found.err
    assert "packets queued, down for good; first: operation 0, piece 0 of" in found.err
    rows = list(csv.DictReader(io.StringIO(found.out)))
    assert [(row["status"], row["error_type"]) for row in rows] == [("failed", "StallError")] * 2


def test_it_is_said_why_all_gpus_are_simulated(t3sim, trace):
    """A note names the condition that others do not share; what all share needs no note."""
    found = t3sim("run", trace, *RUN, "--set", SLOW)
    assert found.code == 0
    assert "all 2 GPUs are simulated, since the others do not share the condition of Link[0->1]" in found.err
    assert "GPUs are simulated" not in t3sim("run", trace, *RUN, "--set", "conditions.gpus.all.speed=0.5").err


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("conditions.gpus.2.speed=0.5", "conditions.gpus.2: no such GPU among 2 GPUs (known: all, 0, 1)"),
        (
            "conditions.links.Link[0->2].rate=0.5",
            "conditions.links.Link[0->2]: no such link among 2 GPUs (did you mean Link[0->1]?; known: ",
        ),
        ("conditions.gpus.0.speed=0", "conditions.gpus.0.speed: must be greater than or equal to 0.001, got 0"),
        ("conditions.gpus.0.sped=2", "conditions.gpus.0.sped: unknown key (did you mean speed?; known: speed, "),
        ("conditions.gpus.0.lost_channels=32", "conditions.gpus.0.lost_channels: none of 32 channels is left, got 32"),
    ],
)
def test_conditions_of_nothing_are_refused(t3sim, trace, override, complaint):
    """One line says which key is wrong and what there is; nothing is simulated."""
    found = t3sim("run", trace, *RUN, "--set", override)
    assert (found.code, found.out) == (2, "")
    assert f"error: --set: {complaint}" in found.err


def test_conditions_of_nothing_are_refused_at_their_lines(t3sim, trace, tmp_path):
    """In a file, every one is named with file and line."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "format: t3sim-system\nversion: 1\nextends: t3-paper\nname: mine\nconditions:\n  gpus:\n    0: {speed: 0.9}\n"
        "    7: {speed: 0.9}\n  links:\n    Link[5->1]:\n      rate: 0.5\n",
        encoding="utf-8",
    )
    found = t3sim("run", trace, *RUN, "--system", path)
    assert found.code == 2
    assert f"{path}:8: conditions.gpus.7: no such GPU among 2 GPUs" in found.err
    assert f"{path}:10: conditions.links.Link[5->1]: no such link among 2 GPUs" in found.err


def test_seeds_are_columns(t3sim, trace):
    """The row has the first seed, how many were run, and the spread of their times."""
    jitter = "conditions.kernel_start_jitter={distribution: normal, scale: 2 us}"
    settings = ("--set", jitter, "--set", "conditions.seed=3", "--set", "conditions.seeds=4")
    rows = list(csv.DictReader(io.StringIO(t3sim("run", trace, *RUN, *settings).out)))
    assert len(rows) == 2
    for row in rows:
        assert (row["seed"], row["seeds"], row["total_us"]) == ("3", "4", row["total_us_p50"])
        assert float(row["total_us_min"]) < float(row["total_us"]) < float(row["total_us_p99"])


def test_the_time_of_a_troubled_run_is_explained_in_full(document, trace):
    """Loss buckets add up to the run under any conditions; a late start counts as launch."""
    settings = ("--set", "conditions.gpus.all.start=5 us", "--set", SLOW, "--set", "conditions.links.all.loss=0.1")
    for row in document("explain", trace, "--sublayer", "op", "--no-what-if", *settings)["rows"]:
        assert sum(length for name, length in row.items() if is_bucket(name)) == row["total_fs"]
        if row["scheme"] in ("sequential", "t3"):
            assert row["launch_fs"] == 5 * 10**9


def is_bucket(name):
    return name.endswith("_fs") and name != "total_fs" and not name.startswith("bound_by_")
