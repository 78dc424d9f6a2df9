"""Programs part by part: exactly what the whole program does, and no part taken for another."""

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t3sim.data import traces_dir
from t3sim.execution.data import DataMode
from t3sim.hardware.machine import Machine
from t3sim.hardware.memory.access import Access, Cause, Direction, Stream
from t3sim.hardware.plane.state import BEFORE_ALL
from t3sim.hardware.standing import BusStanding, LaneStanding, LinkStanding, Standing
from t3sim.registry import get
from t3sim.schemes.fused import FusedPhase, NearMemoryPhase
from t3sim.schemes.kernels import CollectivePhase, GemmPhase
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.simulation import lab as lab_module
from t3sim.simulation import scheme_names
from t3sim.simulation.lab import SystemLab
from t3sim.simulation.part_store import REMEMBERED, PartStore
from t3sim.simulation.parts import Parts
from t3sim.simulation.plans import facts_of, wiring_of
from t3sim.simulation.run import load_points

SWITCH = "switch: {multicasts: true, reduces: true, adder_rate: 1 TB/s, entries: 64}"
TOPOLOGIES = {
    "ring": "kind: ring",
    "switch": f"kind: switch, {SWITCH}",
    "fully-connected": "kind: fully-connected",
    "torus": "kind: torus, shape: [2, 2]",
}
GPUS = 4
# Whole tile columns in every chunk, so that one GPU is all of them.
SHAPE = (64, 128, 40)


def looked_at(_machine):
    """Do nothing with a machine: that someone may is enough."""


def whole(system, gpus=GPUS, simulated="mirror"):
    """Give a lab in which someone looks on, so that every program is run as a whole."""
    return SystemLab(system, gpus, simulated, observe=looked_at)


def orders(outcome):
    """Give the orders in which counters were first needed, which decide on the order of columns."""
    counted = (outcome.served_bytes, outcome.operation_fs, outcome.cu_busy_fs, outcome.links, outcome.dram_commands)
    return [list(each) for each in counted]


def check_schemes(system, works, gpus=GPUS, simulated="mirror", schemes=None):
    """Check all schemes that the network can run, one after the other on what is remembered of those before."""
    facts = facts_of(system, gpus)
    for name in schemes or scheme_names():
        scheme = get(SCHEME, name)()
        if scheme.misfit(facts):
            continue
        found = scheme.simulate(SystemLab(system, gpus, simulated), works)
        expected = scheme.simulate(whole(system, gpus, simulated), works)
        assert found == expected, name
        assert orders(found) == orders(expected), name


@pytest.fixture
def machines(monkeypatch):
    """Give the list of all machines that labs and parts build."""
    built = []

    def build(*args, **named):
        built.append(Machine(*args, **named))
        return built[-1]

    monkeypatch.setattr(lab_module, "Machine", build)
    monkeypatch.setattr("t3sim.simulation.parts.Machine", build)
    return built


@pytest.mark.parametrize("trace", sorted(path.stem for path in traces_dir().glob("*.yaml")))
def test_parts_are_the_whole_for_every_shipped_trace(trace):
    """Times, spans, bytes by cause, busy times and links of all schemes are those of programs that are run whole."""
    # Coarse, so that it takes seconds: the programs and how they follow one another are the same.
    tile = 1024 if "10t" in trace else 512
    slice_bytes = "compute.collective_slice=16 MiB"
    coarse = (
        f"gemm.tile_m={tile}",
        f"gemm.tile_n={tile}",
        "gemm.slab_k=192",
        slice_bytes,
        "link.receive_buffer=64 MiB",
    )
    points, schemes = load_points(trace, "t3-paper-published", (), (), coarse, "one")
    check_schemes(points[0].system.spec, points[0].works, points[0].sublayer.tp, "one", schemes)


def test_parts_are_the_whole_at_full_grain():
    """The same of a shipped sublayer as it is."""
    (point,), schemes = load_points("mega-gpt-2-tp16", "t3-paper-published", ("op",), (), (), "mirror")
    check_schemes(point.system.spec, point.works, point.sublayer.tp, schemes=schemes)


