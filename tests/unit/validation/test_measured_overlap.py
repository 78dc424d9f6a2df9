"""Measured overlap: the table's format, what it takes from sublayers.yaml, and what is set beside a stack's time."""

from itertools import groupby

import pytest

from t3sim.config import load
from t3sim.errors import InputError
from t3sim.results.comparison import Comparison
from t3sim.simulation import Point, load_system, simulate_point
from t3sim.validation import WithNotes, checks, summary
from t3sim.validation.measured_overlap import FORMAT, MeasuredOverlaps, completed, load_measured_overlaps
from t3sim.validation.overlap import Item, compared, left_out, usable_stacks

HEAD = """\
format: t3sim-measured-overlap
version: 1
source: figures made up
stacks:
  streams: {scheme: stream-overlap, what: two streams}
  future: {scheme: not-written-yet, what: something else}
pairs:
"""
MORE = HEAD.replace(
    "pairs:\n",
    "  engines: {scheme: dma-overlap, what: copy engines}\n"
    "  slow: {scheme: stream-overlap, what: a slow host, settings: {software.scatter_floor: 5 ms}}\n"
    "pairs:\n",
)
SHAPE = "system: t3-paper-published, gpus: 4, M: 1024, N: 1024, K_local: 512, dtype: fp16, source: someone"
SCATTER = f"{SHAPE}, order: gemm-reduce_scatter"
BOTH = "overlapped: [{stack: streams, time_us: 80}, {stack: future, time_us: 70}]"


@pytest.fixture
def compared_speedups():
    """Give a builder of comparisons from pairs of measured and simulated."""

    def build(*pairs, quantity="speedup"):
        names = {"group": "gpu", "band": "fit", "case": "", "quantity": quantity, "source": "someone"}
        return [Comparison(reference=reference, simulated=simulated, **names) for reference, simulated in pairs]

    return build


@pytest.fixture
def table(tmp_path):
    """Give a function that loads a table of pairs."""

    def read(*pairs, head=HEAD):
        path = tmp_path / "table.yaml"
        path.write_text(head + "".join(f"  - {{{pair}}}\n" for pair in pairs), encoding="utf-8")
        return load(MeasuredOverlaps, path, folder=tmp_path, format_name=FORMAT)

    return read


@pytest.fixture
def simulated(table):
    """Give a function that compares the one pair of a table: figures by group and quantity."""

    def run(pair, head=HEAD):
        loaded = table(pair, head=head)
        (found,) = completed(loaded)
        return {(one.group, one.quantity): one for one in compared(Item(found, usable_stacks(loaded.spec, found)))}

    return run


def refusal(table, *pairs):
    with pytest.raises(InputError) as refused:
        completed(table(*pairs))
    return str(refused.value)


def test_a_stack_is_set_beside_its_scheme(simulated):
    """Times are those of the schemes as `run` has them; the measured speedup is 100 us over 80 us."""
    found = simulated(f"{SCATTER}, fit: true, sequential_us: 100, gemm_us: 60, {BOTH}")
    system, streams = "t3-paper-published", "t3-paper-published, streams"
    assert set(found) == {
        (system, "sequential_us"),
        (system, "gemm_us"),
        (streams, "overlapped_us"),
        (streams, "speedup"),
    }
    pair = found[system, "sequential_us"]
    (loaded,) = {one.case for one in found.values()}
    assert loaded == pair.case == "gemm-reduce_scatter 1024 x 1024 x 512 fp16, n=4"
    assert {one.band for one in found.values()} == {"fit"}
    assert found[streams, "speedup"].reference == 1.25


def test_times_are_those_of_run(table, simulated):
    """One after the other and at once, a pair takes what `run` says of the same operations."""
    (pair,) = table(f"{SCATTER}, fit: false, sequential_us: 100, {BOTH}").spec.pairs
    rows = simulate_point(
        Point(system=load_system(pair.system), sublayer=pair.sublayer()), ["sequential", "stream-overlap"]
    )
    found = simulated(f"{SCATTER}, fit: false, sequential_us: 100, {BOTH}")
    streams = "t3-paper-published, streams"
    assert found["t3-paper-published", "sequential_us"].simulated == rows[0]["total_us"]
    assert found[streams, "overlapped_us"].simulated == rows[1]["total_us"]
    assert found[streams, "speedup"].simulated == pytest.approx(rows[1]["speedup"])
    assert {one.band for one in found.values()} == {"held out"}


def test_a_bar_without_times_is_compared_as_a_speedup(simulated):
    """Where a source gives a ratio only, nothing else is compared."""
    found = simulated(f"{SCATTER}, fit: true, overlapped: [{{stack: streams, speedup: 1.1}}]")
    assert [(quantity, one.reference) for (_, quantity), one in found.items()] == [("speedup", 1.1)]


