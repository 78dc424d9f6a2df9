"""Data mode: what goes wrong between GPUs is found, counted and named; what does not is left as it was."""

import re
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t3sim.collectives.check import check
from t3sim.collectives.plan import Kind, Move, Operation, Plan, part_of
from t3sim.collectives.planning import NetworkFacts, algorithms_for, make_plan
from t3sim.errors import DataError, PlanError
from t3sim.execution.data import DataMode
from t3sim.hardware.clock import call_after
from t3sim.hardware.memory.values import OperationValues, Precision, Values
from t3sim.hardware.plane.plane import plane_of
from t3sim.hardware.ports import NetworkPort
from t3sim.hardware.probe import Probe
from t3sim.lowering.chunks import even_chunks
from t3sim.lowering.work import CollectiveWork, lower
from t3sim.registry import get
from t3sim.schemes.kernels import CollectivePhase
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.schemes.sequential import Sequential
from t3sim.schemes.t3 import T3
from t3sim.simulation import Point, simulate_point
from t3sim.simulation.lab import ALL, SystemLab
from t3sim.simulation.plans import plans_of

GPUS = 4
SHAPE = (128, 32, 25)
TILE_ELEMENTS = 16 * 16
"""Of 16 tiles, four in each part."""
EXACT = DataMode()


@pytest.fixture
def works(tiny_system, pair):
    """Give the work of a GEMM and the all-reduce of its output."""
    system = tiny_system()
    return lower(pair(GPUS, SHAPE), system.gemm, system.compute.collective_slice, plans_of(system, GPUS))


@pytest.fixture
def fused(tiny_system, works):
    """Give a function that runs the GEMM fused with its reduce-scatter, then the all-gather, with data."""
    return lambda: T3().simulate(SystemLab(tiny_system(), GPUS, ALL, data=EXACT), works).data


@pytest.fixture
def kernels(tiny_system, works):
    """Give a function that runs GEMM, reduce-scatter and all-gather as kernels, with data."""
    return lambda: Sequential().simulate(SystemLab(tiny_system(), GPUS, ALL, data=EXACT), works).data


def once(condition):
    """Give a function that says when ``condition`` holds for the first time."""
    done = []

    def first(*arguments):
        if done or not condition(*arguments):
            return False
        done.append(True)
        return True

    return first


def at(rank, part, piece):
    """Give a condition on what an operation does with its memory: this piece, at this GPU."""
    return once(lambda self, *what: (self.values.rank, *what) == (rank, part, range(piece, piece + 1)))


def home_of(part):
    """Give the GPU that owns the sum of a part: homes are numbered from the last part to the first."""
    return GPUS - 1 - part


def named(found, *, gpu, part, piece):
    """Give what is said of a piece."""
    place = f"GPU {gpu}, part {part}, piece {piece}: "
    return next(line.split(place)[1] for line in found.findings if place in line)


def test_a_right_run_has_no_errors(fused, kernels):
    """Fused or not, every element is where it belongs."""
    assert fused().errors == kernels().errors == 0
    assert fused().findings == ()


def test_an_update_that_does_not_reach_memory_is_found(fused, monkeypatch):
    """An update that is counted but not added is missing in the sum, and in what is gathered: at every GPU, once."""
    update, hit = OperationValues.update, at(home_of(2), 2, 1)
    monkeypatch.setattr(
        OperationValues,
        "update",
        lambda self, part, pieces, numbers: None if hit(self, part, pieces) else update(self, part, pieces, numbers),
    )
    found = fused()
    assert "misses the contributions of" in named(found, gpu=1, part=2, piece=1)
    # The sum is wrong at its home, and then everywhere.
    gathered = [line.split("all_gather reduce: ")[1] for line in found.findings if "all_gather" in line]
    copied = [f"GPU {rank}, part 2, piece 0: holds what GPU 1 has there, which is wrong" for rank in (0, 2, 3)]
    assert [line for line in sorted(gathered) if "misses" not in line] == copied
    assert sum(line.startswith("GPU 1, part 2, piece 0: misses") for line in gathered) == 1
    assert found.errors == (1 + GPUS) * TILE_ELEMENTS


