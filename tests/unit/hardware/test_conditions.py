"""Conditions as values: what is accepted, who differs, what is drawn, and memories with fewer channels."""

from statistics import mean

import pytest
from pydantic import ValidationError

from t3sim.hardware.conditions import SOUND, ConditionsSpec, GpuCondition, KernelJitter
from t3sim.hardware.machine import Machine
from t3sim.hardware.memory.arbitration.round_robin import RoundRobin
from t3sim.hardware.network.conditions import Conditions, LinkCondition
from t3sim.hardware.network.topologies.ring import RingSpec
from t3sim.registry import UnknownNameError
from t3sim.units import FS_PER_US


def conditions(**sections):
    """Read conditions as plain data."""
    return ConditionsSpec.model_validate(sections)


@pytest.fixture
def ring(tiny_system):
    """Give a ring of four GPUs."""
    return RingSpec().wire(tiny_system().link, 4)


def test_nothing_is_wrong_by_default():
    """An empty section is what a system without one has."""
    assert ConditionsSpec.model_validate({}) == SOUND
    assert (SOUND.difference, SOUND.is_random, SOUND.of_gpu(3)) == ("", False, GpuCondition())


def test_a_gpu_has_its_own_condition_or_that_of_all():
    """The entry of a GPU takes the place of ``all`` as a whole; numbers may be written as numbers."""
    found = conditions(gpus={"all": {"speed": 0.9, "start": 5}, 2: {"speed": 0.5}})
    assert found.of_gpu(0) == found.of_gpu(3) == GpuCondition(speed=0.9, start=5)
    assert found.of_gpu(2) == GpuCondition(speed=0.5)


def test_a_link_has_its_own_condition_or_that_of_all(ring):
    """Only links that something is wrong with are named to the network, and only those of the ranks asked for."""
    found = conditions(links={"all": {"rate": 0.5}, "Link[0->1]": {"latency": 3}, "Link[1->2]": {}}, seed=7)
    of_all = found.of_links(ring, range(4))
    assert of_all.seed == 7
    assert of_all.links["Link[0->1]"] == LinkCondition(latency=3)
    assert of_all.links["Link[3->0]"] == LinkCondition(rate=0.5)
    assert "Link[1->2]" not in of_all.links
    assert len(of_all.links) == 7
    assert set(found.of_links(ring, [0]).links) == {"Link[0->1]", "Link[0->3]"}


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"gpus": {"all": {"speed": 0.5}}, "links": {"all": {"rate": 0.5}}}, ""),
        ({"gpus": {"0": {"speed": 1.0}}, "links": {"Link[0->1]": {"retry": 0}}}, ""),
        ({"gpus": {"all": {"speed": 0.5}, "1": {"speed": 0.5}}}, ""),
        ({"gpus": {"0": {"speed": 0.5}}}, "the others do not share the condition of GPU 0"),
        ({"gpus": {"all": {"start": 5}, "3": {}}}, "the others do not share the condition of GPU 3"),
        (
            {"gpus": {"1": {"start": 5}}, "links": {"Link[0->1]": {"rate": 0.5}}},
            "the others do not share the condition of GPU 1 and Link[0->1]",
        ),
        ({"links": {"all": {"loss": 0.1}}}, "links lose packets at random"),
        ({"kernel_start_jitter": {"distribution": "normal", "scale": 5}}, "kernels start at random times"),
        ({"kernel_start_jitter": {"distribution": "normal", "scale": 0}}, ""),
    ],
)
def test_gpus_differ_where_one_is_named_or_something_is_random(sections, reason):
    """What all share makes no difference, and neither does an entry that says what holds anyway."""
    found = conditions(**sections)
    assert found.difference == reason
    assert found.is_random == ("random" in reason)


@pytest.mark.parametrize(
    ("distribution", "expected", "largest"),
    [("exponential", 1.0, None), ("normal", 0.798, None), ("uniform", 0.5, 1.0)],  # sqrt(2 / pi) of a half normal
)
def test_jitter_has_the_mean_of_its_distribution(distribution, expected, largest):
    """Over many kernels the delays are never negative and have the mean that the distribution says."""
    found = conditions(kernel_start_jitter={"distribution": distribution, "scale": 2 * FS_PER_US})
    drawn = [found.jitter_fs(gpu, f"kernel {number}") for gpu in range(8) for number in range(500)]
    assert min(drawn) >= 0
    assert mean(drawn) / (2 * FS_PER_US) == pytest.approx(expected, rel=0.05)
    if largest is not None:
        assert largest * 0.99 < max(drawn) / (2 * FS_PER_US) <= largest


