"""One point of an experiment as rows."""

from dataclasses import replace

import pytest

from t3sim.errors import InputError, StallError
from t3sim.results import COLUMN_NAMES, COLUMNS
from t3sim.simulation import Point, load_system, scheme_names, schemes_of_any_network, simulate_point
from t3sim.simulation.lab import SystemLab

COMMANDS = COLUMN_NAMES[COLUMN_NAMES.index("dram_activates") : COLUMN_NAMES.index("llc_hit_bytes")]
ALL = ("sequential", "t3", "t3-mca", "ideal-overlap", "ideal-overlap-nmc")
UNUSUAL = "error_", "data_", "tuned", "untuned_", "spent_"
"""Beginnings of the names of columns that are empty in a usual run."""


SYSTEM = "t3-paper-published"  # memory in order, so that parts alone and in a row differ by next to nothing


@pytest.fixture(scope="module")
def point(pair):
    """Give a point of eight GPUs and sixteen output tiles."""
    return Point(system=load_system(SYSTEM), sublayer=pair(8, (1024, 256, 512)))


@pytest.fixture(scope="module")
def rows(point):
    """Give the point's rows under all schemes."""
    return {row["scheme"]: row for row in simulate_point(point, ALL)}


def test_schemes_are_in_the_order_of_tables():
    """The baseline comes first, what T3 does next, then the ideals; then extensions of T3, and rivals."""
    assert schemes_of_any_network() == ALL
    extensions = ("t3-switch", "t3-consumer")
    rivals = ("stream-overlap", "dma-overlap", "async-tp", "fused-sw", "fused-switch-sw")
    assert scheme_names() == (*ALL, *extensions, *rivals)


def test_rows_come_in_the_order_asked_for(point):
    """One row per scheme, in the order of the schemes, whatever has to be simulated for comparison."""
    assert [row["scheme"] for row in simulate_point(point, ("t3-mca", "t3"))] == ["t3-mca", "t3"]


def test_a_row_has_all_columns_with_values_of_their_types(rows):
    """Every declared column of a row that is ok has a value of its type.

    Errors, what data mode finds, what was tuned and what was not split are empty, and so are the commands of a
    memory without rows.
    """
    for row in rows.values():
        assert tuple(row) == COLUMN_NAMES
        for column in COLUMNS:
            if column.name in COMMANDS:
                assert row[column.name] is None
            elif not column.name.startswith(UNUSUAL):
                assert isinstance(row[column.name], column.kind), column.name


def test_memory_with_rows_counts_its_commands(point):
    """Bank by bank, which is the default, all of them are numbers, and so is every other column."""
    (row,) = simulate_point(replace(point, system=load_system()), ["t3"])
    for column in COLUMNS:
        if not column.name.startswith(UNUSUAL):
            assert isinstance(row[column.name], column.kind), column.name
    assert row["dram_activates"] > 0


def test_columns_agree_with_each_other(rows):
    """Sums, differences and ratios between columns hold in every row."""
    baseline, ideal = rows["sequential"], rows["ideal-overlap"]
    for row in rows.values():
        parts = [
            name for name in COLUMN_NAMES if name.startswith("dram_") and name.endswith(("read_bytes", "write_bytes"))
        ]
        assert len(parts) == 6
        assert row["dram_total_bytes"] == sum(row[name] for name in parts)
        assert row["exposed_comm_us"] == pytest.approx(row["total_us"] - row["gemm_us"])
        assert row["speedup"] == pytest.approx(baseline["total_us"] / row["total_us"])
        assert row["dram_reduction"] == pytest.approx(1 - row["dram_total_bytes"] / baseline["dram_total_bytes"])
        assert row["pct_of_ideal"] == pytest.approx(100 * (row["speedup"] - 1) / (ideal["speedup"] - 1))
        assert 0 < row["link_util"] <= 1
        # Busy at least for as long as the bytes take at peak: updates, refresh and turnarounds come on top.
        assert row["dram_total_bytes"] / (1e12 * row["total_us"] * 1e-6) < row["dram_util"] <= 1
        assert row["link_bytes"] / (75e9) <= row["total_us"] * 1e-6