@pytest.mark.parametrize("part", range(GPUS))
def test_an_update_that_is_added_twice_is_found(part, fused, monkeypatch):
    """Contributions that are in a sum twice are named."""
    update, hit = OperationValues.update, at(home_of(part), part, 3)

    def twice(self, part, pieces, numbers):
        update(self, part, pieces, numbers)
        if hit(self, part, pieces):
            update(self, part, pieces, numbers)

    monkeypatch.setattr(OperationValues, "update", twice)
    found = fused()
    said = named(found, gpu=home_of(part), part=part, piece=3)
    assert said.startswith("has the contributions of GPU")
    assert said.endswith(" twice")
    assert found.errors == (1 + GPUS) * TILE_ELEMENTS


def test_an_update_to_the_wrong_part_is_found_in_both_places(fused, monkeypatch):
    """Where it should be it is missing, and where it should not be it is too much."""
    update, hit = OperationValues.update, at(1, 0, 1)
    monkeypatch.setattr(
        OperationValues,
        "update",
        lambda self, part, pieces, numbers: update(self, 2 if hit(self, part, pieces) else part, pieces, numbers),
    )
    found = fused()
    # GPU 1 passes its sum of part 0 on, and keeps that of part 2.
    assert "misses" in named(found, gpu=home_of(0), part=0, piece=1)
    assert "to part 0, piece 1 too" in named(found, gpu=1, part=2, piece=1)
    assert found.errors == 2 * (1 + GPUS) * TILE_ELEMENTS


class Tampering(Probe):
    """Changes messages in the data plane as they are delivered."""

    def __init__(self, machine, change):
        self.plane = plane_of(machine.env)
        self.change = change
        machine.observe(self)

    def message_delivered(self, rank, message):
        """Change the row of what is delivered."""
        for field, value in (self.change(rank, message) or {}).items():
            rows = self.plane.rows("messages")
            (row,) = ((rows["serial"] == message.serial) & (rows["references"] > 0)).nonzero()[0]
            rows[field][row] = value


@pytest.fixture
def tampered(tiny_system, works):
    """Give a function that runs GEMM, reduce-scatter and all-gather as a scheme does, with messages changed."""

    def run(change, scheme=Sequential):
        lab = SystemLab(tiny_system(), GPUS, ALL, lambda machine: Tampering(machine, change), data=EXACT)
        return scheme().simulate(lab, works).data

    return run


def test_two_swapped_messages_are_found(tampered):
    """Messages that arrive in each other's place leave each other's numbers there."""
    swapped = []

    def swap(rank, message):
        # The all-gather is the third operation.
        here = (message.operation, rank, message.source) == (2, 2, 1) and message.piece < 2
        if not here or (swapped and swapped[0] != (message.home, message.move)):
            return None
        swapped.append((message.home, message.move))
        return {"piece": 1 - message.piece}

    found = tampered(swap)
    assert len(swapped) == 2
    part = part_of(make_plan(Operation.ALL_GATHER, "ring", NetworkFacts(ranks=GPUS, shape=(GPUS,))), swapped[0][0])
    for piece in (0, 1):
        said = named(found, gpu=2, part=part, piece=piece)
        assert said.startswith(f"holds what belongs to part {part}, piece {1 - piece}, from")


@pytest.fixture
def later(monkeypatch):
    """Give a function that does something a millisecond of simulated time later, when all programs have ended."""
    clocks, made = [], NetworkPort.__init__

    def init(self, network, rank):
        clocks.append(network.env)
        made(self, network, rank)

    monkeypatch.setattr(NetworkPort, "__init__", init)
    return lambda action: call_after(clocks[-1], 10**12, action)


