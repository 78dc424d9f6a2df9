"""The system file as a whole: its parts, its policies, and what it refuses."""

import pytest

from t3sim.errors import InputError
from t3sim.hardware.memory.arbitration.mca import Mca
from t3sim.hardware.memory.arbitration.round_robin import RoundRobin
from t3sim.hardware.memory.banked.spec import BankedSpec
from t3sim.hardware.memory.fluid.in_order_spec import InOrderSpec
from t3sim.simulation import load_system


def refusal(*overrides):
    with pytest.raises(InputError) as refused:
        load_system(overrides=overrides)
    return str(refused.value)


def test_the_paper_system_in_base_units():
    """What the paper states arrives in bytes, bytes per second, femtoseconds and hertz."""
    system = load_system("t3-paper").spec
    assert (system.compute.cus, system.compute.clock) == (80, 1_400_000_000)
    assert system.llc.capacity == 16 * 2**20
    assert load_system("t3-paper-published").spec.memory.bandwidth == 10**12
    assert system.link.latency == 500 * 10**6
    assert system.link.bytes_per_s == 75 * 10**9
    assert system.tracker.entries == 256


def test_schemes_have_policies():
    """A scheme is arbitrated by the policy under its name, any other by the default."""
    system = load_system("t3-paper").spec
    assert isinstance(system.policy("t3-mca"), Mca)
    assert isinstance(system.policy("t3"), RoundRobin)
    assert system.policy("sequential") == system.policy("default")


def test_a_gpu_gets_the_parts_of_the_system():
    """What one GPU is built from is what the file says, unchanged."""
    system = load_system("t3-paper").spec
    gpu = system.gpu()
    for part in ("compute", "gemm", "llc", "memory", "tracker", "dma"):
        assert getattr(gpu, part) is getattr(system, part)


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("arbitration.t3-mac={policy: mca}", ("arbitration", "t3-mac", "did you mean t3-mca?", "sequential")),
        ("arbitration.t3.policy=mcaa", ("--set", "arbitration.t3.policy", "mcaa", "did you mean mca?", "round-robin")),
        ("memory.chanels=4", ("--set", "memory.chanels", "did you mean channels?")),
        ("memory.drain_from=1.5", ("--set", "memory.drain_from", "1.5")),
        ("link.bandwidth=0 GB/s", ("--set", "link.bandwidth", "greater than 0")),
        ("link.bandwidth=1000", ("--set", "link.bandwidth", "1000", "GB/s")),
        ("link.bandwidth=1 GiB", ("--set", "link.bandwidth", "GB/s")),
        ("tracker.ways=3", ("tracker", "256 entries are not whole sets of 3 ways")),
        ("llc.capacity=1 KiB", ("llc", "less than one set")),
        ("link.receive_buffer=1 KiB", ("link", "less than a round trip")),
        ("link.direction=sideways", ("--set", "link.direction", "sideways", "bidirectional", "per_direction")),
        ("compute.cus=0", ("--set", "compute.cus", "greater than 0")),
    ],
)
def test_what_cannot_be_is_refused(override, parts):
    """Each impossible value is refused in one line that names the place, the value and what would be right."""
    text = refusal(override)
    assert len(text.splitlines()) == 1
    assert not [part for part in parts if part not in text], text


def test_the_default_policy_is_required():
    """Without a policy for schemes that are not named, the system is refused."""
    assert "'default'" in refusal("arbitration={t3: {policy: round-robin}}")


def test_an_unknown_system_is_named_with_the_known_ones():
    """A misspelt name is refused with the names that exist."""
    with pytest.raises(InputError, match=r"t3-papr.*t3-paper"):
        load_system("t3-papr")


@pytest.mark.parametrize(
    ("name", "gb_per_s", "load_ns"),
    [
        ("t3-paper", 1024, 300),
        ("v100", 900, 296),
        ("a100-80g", 2039, 454),
        ("h100-sxm", 3350, 421),
        ("h200", 4800, 421),
        ("h800", 3350, 421),
        ("h20", 4000, 421),
        ("l20", 864, 215),
        ("rtx4090", 1008, 215),
        ("mi210", 1638.4, 436),
        ("mi250x-gcd", 1638.4, 436),
        ("mi300x", 5300, 428),
    ],
)
def test_memory_bank_by_bank_has_the_quoted_rate_and_the_measured_latency(name, gb_per_s, load_ns):
    """Channels of the right clock make up the data sheet's bandwidth; a load on idle DRAM takes what was measured."""
    memory = load_system(name).spec.memory
    assert memory.model == "banked"
    assert memory.peak_bytes_per_s == pytest.approx(gb_per_s * 1e9, rel=0.001)
    assert memory.load_latency == pytest.approx(load_ns * 10**6, abs=10**6)


@pytest.mark.parametrize(
    ("name", "tflop_per_s", "link_gb_per_s"),
    [
        ("h800", 989.4, 200),
        ("h20", 148, 450),
        ("l20", 118.7, 31.5),  # 119.5 by NVIDIA, at a clock somewhat above the quoted boost
        ("rtx4090", 165.2, 31.5),
    ],
)
def test_presets_of_overlap_have_the_quoted_peaks(name, tflop_per_s, link_gb_per_s):
    """SMs, clock and tensor cores make up the quoted rate of fp16; links have the quoted rate each way."""
    system = load_system(name).spec
    compute, link = system.compute, system.link
    peak = compute.cus * compute.clock * compute.matrix_flops_per_cycle["fp16"]
    assert peak == pytest.approx(tflop_per_s * 1e12, rel=0.001)
    assert link.bytes_per_s / link.efficiency == pytest.approx(link_gb_per_s * 1e9, rel=0.001)


def calibrated(node, path=""):
    """Yield the keys of all numbers that are said to be calibrated, those of ancestors among them."""
    if isinstance(node, dict):
        if node.get("class") == "calibrated":
            yield path
        for key, below in node.items():
            yield from calibrated(below, f"{path}.{key}".lstrip("."))


@pytest.mark.parametrize(
    ("name", "own", "inherited"),
    [
        ("h800", set(), {"h100-sxm": 9}),
        ("h20", set(), {"h100-sxm": 9}),
        ("l20", {"protocols.ll.rate_limit", "protocols.simple.rate_limit"}, {"a100-80g": 2}),
        ("rtx4090", set(), {"a100-80g": 2}),
    ],
)
def test_what_is_fitted_elsewhere_says_where(name, own, inherited):
    """Numbers calibrated on another GPU are assumed here, and name it; what a preset calls calibrated is its own."""
    resolved = load_system(name).resolved
    assert set(calibrated(resolved)) == own
    for other, count in inherited.items():
        assert str(resolved).count(f"calibrated on {other}") == count


@pytest.mark.parametrize("key", sorted(InOrderSpec.model_fields.keys() - BankedSpec.model_fields.keys()))
def test_what_the_banked_memory_says_otherwise_is_told(key):
    """A key of the in-order memory is refused with what says the same, or, where nothing does, as any unknown one."""
    text = refusal(f"memory.{key}=1")
    said = BankedSpec.elsewhere.get(key, "")
    assert (f"unknown key: {said} (" if said else "unknown key (") in text
    assert bool(said) == (key not in {"access", "stream_switch"})
