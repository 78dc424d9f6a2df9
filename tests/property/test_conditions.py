"""Whole runs under random conditions: they end, move the same bytes, and are the same for the same seed."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t3sim.execution.data import DataMode
from t3sim.hardware.conditions import ConditionsSpec, GpuCondition, KernelJitter
from t3sim.hardware.network.conditions import LinkCondition, Outage
from t3sim.hardware.network.topologies.fully_connected import FullyConnectedSpec
from t3sim.hardware.network.topologies.ring import RingSpec
from t3sim.hardware.network.topologies.switch import SwitchedSpec
from t3sim.hardware.network.wiring import link_name
from t3sim.registry import get
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.simulation.lab import SystemLab
from t3sim.units import FS_PER_US

EXECUTED = ("sequential", "t3", "t3-mca")
TOPOLOGIES = (RingSpec(), FullyConnectedSpec(), SwitchedSpec())
MOMENTS = st.integers(0, 10 * FS_PER_US)


@st.composite
def outages(draw):
    """Draw outages that end, one after the other."""
    times = sorted(draw(st.sets(MOMENTS, max_size=6)))
    return tuple(Outage(**{"from": start, "to": end}) for start, end in zip(times[::2], times[1::2], strict=False))


GPUS = st.builds(
    GpuCondition, speed=st.sampled_from([0.05, 0.5, 1.0, 3.0]), start=MOMENTS, lost_channels=st.integers(0, 3)
)
LINKS = st.builds(
    LinkCondition,
    rate=st.sampled_from([0.01, 0.5, 1.0]),
    latency=st.sampled_from([1.0, 2.5, 100.0]),
    down=outages(),
    loss=st.sampled_from([0.0, 0.1, 0.9]),
    retry=st.sampled_from([0, 100_000_000]),
)
JITTER = st.builds(
    KernelJitter,
    distribution=st.sampled_from(["exponential", "normal", "uniform"]),
    scale=st.integers(0, 5 * FS_PER_US),
)


@st.composite
def conditions(draw, wiring):
    """Draw what may be wrong with some of the GPUs and links of a wiring, or with all others."""
    ranks = ["all", *map(str, range(wiring.gpus))]
    links = ["all", *(link_name(edge) for edge in wiring.graph.edges)]
    return ConditionsSpec(
        gpus=draw(st.dictionaries(st.sampled_from(ranks), GPUS, max_size=2)),
        links=draw(st.dictionaries(st.sampled_from(links), LINKS, max_size=3)),
        kernel_start_jitter=draw(st.none() | JITTER),
        seed=draw(st.integers(0, 100)),
    )


@settings(max_examples=80)
@given(
    data=st.data(),
    topology=st.sampled_from(TOPOLOGIES),
    gpus=st.integers(2, 5),
    scheme=st.sampled_from([*EXECUTED, "ideal-overlap-nmc"]),
)
def test_whatever_is_wrong_a_run_ends_and_moves_the_same_bytes(
    tiny_system, pair, run_scheme, data, topology, gpus, scheme
):
    """Each GPU reads, writes and sends what it does without the conditions; the same seed gives the same run."""
    system = tiny_system("tracker.entries=1024").model_copy(update={"topology": topology})
    found = data.draw(conditions(topology.wire(system.link, gpus)))
    worse = system.model_copy(update={"conditions": found})
    sublayer = pair(gpus, (80, 48, 24))
    usual = run_scheme(system, sublayer, scheme, "all")
    first, again = (run_scheme(worse, sublayer, scheme, "all") for _ in range(2))
    assert first == again
    assert first.served_bytes == usual.served_bytes
    assert [gpu.served_bytes for gpu in first.gpus] == [gpu.served_bytes for gpu in usual.gpus]
    assert [gpu.link_bytes for gpu in first.gpus] == [gpu.link_bytes for gpu in usual.gpus]
    starts = [gpu.spans[0].start_fs for gpu in first.gpus]
    assert starts == [found.of_gpu(rank).start for rank in range(len(first.gpus))]


@settings(max_examples=40)
@given(data=st.data(), topology=st.sampled_from(TOPOLOGIES), gpus=st.integers(2, 4), scheme=st.sampled_from(EXECUTED))
def test_whatever_is_wrong_the_right_numbers_are_everywhere(tiny_system, pair, lowered, data, topology, gpus, scheme):
    """With numbers in the memories, every element is where it belongs, and in every sum once."""
    system = tiny_system("tracker.entries=1024").model_copy(update={"topology": topology})
    worse = system.model_copy(update={"conditions": data.draw(conditions(topology.wire(system.link, gpus)))})
    sublayer = pair(gpus, (80, 48, 24))
    lab = SystemLab(worse, gpus, "all", data=DataMode())
    assert get(SCHEME, scheme)().simulate(lab, lowered(worse, sublayer)).data.errors == 0


@settings(max_examples=40)
@given(
    gpu=GPUS,
    link=LINKS.map(lambda condition: condition.model_copy(update={"loss": 0.0})),
    topology=st.sampled_from(TOPOLOGIES),
    gpus=st.integers(2, 5),
    scheme=st.sampled_from([*EXECUTED, "ideal-overlap"]),
)
def test_one_gpu_stands_for_all_that_share_a_condition(
    tiny_system, pair, run_scheme, gpu, link, topology, gpus, scheme
):
    """Where all GPUs and all links are alike, the mirrored GPU takes what each of them takes, to the femtosecond."""
    shared = ConditionsSpec(gpus={"all": gpu}, links={"all": link})
    system = tiny_system().model_copy(update={"topology": topology, "conditions": shared})
    sublayer = pair(gpus, (gpus * 32, 32, 24))
    mirror, whole = (run_scheme(system, sublayer, scheme, simulated) for simulated in ("mirror", "all"))
    told = [replace(outcome, gpus=(), gpus_simulated=0, links={}) for outcome in (mirror, whole)]
    assert told[0] == told[1]
    if mirror.gpus:
        assert (len(mirror.gpus), len(whole.gpus)) == (1, gpus)


@pytest.mark.parametrize("condition", ["gpus.0.speed=0.5", "links.Link[0->1].rate=0.5", "links.all.loss=0.01"])
def test_gpus_that_differ_are_all_simulated(tiny_system, pair, run_scheme, condition):
    """One GPU is not taken for all where one differs, or where chance decides."""
    outcome = run_scheme(tiny_system(f"conditions.{condition}"), pair(4, (64, 64, 64)), "t3", "mirror")
    assert len(outcome.gpus) == 4