def test_an_update_later_than_its_count_is_found(fused, later, monkeypatch):
    """Where the tracker counts an update before it is in memory, what is sent on does not have it."""
    update, hit = OperationValues.update, at(2, 0, 1)

    def late(self, part, pieces, numbers):
        add = partial(update, self, part, pieces, numbers)
        if hit(self, part, pieces):
            later(add)
        else:
            add()

    monkeypatch.setattr(OperationValues, "update", late)
    found = fused()
    assert "misses the contributions of" in named(found, gpu=home_of(0), part=0, piece=1)


def test_what_is_written_after_its_operation_has_ended_is_late(fused, later, monkeypatch):
    """A piece that comes when nobody waits for it counts as one that never does, though it is there at last."""
    put = OperationValues.put

    def late(self, part, pieces, numbers, slot=None):
        # The chunk of GPU 0 comes to GPU 3 last.
        if (self.number, self.values.rank, part) != (1, 3, 3):
            put(self, part, pieces, numbers, slot)
        elif pieces.start == 0:
            later(partial(put, self, part, pieces, numbers, slot))

    monkeypatch.setattr(OperationValues, "put", late)
    found = fused()
    # What is there is GPU 3's own share of the sum, which it has long sent off.
    for piece in (0, 1):
        assert named(found, gpu=3, part=3, piece=piece).startswith("misses the contributions of GPU")
    assert found.errors == 4 * TILE_ELEMENTS


def test_an_all_gather_that_is_triggered_is_checked_too(tiny_system, works, monkeypatch):
    """Where the all-gather goes on beside the sums, a tile that it loses is found."""
    put = OperationValues.put
    hit = once(lambda self, part, pieces: (self.number, self.values.rank, part, pieces.start) == (1, 3, 3, 2))
    monkeypatch.setattr(
        OperationValues,
        "put",
        lambda self, part, pieces, numbers, slot=None: (
            None if hit(self, part, pieces) else put(self, part, pieces, numbers, slot)
        ),
    )
    lab = SystemLab(tiny_system("track_trigger.gathers=true"), GPUS, ALL, data=EXACT)
    found = T3().simulate(lab, works).data
    assert found.errors == TILE_ELEMENTS
    (said,) = found.findings
    assert said.startswith("all_gather reduce: GPU 3, part 3, piece 2: misses the contributions of GPU")


def test_what_is_changed_after_the_end_is_found(fused, later, monkeypatch):
    """An update that is made once more when all is done is in the memory that is compared at rest."""
    update, hit = OperationValues.update, at(home_of(2), 2, 1)

    def again(self, part, pieces, numbers):
        update(self, part, pieces, numbers)
        if hit(self, part, pieces):
            later(partial(update, self, part, pieces, numbers))

    monkeypatch.setattr(OperationValues, "update", again)
    found = fused()
    assert found.errors == TILE_ELEMENTS
    assert "all_gather reduce: GPU 1, part 2, piece 0" in found.findings[0]


class Hasty(Probe):
    """Lets the first tile of GPU 1 that waits for two contributions fire at its first one."""

    def __init__(self, machine):
        self.tile = None
        machine.observe(self)

    def update_counted(self, rank, tile, updates, expected, fire):
        """Fire now, and not when all is there."""
        if self.tile is None and rank == 1 and expected == 2 * updates:
            self.tile = tile
            fire()
        return _nothing if (rank, tile) == (1, self.tile) else fire


def _nothing():
    """Do nothing."""


def test_a_trigger_that_is_one_update_early_is_found(tiny_system, works):
    """A tile that is sent on when its sum lacks an update lacks it at its home."""
    hasty = []
    lab = SystemLab(tiny_system(), GPUS, ALL, lambda machine: hasty.append(Hasty(machine)), data=EXACT)
    found = str(T3().simulate(lab, works).data)
    assert hasty[0].tile is not None
    assert "misses the contributions of" in found or "read before anything was there" in found


