"""The compiled DRAM channel, and the path before it, against ones in plain Python, request by request."""

import importlib.util
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from t3sim.hardware.memory.access import Stream
from t3sim.hardware.memory.arbitration import KIND as POLICY
from t3sim.hardware.memory.arbitration.mca import Mca
from t3sim.hardware.memory.banked.control import ControlSpec
from t3sim.hardware.memory.banked.dram.spec import DramSpec
from t3sim.hardware.memory.banked.dram.stream import run_stream
from t3sim.hardware.memory.banked.mappings.ro_ba_co import RoBaCo
from t3sim.hardware.memory.banked.spec import BankedSpec
from t3sim.lowering.layout import linear
from t3sim.registry import get, names


def _beside(name):
    """Load a module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference, path_reference = _beside("dram_reference"), _beside("path_reference")

KINDS = ("RD", "WR", "UP")
# What each counter of the channel is called by the plain one.
COUNTED = {
    "activates": "ACT",
    "precharges": "PRE",
    "precharges_all": "PREA",
    "refreshes": "REF",
    "row_hits": "hit",
    "row_misses": "miss",
    "row_conflicts": "conflict",
    "reads": "RD",
    "writes": "WR",
    "updates": "UP",
    "bus_turnarounds": "turn",
}
small = st.integers(1, 12)


@st.composite
def drams(draw):
    """Draw a small channel with timings of all proportions."""
    ccdl, rp, rc, rfc = draw(small), draw(small), draw(st.integers(4, 40)), draw(st.integers(4, 60))
    return DramSpec(
        name="drawn",
        clock=10**9,
        access=64,
        page=256,
        pseudo_channels=draw(st.sampled_from((1, 1, 2))),
        bank_groups=draw(st.sampled_from((1, 2, 4))),
        banks_per_group=draw(st.sampled_from((1, 2, 4))),
        act_cycles=draw(st.integers(1, min(2, rp))),
        nBL=draw(st.integers(1, 4)),
        nCL=draw(small),
        nCWL=draw(small),
        nRCDRD=draw(small),
        nRCDWR=draw(small),
        nRP=rp,
        nRAS=draw(small),
        nRC=rc,
        nRRDS=draw(small),
        nRRDL=draw(small),
        nFAW=draw(st.integers(1, 30)),
        nCCDS=draw(st.integers(1, 6)),
        nCCDL=ccdl,
        nCCDWL=ccdl + draw(st.integers(0, 6)),
        nRTW=draw(small),
        nWR=draw(small),
        nWTRS=draw(small),
        nWTRL=draw(small),
        nRTP=draw(small),
        nRFC=rfc,
        nREFI=rfc + rc + rp + draw(st.integers(20, 200)),
    )


controls = st.builds(
    ControlSpec,
    scheduler=st.sampled_from(("frfcfs-row-hit", "frfcfs", "fcfs")),
    hit_cap=st.sampled_from((0, 0, 1, 3)),
    read_entries=st.integers(1, 12),
    write_entries=st.integers(1, 12),
    drain_from=st.sampled_from((0.5, 0.8, 0.99)),
    drain_to=st.sampled_from((0.016, 0.2, 0.5)),
    refresh=st.booleans(),
)
requests = st.lists(
    st.tuples(st.integers(0, 31), st.integers(0, 3), st.sampled_from(KINDS), st.sampled_from((0, 0, 0, 1, 5, 40))),
    min_size=1,
    max_size=60,
)


def plain_channel(dram, control):
    """Make the plain channel of the same rules."""
    return reference.ReferenceChannel(
        dram,
        control.scheduler,
        control.hit_cap,
        control.drain_from,
        control.drain_to,
        control.read_entries,
        control.write_entries,
        control.refresh,
    )


def address_of(dram, bank, row):
    """Give the first address of a row: with ro-ba-co, offset and column are 8 bits here, then group, bank, row."""
    group_bits, bank_bits = dram.groups.bit_length() - 1, dram.banks_per_group.bit_length() - 1
    group, bank = divmod(bank, dram.banks_per_group)
    return group << 8 | bank << (8 + group_bits) | row << (8 + group_bits + bank_bits)


@settings(deadline=None, max_examples=200)
@given(dram=drams(), control=controls, drawn=requests)
def test_every_request_is_served_when_the_rules_say(dram, control, drawn):
    """The compiled channel moves the data of every request in the same cycle as the plain one, and counts the same."""
    compare_channels(dram, control, drawn)


crowded = st.lists(
    st.tuples(st.integers(0, 31), st.integers(0, 3), st.sampled_from(KINDS), st.sampled_from((0, 0, 3))),
    min_size=60,
    max_size=120,
)


@settings(deadline=None, max_examples=40)
@given(dram=drams(), control=controls, drawn=crowded)
def test_pseudo_channels_crowd_each_other_as_the_rules_say(dram, control, drawn):
    """The same for two pseudo channels of 16 banks with rows opened in quick succession and refreshes in between."""
    changes = {"pseudo_channels": 2, "bank_groups": 4, "banks_per_group": 4, "nRRDS": 1, "nRRDL": 1, "nFAW": 40}
    often = control.model_copy(update={"read_entries": 12, "write_entries": 12, "refresh": True})
    compare_channels(dram.model_copy(update=changes), often, drawn)


def compare_channels(dram, control, drawn):
    """Send what is drawn through both channels."""
    arrivals = np.cumsum([gap for _, _, _, gap in drawn])
    stream = [(bank % dram.banks, row, kind, int(at)) for (bank, row, kind, _), at in zip(drawn, arrivals, strict=True)]
    channel = plain_channel(dram, control)
    done, entered = reference.run_reference(channel, stream)
    address = [address_of(dram, bank, row) for bank, row, _, _ in stream]
    kinds = np.array([KINDS.index(kind) for _, _, kind, _ in stream])
    report = run_stream(dram, control, RoBaCo(), np.array(address), kinds, arrivals)
    assert report.entered.tolist() == entered
    assert report.done.tolist() == done
    assert report.counters == {name: channel.counts[plain] for name, plain in COUNTED.items()}


bursts = st.lists(
    st.tuples(
        st.sampled_from(Stream),
        st.integers(0, 31),
        st.integers(0, 3),
        st.integers(1, 4),  # accesses, as many as a row has
        st.sampled_from(KINDS),
        st.sampled_from((0, 0, 0, 1, 5, 40)),
    ),
    min_size=1,
    max_size=40,
)
policies = st.sampled_from(names(POLICY)).map(lambda name: get(POLICY, name)()) | st.builds(
    Mca, occupancy=st.none() | st.integers(1, 5), starvation_limit=st.integers(1, 5)
)


@settings(deadline=None, max_examples=300)
@given(
    dram=drams(),
    control=controls,
    path=st.tuples(st.sampled_from((1, 2, 5, 64)), st.sampled_from((0, 1, 4, 16))),
    policy=policies,
    drawn=bursts,
)
def test_every_burst_is_served_when_the_rules_say(banked_channels, dram, control, path, policy, drawn):
    """Behind the compiled path the last data of every burst move in the same cycle as behind the plain one."""
    arrivals, expected_of = [], []
    at = np.cumsum([gap for *_, gap in drawn]).tolist()
    for cycle, (stream, bank, row, accesses, kind, _) in zip(at, drawn, strict=True):
        numbers = range(len(arrivals), len(arrivals) + accesses)
        expected_of.append(numbers)
        arrivals += [(cycle, stream, reference.Request(n, bank % dram.banks, row, kind, cycle)) for n in numbers]
    plain = path_reference.ReferencePath(plain_channel(dram, control), policy, *path)
    done = path_reference.run_path(plain, arrivals)
    spec = BankedSpec(
        **control.model_dump(),
        dram=dram,
        channels=1,
        simulated_channels=1,
        interleave=256,
        channel_hash=False,
        path_entries=path[0],
        least_reads=path[1],
        address_mapping=RoBaCo(),
        read_latency=0,
    )
    ends = compiled_ends(banked_channels(spec, policy), at, drawn)
    assert ends == [max(done[number] for number in numbers) for numbers in expected_of]


def compiled_ends(channel, at, drawn):
    """Push the bursts when they come; return the cycle of each one's last data."""
    spec, cycle_fs = channel.spec, 10**15 // channel.spec.dram.clock
    numbers, ends = {}, {}
    wake, left = 0, list(enumerate(zip(at, drawn, strict=True)))
    while left or wake:
        now = min([*([wake] if wake else []), *(cycle * cycle_fs for _, (cycle, _) in left[:1])])
        ends |= dict(channel.advance(now))
        while left and left[0][1][0] * cycle_fs <= now:
            index, (_, (stream, bank, row, accesses, kind, _)) = left.pop(0)
            lane, nbytes = 2 * stream + (kind != "RD"), accesses * spec.dram.access
            region = linear(address_of(spec.dram, bank % spec.dram.banks, row), nbytes)
            numbers[index] = channel.push(lane, nbytes, 0, region, is_update=kind == "UP")
        wake = channel.admit(now)
    return [ends[numbers[index]] // cycle_fs for index in range(len(drawn))]