@settings(max_examples=25)
@given(
    topology=st.sampled_from(sorted(TOPOLOGIES)),
    rows=st.integers(2, 4),
    columns=st.integers(1, 2),
    depth=st.integers(8, 40),
    launch=st.sampled_from([0, 5, 300, 4000]),
    turnaround=st.sampled_from([0, 11, 900]),
    switch=st.sampled_from([0, 3, 1200]),
    latency=st.sampled_from([1, 20, 100]),
    buffer=st.sampled_from([16, 64]),
    gathers=st.booleans(),
    tracker=st.sampled_from([8, 24, 64]),
)
def test_parts_are_the_whole_for_any_sublayer(
    tiny_system,
    pair,
    lowered,
    topology,
    rows,
    columns,
    depth,
    launch,
    turnaround,
    switch,
    latency,
    buffer,
    gathers,
    tracker,
):
    """Any small GEMM and its all-reduce, on any network, with the machine in any of the ways that phases leave it."""
    system = tiny_system(
        f"topology={{{TOPOLOGIES[topology]}}}",
        f"compute.launch_overhead={launch} ns",
        f"memory.turnaround={turnaround} ns",
        f"memory.stream_switch={switch} ns",
        f"link.latency={latency} ns",
        f"link.receive_buffer={buffer} KiB",
        f"track_trigger.gathers={str(gathers).lower()}",
        f"tracker.entries={tracker}",
        "tracker.ways=2",
    )
    check_schemes(system, lowered(system, pair(GPUS, (16 * rows, 64 * columns, depth))), simulated="one")


def test_gemms_and_collectives_in_any_order(tiny_system, gemm_op, collective_op, sublayer_of, lowered):
    """Several pairs, and collectives before a GEMM: a phase finds the machine as any other one leaves it."""
    system = tiny_system("tracker.entries=24", "tracker.ways=2", "memory.turnaround=40 ns")
    nbytes = SHAPE[0] * SHAPE[1] * 2
    operations = (
        collective_op("ag", "all_gather", nbytes),
        gemm_op("g1", SHAPE, "ag"),
        collective_op("r1", "all_reduce", nbytes, "g1"),
        gemm_op("g2", (64, 256, 24), "r1"),
        collective_op("r2", "reduce_scatter", 64 * 256 * 2, "g2"),
        collective_op("a2a", "all_to_all", nbytes, "r2"),
    )
    check_schemes(system, lowered(system, sublayer_of(GPUS, *operations)))


@pytest.mark.parametrize("scheme", ["sequential", "t3-mca"])
def test_banked_memory_is_run_as_a_whole(scheme, tiny_system, hbm2_banks, pair, lowered, machines):
    """Rows are open, and refreshes come at fixed times: one part, simulated once."""
    system = tiny_system().model_copy(update={"memory": hbm2_banks(channels=4)})
    works = lowered(system, pair(GPUS, SHAPE))
    check_schemes(system, works, schemes=[scheme])
    assert len(machines) == 2
    check_schemes(system, works, schemes=[scheme])
    assert len(machines) == 3, "and the one in which someone looks on"


def test_equal_parts_are_simulated_once(tiny_system, pair, lowered, machines):
    """Five schemes of a pair: a GEMM, a reduce-scatter and an all-gather after another phase and alone, and the rest.

    Sequential's GEMM is the ideals', and T3's all-gather that of T3-MCA. Under other names nothing is simulated.
    """
    system = tiny_system("link.receive_buffer=64 KiB")
    sublayer = pair(GPUS, SHAPE)
    schemes = [get(SCHEME, name)() for name in ("sequential", "t3", "t3-mca", "ideal-overlap", "ideal-overlap-nmc")]
    for scheme in schemes:
        scheme.simulate(SystemLab(system, GPUS), lowered(system, sublayer))
    alone, after, fused, near_memory = 3, 2, 2, 1
    assert len(machines) == alone + after + fused + near_memory
    renamed = [
        op.model_copy(update={"id": f"x{op.id}", "sublayer": "fc1", "phase": "backward"}) for op in sublayer.operations
    ]
    renamed[1] = renamed[1].model_copy(update={"after": ("xgemm",)})
    for scheme in schemes:
        scheme.simulate(SystemLab(system, GPUS), lowered(system, replace(sublayer, operations=tuple(renamed))))
    assert len(machines) == alone + after + fused + near_memory


@pytest.mark.parametrize(
    "lab",
    [
        lambda system: SystemLab(system, GPUS, "all"),
        lambda system: SystemLab(system, GPUS, observe=looked_at),
        lambda system: SystemLab(system, GPUS, data=DataMode()),
    ],
    ids=["all GPUs", "observed", "with numbers"],
)
def test_what_is_looked_at_is_simulated(lab, tiny_system, pair, lowered):
    """Nothing is remembered of several GPUs, of runs that someone watches, and of numbers in memory."""
    system = tiny_system()
    get(SCHEME, "t3")().simulate(lab(system), lowered(system, pair(GPUS, SHAPE)))
    assert not len(REMEMBERED)


def test_conditions_are_simulated(tiny_system, pair, lowered):
    """What is wrong with GPUs or links may hang on time and chance."""
    system = tiny_system("conditions={gpus: {all: {speed: 0.5}}}")
    get(SCHEME, "t3")().simulate(SystemLab(system, GPUS), lowered(system, pair(GPUS, SHAPE)))
    assert not len(REMEMBERED)