def test_a_sum_of_the_wrong_chunk_is_found(kernels, monkeypatch):
    """A copy that is read from another part brings that one's contributions."""
    read, hit = OperationValues.read, once(lambda self, part, slot: (self.values.rank, part, slot) == (3, 0, 0))
    monkeypatch.setattr(
        OperationValues,
        "read",
        lambda self, part, pieces, slot=None: read(self, 2 if hit(self, part, slot) else part, pieces, slot),
    )
    said = named(kernels(), gpu=home_of(0), part=0, piece=0)
    assert said == "has only those of GPU 3, and the contributions of GPU 2 to part 2, piece 0"


STALLED = r"(?s)GPU \d, part \d, piece \d: .*and the run failed: nothing can happen"


@pytest.mark.parametrize("scheme", [Sequential, T3])
def test_a_message_that_is_lost_is_found(scheme, tampered):
    """Of a message that brings no piece nothing is written, and the run stalls: what memory lacks is said as well."""
    hit = once(lambda rank, message: (rank, message.piece) == (2, 1))
    with pytest.raises(DataError, match=STALLED):
        tampered(lambda rank, message: {"pieces": 10**9} if hit(rank, message) else None, scheme)


@pytest.mark.parametrize("scheme", [Sequential, T3])
def test_a_message_to_the_wrong_gpu_is_found(scheme, tampered):
    """What GPU 2 should get and GPU 1 gets instead is missing where it belongs: that is said, and the run fails."""
    hit = once(lambda rank, message: (rank, message.piece) == (2, 1))
    with pytest.raises(DataError, match=r"(?s)GPU \d, part \d, piece \d: .*and the run failed: "):
        # The first move that the network was told of is one from GPU 0 to GPU 1.
        tampered(lambda rank, message: {"template": 0} if hit(rank, message) else None, scheme)


def test_reading_memory_before_anything_is_there_is_an_error(fused, monkeypatch):
    """Where a chunk is not there yet when it is to be sent on, that is said first."""
    put = OperationValues.put
    hit = once(lambda self, part, pieces: (self.number, self.values.rank, part, pieces.start) == (1, 1, 3, 0))
    monkeypatch.setattr(
        OperationValues,
        "put",
        lambda self, part, pieces, numbers, slot=None: (
            None if hit(self, part, pieces) else put(self, part, pieces, numbers, slot)
        ),
    )
    found = fused()
    assert found.findings[0].endswith("GPU 1, part 3, piece 0: read before anything was there")
    assert named(found, gpu=2, part=3, piece=0) == "has no contribution of any GPU"
    assert found.errors > 0


def test_a_sum_beside_is_what_is_sent_on(tiny_system, collective_op):
    """Where a GPU sends its contribution and the sum that it makes of it in different lanes, each is what it is."""
    reduce, copy, local = Kind.REDUCE, Kind.COPY, Kind.LOCAL
    plan = Plan(
        operation=Operation.ALL_REDUCE,
        algorithm="by hand",
        ranks=3,
        shape=(3,),
        parts=1,
        symmetric=False,
        moves=(
            Move(chunk=0, source=1, destinations=(0,), kind=reduce),
            Move(chunk=0, source=2, destinations=(0,), kind=reduce),
            Move(chunk=0, source=0, destinations=(1,), kind=reduce, lane=1),
            Move(chunk=0, source=2, destinations=(1,), kind=reduce, lane=1),
            Move(chunk=0, source=0, destinations=(0,), kind=local, after=(0, 1)),
            Move(chunk=0, source=1, destinations=(1,), kind=local, after=(2, 3), lane=1),
            Move(chunk=0, source=0, destinations=(2,), kind=copy, after=(4,), lane=2),
        ),
    )
    check(plan)
    op = collective_op("c", "all_reduce", 20_000)
    work = CollectiveWork(op=op, plan=plan, chunks=even_chunks(20_000, 1, 512))
    data = SystemLab(tiny_system(), 3, ALL, data=EXACT).run([CollectivePhase(work)], "default").data
    assert data.errors == 0, str(data)