def test_a_time_without_its_sequential_one_has_no_speedup(simulated):
    """Where nobody measured one after the other, only the time at once is compared."""
    found = simulated(f"{SCATTER}, fit: true, {BOTH}")
    assert [quantity for _, quantity in found] == ["overlapped_us"]


def test_independent_kernels_run_at_once(simulated):
    """A GEMM and an all-gather of something else take less than one after the other, and no less than the GEMM."""
    found = simulated(
        f"{SHAPE}, order: independent, gathered: 2 MiB, fit: true, sequential_us: 100, gemm_us: 60, {BOTH}"
    )
    both = found["t3-paper-published, streams", "overlapped_us"].simulated
    gemm = found["t3-paper-published", "gemm_us"].simulated
    assert gemm < both < found["t3-paper-published", "sequential_us"].simulated


def test_what_engines_gather_leaves_the_gemm_its_cus(simulated):
    """Beside copy engines a long GEMM takes what it takes alone; beside a kernel it lacks 16 of 80 CUs."""
    pair = f"{SHAPE}, order: independent, gathered: 64 KiB, fit: true, sequential_us: 100, gemm_us: 60"
    times = "overlapped: [{stack: streams, time_us: 80}, {stack: engines, time_us: 70}]"
    found = simulated(f"{pair}, {times}".replace("M: 1024", "M: 1280").replace("K_local: 512", "K_local: 8192"), MORE)
    gemm = found["t3-paper-published", "gemm_us"].simulated
    names = (f"t3-paper-published, {stack}" for stack in ("streams", "engines"))
    streams, engines = (found[name, "overlapped_us"].simulated for name in names)
    assert engines == pytest.approx(gemm, rel=0.05)
    assert streams > 1.1 * gemm


def test_a_stack_has_its_own_settings(simulated):
    """What the table says of a stack is simulated for it, and for it alone: a host that takes 5 ms."""
    times = "overlapped: [{stack: streams, time_us: 80}, {stack: slow, time_us: 5000}]"
    found = simulated(f"{SCATTER}, fit: true, sequential_us: 100, {times}", MORE)
    assert found["t3-paper-published, slow", "overlapped_us"].simulated == 5000
    assert found["t3-paper-published, streams", "overlapped_us"].simulated < 1000
    assert found["t3-paper-published", "sequential_us"].simulated < 1000


@pytest.mark.parametrize(
    ("order", "nbytes", "first"),
    [
        ("gemm-reduce_scatter", 1024 * 1024 * 2, "gemm"),
        ("gemm-all_reduce", 1024 * 1024 * 2, "gemm"),
        ("all_gather-gemm", 1024 * 512 * 2, "collective"),
    ],
)
def test_what_waits_for_what(table, order, nbytes, first):
    """Scattered and reduced is the GEMM's output, gathered its input; the second operation waits for the first."""
    (pair,) = table(f"{SHAPE}, order: {order}, fit: true, {BOTH}").spec.pairs
    one, other = pair.sublayer().operations
    assert (one.id, other.after) == (first, (first,))
    assert {op.bytes for op in (one, other) if op.id == "collective"} == {nbytes}


def test_stacks_without_a_scheme_are_left_out_with_a_note(table):
    """A scheme that is not registered is counted and named, by system and stack; the rest is compared."""
    bar = "overlapped: [{stack: future, speedup: 1.1}]"
    loaded = table(f"{SCATTER}, fit: true, {BOTH}", f"{SHAPE}, order: all_gather-gemm, fit: true, {bar}")
    assert list(left_out(loaded.spec)) == [
        "overlap: 2 of future on t3-paper-published left out, since there is no scheme not-written-yet"
    ]
    assert [list(usable_stacks(loaded.spec, pair)) for pair in loaded.spec.pairs] == [["streams"], []]


@pytest.mark.parametrize(
    ("order", "scheme", "why"),
    [
        ("independent, gathered: 2 MiB", "t3", "t3 does not run what is independent at once"),
        ("gemm-reduce_scatter", "t3-switch", "t3-switch needs a topology whose switches reduce and multicast"),
    ],
)
def test_schemes_that_cannot_run_a_pair_are_left_out(table, order, scheme, why):
    """Only two streams run what is independent at once, and only a switch that adds up serves T3 in the switch."""
    spec = table(f"{SHAPE}, order: {order}, fit: true, {BOTH}").spec
    stacks = spec.stacks | {"future": spec.stacks["future"].model_copy(update={"scheme": scheme})}
    changed = spec.model_copy(update={"stacks": stacks})
    assert list(left_out(changed)) == [f"overlap: 1 of future on t3-paper-published left out, since {why}"]
    assert usable_stacks(changed, changed.pairs[0]).keys() == {"streams"}