class Keys(PartStore):
    """A store that forgets, and notes what it is asked for."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def get(self, key):
        """Note the key."""
        self.asked.append(key)


@pytest.fixture(scope="module")
def part_of(tiny_system, pair, lowered):
    """Give a function that runs one kind of phase on a machine that stands in some way."""

    def run(kind, standing, *overrides, topology="ring", tracked=0, raw=False):
        fixed = ("memory.turnaround=100 ns", "memory.stream_switch=30 ns", f"topology={{{TOPOLOGIES[topology]}}}")
        system = tiny_system(*fixed, *overrides)
        gemm, scatter, gather = lowered(system, pair(GPUS, SHAPE))
        phase = {
            "gemm": GemmPhase(gemm),
            "scatter": CollectivePhase(scatter),
            "gather": CollectivePhase(gather, launched=False),
            "fused": FusedPhase(scatter),
            "near-memory": NearMemoryPhase(scatter),
        }[kind]
        store = Keys()
        parts = Parts(system, wiring_of(system, GPUS), system.policy("t3-mca"), store)
        if raw:
            return parts._simulated([phase], standing, tracked), None
        return parts._part([phase], standing, tracked, forwards=parts._forwards(scatter)), store.asked[0]

    return run


LINK = LinkStanding(False, 0, (LaneStanding(0, -1, ()),))
FLIGHT = ((9_000_000, 4000), (20_000_000, 2500))


def linked(link, **changes):
    """Give a standing with one link like ``link``, but for some fields of its lane."""
    return Standing(links=(("Link[0->1]", replace(link, lanes=(replace(link.lanes[0], **changes),))),))


@pytest.mark.parametrize(
    ("kind", "one", "other", "named"),
    [
        ("scatter", BusStanding(3, 100_000_000), BusStanding(0, 100_000_000), {}),
        ("scatter", BusStanding(3, 100_000_000), BusStanding(3, 60_000_000), {}),
        ("scatter", BusStanding(3, 100_000_000), BusStanding(), {}),
        ("gemm", BusStanding(1, 100_000_000), BusStanding(3, 100_000_000), {}),
        ("gemm", BusStanding(turns=(0, 3)), BusStanding(turns=(0, 2)), {}),
        ("gemm", BusStanding(turns=(0, 3)), BusStanding(turns=(1, 3)), {}),
        ("fused", BusStanding(turns=(0, 3)), BusStanding(), {}),
    ],
)
def test_another_bus_is_another_part(kind, one, other, named, part_of):
    """The DRAM's last access, how long ago it was, and whose turn it is are in the key."""
    assert part_of(kind, Standing(one), **named)[1] != part_of(kind, Standing(other), **named)[1]


@pytest.mark.parametrize(
    "other",
    [
        linked(LINK, returning=(FLIGHT[0], (20_000_000, 2400))),
        linked(LINK, returning=(FLIGHT[0], (19_000_000, 2500))),
        linked(LINK, returning=(FLIGHT[0], FLIGHT[0], FLIGHT[1])),
        linked(LINK, returning=FLIGHT, number=1),
        Standing(links=(("Link[0->2]", linked(LINK, returning=FLIGHT).links[0][1]),)),
    ],
)
def test_other_credits_are_another_part(other, part_of):
    """Where credits may be waited for, all of them are in the key."""
    one = linked(LINK, returning=FLIGHT)
    on = {"topology": "fully-connected"}
    assert part_of("scatter", one, **on)[1] != part_of("scatter", other, **on)[1]


@pytest.mark.parametrize(
    "other", [replace(LINK, shared=True), replace(LINK, last_channel=1), replace(LINK, lanes=(LaneStanding(0, 2, ()),))]
)
def test_turns_at_links_are_in_the_key_where_others_pass(other, part_of):
    """At a switch what came last decides who goes next; around a ring nobody else comes."""
    name = "Link[0->Switch[0]]"
    for topology, differ in (("switch", True), ("ring", False)):
        keys = [part_of("scatter", Standing(links=((name, link),)), topology=topology)[1] for link in (LINK, other)]
        assert (keys[0] != keys[1]) is differ


def test_sets_of_the_tracker_are_in_the_key_where_it_counts(part_of):
    """Tiles fall into other sets behind other operations; a whole turn of the sets is none, nor is it to a kernel."""
    few = ("tracker.entries=8", "tracker.ways=2")
    for kind, differ in (("fused", True), ("near-memory", True), ("gather", False), ("gemm", False)):
        keys = [part_of(kind, Standing(), *few, tracked=tracked)[1] for tracked in (0, 1, 4)]
        assert (keys[0] != keys[1]) is differ
        assert keys[0] == keys[2]