@pytest.mark.parametrize("scheme", ["sequential", "t3"])
@pytest.mark.parametrize(
    "operations",
    [
        ("gemm:g", "all_reduce:r<g", "gemm:h<r", "all_reduce:s<h"),
        ("gemm:g", "reduce_scatter:r<g", "all_gather:a<r"),
        ("gemm:g", "all_gather:a<g"),
        ("gemm:g", "all_reduce:r<g", "all_reduce:s<g"),
        ("all_gather:a", "gemm:g<a", "reduce_scatter:r<g"),
        ("all_reduce:r", "all_reduce:s<r"),
    ],
    ids=" ".join,
)
def test_what_an_operation_leaves_is_what_the_next_one_finds(
    operations, scheme, tiny_system, gemm_op, collective_op, sublayer_of
):
    """Sums are gathered, summed again or left alone, in buffers of their own where GEMMs write anew."""
    made = []
    for text in operations:
        kind, name, after = re.fullmatch(r"(\w+):(\w)<?(\w?)", text).groups()
        one = gemm_op(name, SHAPE, *after) if kind == "gemm" else collective_op(name, kind, 128 * 32 * 2, *after)
        made.append(one)
    system, sublayer = tiny_system(), sublayer_of(GPUS, *made)
    works = lower(sublayer, system.gemm, system.compute.collective_slice, plans_of(system, GPUS))
    data = get(SCHEME, scheme)().simulate(SystemLab(system, GPUS, ALL, data=EXACT), works).data
    assert data.errors == 0, str(data)


@pytest.mark.parametrize("scheme", ["sequential", "t3", "t3-mca", "ideal-overlap-nmc"])
@pytest.mark.parametrize("change", ["link.latency=20 ns", "topology={kind: switch}", "track_trigger.near_memory=false"])
def test_times_and_traffic_are_the_same_with_and_without_data(scheme, change, tiny_system, pair):
    """Numbers in memory change no finish time by a femtosecond, and nothing else that is measured."""
    system, sublayer = tiny_system(change), pair(GPUS, (100, 50, 25))
    works = lower(sublayer, system.gemm, system.compute.collective_slice, plans_of(system, GPUS))
    with_data, without = (
        get(SCHEME, scheme)().simulate(SystemLab(system, GPUS, ALL, data=data), works)
        for data in (DataMode(precision=Precision.BF16), None)
    )
    assert replace(with_data, data=None) == without
    assert with_data.gpus == without.gpus


def test_without_data_there_are_no_numbers_anywhere(tiny_system, works, monkeypatch):
    """With data mode off, no GPU has values, none are made, and no message carries any."""
    machines, carried = [], []

    class Carried(Probe):
        def message_delivered(self, rank, message):
            del rank
            carried.append(message.value)

    def watched(machine):
        machines.append(machine)
        machine.observe(Carried())

    monkeypatch.setattr(Values, "__init__", None)
    T3().simulate(SystemLab(tiny_system(), GPUS, ALL, watched), works)
    assert [gpu.ports.values for gpu in machines[0].gpus] == [None] * GPUS
    assert set(carried) == {None}


