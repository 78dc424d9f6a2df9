"""The compiled DRAM channel against one in plain Python, request by request."""

import importlib.util
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from t3sim.hardware.memory.banked.control import ControlSpec
from t3sim.hardware.memory.banked.dram.spec import DramSpec
from t3sim.hardware.memory.banked.mappings.ro_ba_co import RoBaCo
from t3sim.validation.dram_stream import run_stream

_spec = importlib.util.spec_from_file_location("dram_reference", Path(__file__).with_name("dram_reference.py"))
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

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
    st.tuples(st.integers(0, 15), st.integers(0, 3), st.sampled_from(KINDS), st.sampled_from((0, 0, 0, 1, 5, 40))),
    min_size=1,
    max_size=60,
)


@settings(deadline=None, max_examples=200)
@given(dram=drams(), control=controls, drawn=requests)
def test_every_request_is_served_when_the_rules_say(dram, control, drawn):
    """The compiled channel moves the data of every request in the same cycle as the plain one, and counts the same."""
    arrivals = np.cumsum([gap for _, _, _, gap in drawn])
    stream = [(bank % dram.banks, row, kind, int(at)) for (bank, row, kind, _), at in zip(drawn, arrivals, strict=True)]
    channel = reference.ReferenceChannel(
        dram,
        control.scheduler,
        control.hit_cap,
        control.drain_from,
        control.drain_to,
        control.read_entries,
        control.write_entries,
        control.refresh,
    )
    done, entered = reference.run_reference(channel, stream)
    # ro-ba-co: offset and column are 8 bits here, then bank group, bank, row.
    group_bits, bank_bits = dram.bank_groups.bit_length() - 1, dram.banks_per_group.bit_length() - 1
    address = [
        (bank // dram.banks_per_group) << 8
        | (bank % dram.banks_per_group) << (8 + group_bits)
        | row << (8 + group_bits + bank_bits)
        for bank, row, _, _ in stream
    ]
    kinds = np.array([KINDS.index(kind) for _, _, kind, _ in stream])
    report = run_stream(dram, control, RoBaCo(), np.array(address), kinds, arrivals)
    assert report.entered.tolist() == entered
    assert report.done.tolist() == done
    assert report.counters == {name: channel.counts[plain] for name, plain in COUNTED.items()}