def test_sequential_is_the_sum_of_its_parts(rows):
    """Without overlap the total is GEMM, reduce-scatter and all-gather one after the other."""
    row = rows["sequential"]
    assert row["total_us"] == pytest.approx(row["gemm_us"] + row["rs_us"] + row["ag_us"])


def test_ideal_overlap_is_the_longer_of_two_and_the_all_gather(rows):
    """The ideals take max(GEMM, reduce-scatter) + all-gather of parts that have the machine to themselves."""
    for scheme in ("ideal-overlap", "ideal-overlap-nmc"):
        row = rows[scheme]
        assert row["total_us"] == pytest.approx(max(row["gemm_us"], row["rs_us"]) + row["ag_us"])
    # Alone, a kernel finds idle memory: next to nothing, but not nothing, is between this and `sequential`.
    for part in ("gemm_us", "rs_us", "ag_us"):
        assert rows["ideal-overlap"][part] == pytest.approx(rows["sequential"][part], rel=0.01)
    assert rows["ideal-overlap-nmc"]["rs_us"] <= rows["ideal-overlap"]["rs_us"]


def test_identity_of_a_row(point, rows):
    """A row says which operation of which model on which system it is about."""
    row = rows["t3"]
    assert (row["model"], row["phase"], row["sublayer"]) == ("toy", "forward", "op")
    assert (row["M"], row["N"], row["K_local"], row["dtype"]) == (1024, 256, 512, "fp16")
    assert (row["tp"], row["num_gpus"], row["topology"]) == (8, 8, "ring")
    assert (row["system"], row["config_hash"]) == (SYSTEM, point.system.config_hash)


def test_the_same_point_gives_the_same_rows(point, rows):
    """Simulating again gives the same values, the real time aside."""
    for row in simulate_point(point, ALL):
        assert {**row, "wall_s": 0} == {**rows[row["scheme"]], "wall_s": 0}


def test_a_point_is_identified_by_what_can_change_its_result(point, pair):
    """System, operations and the GPUs to simulate change the id; loading the same again does not."""
    same = Point(system=load_system(SYSTEM), sublayer=pair(8, (1024, 256, 512)))
    others = [
        replace(point, gpus="all"),
        replace(point, system=load_system(SYSTEM, ["compute.cus=79"])),
        replace(point, sublayer=pair(8, (1024, 256, 544))),
        replace(point, sublayer=pair(4, (1024, 256, 512))),
    ]
    assert same.point_id == point.point_id
    assert len({point.point_id, *(other.point_id for other in others)}) == 5
    assert len(point.point_id) == 12


def test_a_collective_alone_has_no_gemm_and_no_ideal(sublayer_of, collective_op):
    """Where there is nothing to overlap, GEMM columns are empty or zero and no share of an ideal is shown."""
    sublayer = sublayer_of(4, collective_op("only", "all_gather", 2**20))
    (row,) = simulate_point(Point(system=load_system(), sublayer=sublayer), ["t3"])
    assert (row["M"], row["N"], row["K_local"], row["gemm_us"], row["rs_us"]) == (None, None, None, 0, 0)
    assert (row["speedup"], row["pct_of_ideal"]) == (1, None)
    assert row["status"] == "ok"


def test_an_unknown_dtype_is_refused(pair):
    """A dtype that the system gives no rate for is bad input, named with those it knows."""
    with pytest.raises(InputError, match=r"fp8.*known: fp16"):
        simulate_point(Point(system=load_system(), sublayer=pair(2, (256, 128, 64), dtype="fp8")), ["t3"])


def test_a_scheme_that_stalls_is_a_failed_row(point, monkeypatch):
    """When one scheme's run stalls, its row is failed with the reason, and the others stand."""
    run = SystemLab.run

    def stall(self, phases, scheme):
        if scheme == "t3":
            raise StallError("Gpu[0].Tracker: nobody comes")
        return run(self, phases, scheme)

    monkeypatch.setattr(SystemLab, "run", stall)
    failed, fine = simulate_point(point, ["t3", "t3-mca"])
    assert (failed["status"], failed["error_type"]) == ("failed", "StallError")
    assert failed["error_message"] == "Gpu[0].Tracker: nobody comes"
    assert (failed["total_us"], failed["speedup"]) == (None, None)
    assert (fine["status"], fine["error_message"]) == ("ok", None)