def test_a_wrong_result_is_a_failed_row_with_its_errors(tiny_loaded, pair, monkeypatch):
    """What was measured stands in the row, with the number of wrong elements and what is wrong."""
    update, hit = OperationValues.update, at(home_of(2), 2, 1)
    monkeypatch.setattr(
        OperationValues,
        "update",
        lambda self, part, pieces, numbers: None if hit(self, part, pieces) else update(self, part, pieces, numbers),
    )
    point = Point(system=tiny_loaded(), sublayer=pair(GPUS, SHAPE), data=EXACT)
    right, wrong = simulate_point(point, ["sequential", "t3"])
    assert (right["status"], right["data_errors"], right["data_spread"]) == ("ok", 0, None)
    assert (wrong["status"], wrong["error_type"]) == ("failed", "DataError")
    assert wrong["data_errors"] == (1 + GPUS) * TILE_ELEMENTS
    assert "GPU 1, part 2, piece 1: misses the contributions of GPU" in wrong["error_message"]
    assert wrong["total_us"] > 0


def test_points_with_data_simulate_all_gpus(tiny_loaded, pair):
    """A point with data is another one than the mirrored point, and the same as that of all GPUs."""
    mirrored, everyone, data = (
        Point(system=tiny_loaded(), sublayer=pair(GPUS, SHAPE), **fields)
        for fields in ({}, {"gpus": ALL}, {"data": EXACT})
    )
    assert data.point_id == everyone.point_id != mirrored.point_id


def test_rounding_is_shown_where_it_is_asked_for(tiny_system, works):
    """Sums of four numbers of 1 to 2 are off by no more than three roundings of sums below 8, and by some."""
    for precision, bits in ((Precision.FP32, 24), (Precision.FP16, 11), (Precision.BF16, 8)):
        lab = SystemLab(tiny_system(), GPUS, ALL, data=DataMode(precision=precision))
        for scheme in (Sequential(), T3()):
            data = scheme.simulate(lab, works).data
            assert data.errors == 0
            assert 0 < data.spread <= 3 * 2.0**-bits


@settings(max_examples=40)
@given(
    gpus=st.integers(2, 6),
    operation=st.sampled_from(list(Operation)),
    pick=st.integers(0, 99),
    nbytes=st.integers(1, 20_000),
    slice_bytes=st.sampled_from([64, 100, 1024]),
    topology=st.sampled_from(["ring", "fully-connected", "switch"]),
)
def test_any_shape_puts_the_right_numbers_everywhere(
    gpus, operation, pick, nbytes, slice_bytes, topology, tiny_system, collective_op
):
    """Uneven parts, numbers of GPUs that are no power of two, fewer bytes than GPUs: every element is right."""
    system = tiny_system(f"topology={{kind: {topology}}}", f"compute.collective_slice={slice_bytes} B")
    able = []
    for algorithm in algorithms_for(operation):
        with suppress(PlanError):
            able.append(make_plan(operation, algorithm, NetworkFacts(ranks=gpus, shape=(gpus,))))
    plan = able[pick % len(able)]
    op = collective_op("c", "all_reduce", nbytes, dtype="fp8")
    work = CollectiveWork(op=op, plan=plan, chunks=even_chunks(nbytes, plan.parts, slice_bytes))
    data = SystemLab(system, gpus, ALL, data=EXACT).run([CollectivePhase(work)], "default").data
    assert data.errors == 0, str(data)


@settings(max_examples=25)
@given(
    gpus=st.integers(2, 5),
    rows=st.integers(16, 150),
    columns=st.integers(50, 120),
    tiles=st.integers(1, 4),
    near_memory=st.booleans(),
    staggered=st.booleans(),
)
def test_any_fused_shape_puts_the_right_numbers_everywhere(
    gpus, rows, columns, tiles, near_memory, staggered, tiny_system, pair
):
    """Ragged tiles, several of them a command, with and without near-memory compute or staggering."""
    system = tiny_system(
        f"track_trigger={{near_memory: {near_memory}, staggered: {staggered}, tiles_per_command: {tiles}}}"
    )
    sublayer = pair(gpus, (max(rows, 16 * gpus), columns, 16))
    works = lower(sublayer, system.gemm, system.compute.collective_slice, plans_of(system, gpus))
    data = T3().simulate(SystemLab(system, gpus, ALL, data=EXACT), works).data
    assert data.errors == 0, str(data)