@pytest.mark.parametrize(
    "change", ["llc.hit_latency=11 ns", "link.latency=21 ns", "memory.update_cost=3", "dma.outstanding=3"]
)
def test_another_machine_is_another_part(change, part_of):
    """Every value of the hardware is in the key."""
    assert part_of("fused", Standing())[1] != part_of("fused", Standing(), change)[1]


def on_their_way(standing):
    """Give the credits that are not home, by link and channel."""
    lanes = ((name, lane) for name, link in standing.links for lane in link.lanes)
    return {(name, lane.number): lane.returning for name, lane in lanes if lane.returning}


@settings(max_examples=60)
@given(
    kind=st.sampled_from(["gemm", "scatter", "gather", "fused", "near-memory"]),
    topology=st.sampled_from(["ring", "switch", "fully-connected"]),
    lane=st.integers(0, 3),
    turning=st.integers(0, 100) | st.just(100),
    turns=st.sampled_from([(), (0, 0), (0, 9), (1, 5)]),
    credits_=st.lists(st.tuples(st.integers(1, 20), st.integers(1, 2500)), max_size=3),
    buffer=st.sampled_from(["8 KiB", "12 KiB", "64 KiB"]),
    launch=st.sampled_from([0, 5, 15, 70, 5000]),
    turned=st.booleans(),
    far=st.booleans(),
)
def test_what_is_left_out_is_not_felt(
    part_of, kind, topology, lane, turning, turns, credits_, buffer, launch, turned, far
):
    """However the machine stands, a part is what it is on a machine of which all of that is told."""
    name = "Link[0->Switch[0]]" if topology == "switch" else "Link[0->1]"
    # Far away, credits are on their way for longer than a part may take.
    returning = tuple(sorted((at * 10**6 * (1000 if far else 1), nbytes) for at, nbytes in credits_))
    flow = -1 if turned else BEFORE_ALL
    link = LinkStanding(shared=False, last_channel=0 if turned else -1, lanes=(LaneStanding(0, flow, returning),))
    bus = BusStanding(lane, turning * 10**6, turns) if turning else BusStanding(turns=turns)
    standing = Standing(bus, ((name, link),))
    overrides = [f"link.receive_buffer={buffer}", f"compute.launch_overhead={launch} ns"]
    if far:
        overrides += ["link.latency=20 us", "link.receive_buffer=4 MiB"]
    found, _ = part_of(kind, standing, *overrides, topology=topology)
    expected, _ = part_of(kind, standing, *overrides, topology=topology, raw=True)
    assert replace(found, leaves=None) == replace(expected, leaves=None)
    assert (found.leaves is None) == (expected.leaves is None)
    if found.leaves is not None:
        assert found.leaves.bus == expected.leaves.bus
        assert on_their_way(found.leaves) == on_their_way(expected.leaves)


@dataclass(frozen=True)
class Hasty:
    """Asks the memory for something and does not wait for it."""

    by_tile: ClassVar[bool] = False
    accesses: ClassVar[frozenset[Stream]] = frozenset(Stream)
    tracks: ClassVar[bool] = False
    works: tuple = ()
    waits_fs: int = 0
    again: bool = False
    """Whether the data that come ask for more."""

    def content(self, _gpu, _rate_to):
        """Say how long it waits."""
        return self.waits_fs, self.again

    def launch_fs(self, _gpu, _rate_to):
        """Begin at once."""
        return 0

    def prepare(self, gpu, _number):
        """Give what runs it."""

        def done():
            pass

        def ask(done):
            cause = Cause("gemm", Direction.READ)
            gpu.memory.submit(Stream.COMPUTE, Access.READ, 64 << 10, cause, lambda: None, done)

        def run():
            ask(partial(ask, done) if self.again else done)
            yield gpu.env.timeout(self.waits_fs)

        return run


Hasty.__module__ = "t3sim.hasty"


# Data are read for 71 ns, and come 30 ns later; at 80 ns nothing is to be read, and something is under way.
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("waits_fs", [0, 1_000_000, 60_000_000, 80_000_000, 10**12])
def test_what_leaves_something_under_way_is_no_part(waits_fs, again, tiny_system, machines):
    """The phase after it then belongs to the same part, and the whole takes what it takes."""
    if waits_fs == 80_000_000 and not again:
        pytest.skip("data that nobody waits for")
    system = tiny_system()
    phases = [Hasty(waits_fs=waits_fs, again=again), Hasty(waits_fs=10**12, again=again)]
    found = SystemLab(system, GPUS).run(phases, "default")
    ran = len(machines)
    assert found == whole(system).run(phases, "default")
    assert ran == 2
    assert {part.total_fs for part in REMEMBERED} == ({10**12} if waits_fs == 10**12 else {waits_fs, waits_fs + 10**12})