def test_without_a_baseline_nothing_is_compared(point, monkeypatch):
    """When the baseline itself fails, other schemes are still timed, and fail for want of what to compare with."""
    run = SystemLab.run

    def stall(self, phases, scheme):
        if scheme == "sequential":
            raise StallError("stopped")
        return run(self, phases, scheme)

    monkeypatch.setattr(SystemLab, "run", stall)
    (row,) = simulate_point(point, ["t3"])
    assert (row["status"], row["error_type"], row["error_message"]) == ("failed", "StallError", "stopped")
    assert row["total_us"] > 0
    assert (row["speedup"], row["dram_reduction"], row["pct_of_ideal"]) == (None, None, None)


def test_observers_see_every_machine(point, lowered):
    """A lab shows each machine to the observer before it runs, and runs each phase alone only once."""
    from t3sim.registry import get  # noqa: PLC0415

    seen = []
    lab = SystemLab(point.system.spec, 8, "mirror", seen.append)
    works = lowered(point.system.spec, point.sublayer)
    get("scheme", "sequential")().simulate(lab, works)
    assert len(seen) == 1
    get("scheme", "ideal-overlap")().simulate(lab, works)
    assert len(seen) == 1 + 3
    get("scheme", "ideal-overlap")().simulate(lab, works)
    assert len(seen) == 1 + 3


def test_the_fastest_of_both_sides_tell_where_their_time_went(tiny_loaded, pair):
    """Of the schemes that are named; the parts are the time. What is not named, or not the fastest, has none.

    Every piece costs a launch, so that sequential is the fastest software, whose kernels' times are its parts; the
    all-gather goes on in the kernel of the reduce-scatter. T3's GEMM is launched, too, and its all-gather.
    """
    system = tiny_loaded("compute.launch_overhead=20 us", "software.overlap_cus=1")
    named = Point(system=system, sublayer=pair(4, (96, 96, 64)), losses=("sequential", "stream-overlap", "t3"))
    schemes = ("sequential", "stream-overlap", "t3", "t3-mca")
    rows = {row["scheme"]: row for row in simulate_point(named, schemes)}
    spent = [name for name in COLUMN_NAMES if name.startswith("spent_")]
    for name in ("stream-overlap", "t3-mca"):
        assert [rows[name][column] for column in spent] == [None] * 6
    for name in ("sequential", "t3"):
        assert sum(rows[name][column] for column in spent) == pytest.approx(rows[name]["total_us"], rel=1e-12)
        assert rows[name]["spent_launch_us"] >= 40
    kernels = rows["sequential"]
    assert kernels["spent_gemm_us"] == pytest.approx(kernels["gemm_us"] - 20)
    assert kernels["spent_cus_taken_us"] == kernels["spent_dram_contention_us"] == 0
    assert kernels["spent_communication_us"] > 0
    plain = simulate_point(replace(named, losses=()), schemes)
    unsplit = [{**row, "wall_s": 0} | dict.fromkeys(spent) for row in rows.values()]
    assert unsplit == [{**row, "wall_s": 0} for row in plain]


def test_the_run_of_the_median_seed_is_split(tiny_loaded, pair):
    """Where something is random, the parts add up to the time of the run that the row is of."""
    jitter = "conditions={kernel_start_jitter: {distribution: exponential, scale: 2 us}, seeds: 3}"
    point = Point(system=tiny_loaded(jitter), sublayer=pair(2, (64, 64, 64)), losses=("t3",))
    (row,) = simulate_point(point, ["t3"])
    assert row["total_us_min"] < row["total_us"] < row["total_us_p99"]
    assert sum(row[name] for name in COLUMN_NAMES if name.startswith("spent_")) == pytest.approx(row["total_us"])
