"""What binds a collective: each resource doubles what it says and nothing else; a part of a large buffer tells."""

import pytest

from t3sim.experiments.binding import RESOURCES, judged_bytes
from t3sim.simulation import load_system

NIC = "{bandwidth: 25 GB/s, direction: per_direction, latency: 2 us, send_buffer: 1 MiB, receive_buffer: 1 MiB}"
NODES = (
    f"topology={{kind: multi-node, nodes: 2, nic: {NIC}, switch: {{reduces: true, adder_rate: 1 GB/s, entries: 8}}}}"
)


@pytest.fixture
def changes():
    """Give a function that lists the values that a resource changes in a system: (before, after) by place."""

    def flat(values, place=""):
        if not isinstance(values, dict):
            return {place: values}
        return {key: value for name in values for key, value in flat(values[name], f"{place}.{name}").items()}

    def run(resource, *overrides, system="t3-paper"):
        spec = load_system(system, overrides).spec
        before, after = (
            flat(each.model_dump(mode="json", serialize_as_any=True)) for each in (spec, RESOURCES[resource](spec))
        )
        return {place: (before[place], after[place]) for place in before if before[place] != after[place]}

    return run


@pytest.mark.parametrize(
    ("resource", "places"),
    [
        ("link", {".link.bandwidth", ".link.send_buffer", ".link.receive_buffer"}),
        ("DRAM", {".memory.channels"}),
        ("CUs", {".compute.collective_outstanding_per_cu"}),
        ("latency", {".link.latency"}),
        ("switch", set()),
    ],
)
def test_what_each_resource_changes(changes, resource, places):
    """Of a system without protocols and switches."""
    assert changes(resource).keys() == places


def test_twice_as_much_is_twice_as_much(changes):
    """Rates and sizes double, times are halved."""
    for resource in RESOURCES:
        for place, (before, after) in changes(resource, NODES, "compute.launch_overhead=2 us").items():
            is_time = place.rpartition(".")[2] in {"latency", "turnaround", "launch_overhead"}
            assert after == (before / 2 if is_time else 2 * before)


def test_nics_and_switches_of_the_topology_count(changes):
    """Links of nodes are links, their switches are switches."""
    assert {".topology.nic.bandwidth", ".link.bandwidth"} < changes("link", NODES).keys()
    assert {".topology.nic.latency", ".link.latency"} == changes("latency", NODES).keys()
    assert {".topology.switch.adder_rate", ".topology.switch.entries"} == changes("switch", NODES).keys()


def test_protocols_have_latencies_and_limits(changes):
    """Steps and launches of a protocol are latency, its limit for all CUs is the CUs'."""
    latencies = changes("latency", system="a100-80g").keys()
    assert {
        ".protocols.simple.step_latency",
        ".protocols.ll.base_latency",
        ".protocols.simple.extra_latency",
    } < latencies
    assert any(place.endswith(".rate_limit") for place in changes("CUs", system="a100-80g"))


def test_each_memory_is_twice_as_fast_in_its_own_way(changes):
    """In order by its rate and its turns; by banks, and what follows them, by channels, whose timings have the rate."""
    assert changes("DRAM", system="t3-paper-published").keys() == {".memory.bandwidth", ".memory.turnaround"}
    assert changes("DRAM", system="t3-paper-fluid").keys() == {".memory.memory.channels"}


@pytest.mark.parametrize(
    ("nbytes", "gpus", "judged"),
    [(1000, 8, 1000), (2**26, 8, 2**26), (2**30, 8, 2**26), (2**30, 64, 2**26), (2**30, 256, 2**28)],
)
def test_large_buffers_are_judged_by_a_part(nbytes, gpus, judged):
    """64 MiB, or 1 MiB for each GPU, tell as much as more."""
    assert judged_bytes(nbytes, gpus) == judged