def test_jitter_depends_on_seed_gpu_and_kernel_alone():
    """The same three give the same delay, and each of them another one."""
    jitter = KernelJitter(distribution="exponential", scale=FS_PER_US)
    first, other = (ConditionsSpec(kernel_start_jitter=jitter, seed=seed) for seed in (0, 1))
    assert first.jitter_fs(2, "gemm") == ConditionsSpec(kernel_start_jitter=jitter).jitter_fs(2, "gemm")
    drawn = {
        first.jitter_fs(2, "gemm"),
        first.jitter_fs(3, "gemm"),
        first.jitter_fs(2, "ar"),
        other.jitter_fs(2, "gemm"),
    }
    assert len(drawn) == 4
    assert SOUND.jitter_fs(2, "gemm") == 0


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"gpus": {"0": {"speed": 0}}}, r"gpus\.0\.speed\n.*greater than or equal to 0\.001"),
        ({"gpus": {"0": {"speed": -1}}}, "greater than or equal to"),
        ({"gpus": {"0": {"lost_channels": -1}}}, "greater than or equal to 0"),
        ({"gpus": {"first": {}}}, "'first' is no GPU: give a number, counted from 0, or 'all'"),
        ({"gpus": {"-1": {}}}, "'-1' is no GPU"),
        ({"gpus": {"01": {}}}, "'01' is no GPU"),
        ({"seeds": 0}, "greater than 0"),
        ({"kernel_start_jitter": {"distribution": "zipf", "scale": 1}}, "'exponential', 'normal' or 'uniform'"),
        ({"gpus": {"0": {"start": 2**61}}}, "less than or equal to"),
    ],
)
def test_nonsense_is_refused(wrong, complaint):
    """Each wrong value is named with what would be right."""
    with pytest.raises(ValidationError, match=complaint):
        conditions(**wrong)


@pytest.mark.parametrize(
    ("sections", "complaint"),
    [
        ({"gpus": {"4": {"speed": 0.5}}}, r"unknown GPU '4' \(known: all, 0, 1, 2, 3\)"),
        ({"links": {"Link[0->2]": {}}}, r"unknown link 'Link\[0->2\]' \(did you mean Link.*known: all, Link\[0->1\]"),
    ],
)
def test_a_machine_refuses_what_it_does_not_have(tiny_system, ring, sections, complaint):
    """The condition of a GPU or link that there is none of is an error, not ignored."""
    system = tiny_system()
    with pytest.raises(UnknownNameError, match=complaint):
        Machine(system.gpu(), ring, RoundRobin(), conditions(**sections), mirrored=False)


def test_one_gpu_stands_for_all_only_where_they_are_alike(tiny_system, ring):
    """A mirrored machine takes what holds for all, on all its links, and refuses the rest."""
    system = tiny_system()
    alike = conditions(gpus={"all": {"speed": 0.5, "start": 9}}, links={"all": {"rate": 0.5}})
    machine = Machine(system.gpu(), ring, RoundRobin(), alike, mirrored=True)
    assert (machine.gpus[0].compute.speed, machine.gpus[0].start_fs) == (0.5, 9)
    assert {link.bytes_per_s for link in machine.network.links.values()} == {system.link.bytes_per_s // 2}
    with pytest.raises(ValueError, match="the condition of GPU 0: simulate all GPUs, not one for all"):
        Machine(system.gpu(), ring, RoundRobin(), conditions(gpus={"0": {"speed": 0.5}}), mirrored=True)


def test_an_in_order_memory_without_channels_serves_with_the_share_that_is_left(tiny_system):
    """With one of four channels lost, three quarters of rate and granule are left, and nothing else changes."""
    whole = tiny_system().memory
    less = whole.without_channels(1)
    assert (less.channels, less.granule) == (3, whole.granule * 3 // 4)
    assert less.peak_bytes_per_s == whole.peak_bytes_per_s * 3 // 4
    assert {**less.model_dump(), "channels": 4, "bandwidth": whole.bandwidth} == whole.model_dump()


def test_a_banked_memory_without_channels_spreads_over_those_left(hbm2_banks):
    """Addresses interleave over fewer channels, of which no more are simulated than there are."""
    less = hbm2_banks(simulated_channels=32).without_channels(2)
    assert (less.channels, less.simulated_channels) == (30, 30)
    assert less.peak_bytes_per_s * 32 == hbm2_banks().peak_bytes_per_s * 30
    assert hbm2_banks(simulated_channels=4).without_channels(2).simulated_channels == 4


@pytest.mark.parametrize("model", ["in-order", "banked"])
def test_one_channel_has_to_be_left(tiny_system, hbm2_banks, model):
    """All but one channel may be lost."""
    memory = tiny_system().memory if model == "in-order" else hbm2_banks()
    assert memory.without_channels(memory.channels - 1).channels == 1
    with pytest.raises(ValueError, match=f"none of {memory.channels} channels is left"):
        memory.without_channels(memory.channels)


@pytest.mark.parametrize(
    ("links", "alike"),
    [
        ({}, True),
        ({"a": {"rate": 0.5}, "b": {"rate": 0.5}}, True),
        ({"a": {"rate": 0.5}}, False),
        ({"a": {"rate": 0.5}, "b": {"rate": 0.6}}, False),
        ({"a": {"loss": 0.5}, "b": {"loss": 0.5}}, False),
    ],
)
def test_links_are_alike_in_one_condition_without_chance(links, alike):
    """All links of a rank must be in it, and none may lose packets: each loses others."""
    assert Conditions.model_validate({"links": links}).alike(["a", "b"]) == alike