@pytest.mark.parametrize(
    ("pair", "parts"),
    [
        (f"{SCATTER}, fit: true, overlapped: [{{stack: nobodys, time_us: 1}}]", ("nobodys", "do not exist")),
        (f"{SCATTER}, fit: true, overlapped: [{{stack: streams}}]", ("either time_us or speedup",)),
        (f"{SCATTER}, fit: true, overlapped: [{{stack: streams, time_us: 1, speedup: 2}}]", ("either time_us",)),
        (f"{SCATTER}, fit: true, gathered: 1 MiB, {BOTH}", ("of no other",)),
        (f"{SHAPE}, order: independent, fit: true, {BOTH}", ("gathered",)),
        (f"{SCATTER}, fit: true, sequential_us: sublayers, gemm_us: 3, {BOTH}", ("in sublayers",)),
        (f"{SCATTER}, fit: true, sequential_us: sublayers, {BOTH}", ("table.yaml:8", "is not in sublayers.yaml")),
        (f"{SCATTER}, {BOTH}", ("fit", "missing")),
    ],
)
def test_what_a_table_cannot_say(table, pair, parts):
    """Each is refused in a line that says why."""
    text = refusal(table, pair)
    assert not [part for part in parts if part not in text], text


def test_a_pair_stands_once(table):
    """The same pair from the same source twice is refused."""
    assert "stands twice" in refusal(table, f"{SCATTER}, fit: true, {BOTH}", f"{SCATTER}, fit: false, {BOTH}")


def test_no_time_of_sublayers_is_repeated(table):
    """A pair that sublayers.yaml has gives no times of its own, and is told so."""
    pair = (
        "system: a100-80g, gpus: 8, order: gemm-reduce_scatter, M: 5120, N: 8192, K_local: 1024, dtype: fp16, "
        f'fit: true, source: "bytedance/flux#36", sequential_us: 774, {BOTH}'
    )
    assert "is in sublayers.yaml already" in refusal(table, pair)


def test_the_shipped_table_takes_times_from_sublayers():
    """Flux on A100: 774 us of 358 and 416 are in sublayers.yaml, its own 524 here."""
    (pair,) = (pair for pair in completed(load_measured_overlaps()) if pair.system == "a100-80g")
    assert (pair.sequential_us, pair.gemm_us, pair.collective_us) == (774, 358, 416)
    assert [(item.stack, item.time_us) for item in pair.overlapped] == [("flux", 524)]


def test_half_of_the_shipped_pairs_is_held_out():
    """By system and stacks, all-gathers first, then by bytes of the collective, K and N: every second stays out."""
    orders = ["all_gather-gemm", "gemm-reduce_scatter", "gemm-all_reduce", "independent"]

    def place(pair):
        stacks = " ".join(item.stack for item in pair.overlapped)
        rows = pair.M * (pair.K_local if pair.order == "all_gather-gemm" else pair.N)
        return pair.system, stacks, orders.index(pair.order), rows, pair.K_local, pair.N

    pairs = sorted(load_measured_overlaps().spec.pairs, key=place)
    sizes = {}
    for group, members in groupby(pairs, key=lambda pair: place(pair)[:2]):
        flags = [pair.fit for pair in members]
        assert flags == [number % 2 == 0 for number in range(len(flags))], group
        sizes[group] = len(flags)
    assert sizes == {
        ("a100-80g", "flux"): 1,
        ("h100-sxm", "async-tp triton-copy-engine"): 3,
        ("h100-sxm", "async-tp triton-fused"): 6,
        ("h100-sxm", "flux-hopper"): 7,
        ("h100-sxm", "nccl-streams nccl-copy-engine"): 1,
        ("h20", "triton-distributed"): 2,
        ("h800", "flux-hopper triton-distributed"): 11,
        ("l20", "flux"): 2,
        ("rtx4090", "flux"): 2,
    }


def test_local_extents_are_possible():
    """No GEMM that was measured beats its GPU's peak by the K and N that the table reads as one GPU's."""
    for pair in completed(load_measured_overlaps()):
        if pair.sequential_us is not None:
            compute = load_system(pair.system).spec.compute
            peak = compute.cus * compute.clock * compute.matrix_flops_per_cycle[pair.dtype]
            gemm_us = pair.gemm_us or pair.sequential_us
            assert 2 * pair.M * pair.N * pair.K_local / peak * 1e6 < gemm_us, pair.case


def test_gains_and_losses_are_counted(compared_speedups):
    """Of speedups a summary says how many are on the measured side of 1; of other quantities nothing."""
    rows = summary("overlap", compared_speedups((1.2, 1.1), (0.8, 1.1), (0.9, 0.5)))
    assert [(row["quantity"], row["n"], row["same_side"]) for row in rows] == [("speedup", 3, 2)]
    (row,) = summary("overlap", compared_speedups((2.0, 3.0), quantity="overlapped_us"))
    assert row["same_side"] is None


def test_the_check_has_notes():
    """What is left out of the shipped table is said by the check itself."""
    (check,) = checks("overlap").values()
    assert isinstance(check, WithNotes)
    assert check.notes == list(left_out(load_measured_overlaps().spec))
