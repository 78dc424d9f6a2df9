"""Timing edges of one DRAM channel: each command comes at the first cycle that its rule allows, and not before.

A request that arrives in cycle t can have its first command in t + 1; expectations are sums of JEDEC's timings.
"""

import numpy as np
import pytest

from t3sim.hardware.memory.banked.control import ControlSpec
from t3sim.hardware.memory.banked.dram.spec import load_dram
from t3sim.hardware.memory.banked.dram.stream import run_stream
from t3sim.hardware.memory.banked.dram.tables import READ, UPDATE, WRITE
from t3sim.hardware.memory.banked.mappings.ro_ba_co import RoBaCo

D = load_dram("hbm2").spec
OPEN = 100
"""A cycle by which the rows that were opened at the start are ready for anything."""


def at(group=0, bank=0, row=0, column=0):
    """Address of an access under ro-ba-co: 64 B, 32 columns, 4 bank groups, 4 banks each."""
    return (((row * 4 + bank) * 4 + group) * 32 + column) * 64


def ran(requests, dram=D, **control):
    """Send requests (address, kind, arrival) through a channel."""
    settings = {
        "scheduler": "frfcfs-row-hit",
        "hit_cap": 0,
        "read_entries": 64,
        "write_entries": 64,
        "drain_from": 0.8,
        "drain_to": 0.2,
        "refresh": False,
    }
    columns = [np.array(column, np.int64) for column in zip(*requests, strict=True)]
    return run_stream(dram, ControlSpec(**{**settings, **control}), RoBaCo(), *columns)


def done(requests, dram=D, **control):
    """Cycle of the last data of each request (address, kind, arrival)."""
    return ran(requests, dram, **control).done.tolist()


def counted(requests, **control):
    """Give what a channel counted, where it is not 0."""
    return {name: count for name, count in ran(requests, **control).counters.items() if count}


def changed(**timings):
    return D.model_copy(update=timings)


def test_read_of_a_closed_bank():
    """Its row opens, nRCD later it reads: 32 cycles for HBM2."""
    (end,) = done([(at(), READ, 0)])
    assert end == D.act_cycles + D.nRCDRD + D.nCL + D.nBL == 32


def test_read_of_an_open_row():
    """A row hit takes the read latency alone: 17 cycles for HBM2."""
    _, end = done([(at(), READ, 0), (at(column=1), READ, OPEN)])
    assert end - OPEN == 1 + D.nCL + D.nBL == 17


def test_read_of_another_row():
    """The open row is closed first."""
    _, end = done([(at(), READ, 0), (at(row=1), READ, OPEN)])
    assert end - OPEN == 1 + D.nRP + D.nRCDRD + D.nCL + D.nBL


@pytest.mark.parametrize("ras", [40, 41])
def test_a_row_stays_open_for_nras(ras):
    """A row conflict right behind waits until nRAS after the whole ACT."""
    _, end = done([(at(), READ, 0), (at(row=1), READ, 0)], changed(nRAS=ras), scheduler="frfcfs")
    precharge = D.act_cycles + ras
    assert end == precharge + D.nRP + D.nRCDRD + D.nCL + D.nBL


@pytest.mark.parametrize("rc", [60, 61])
def test_acts_of_a_bank_are_nrc_apart(rc):
    """Where nRC is longer than nRAS and nRP, it decides."""
    _, end = done([(at(), READ, 0), (at(row=1), READ, 0)], changed(nRC=rc), scheduler="frfcfs")
    assert end == 1 + rc + D.act_cycles - 1 + D.nRCDRD + D.nCL + D.nBL


@pytest.mark.parametrize(
    ("kind", "group", "spacing"),
    [
        (READ, 0, D.nCCDL),
        (READ, 1, D.nCCDS),
        (WRITE, 0, D.nCCDL),
        (WRITE, 1, D.nCCDS),
        (UPDATE, 0, D.nCCDWL),
        (UPDATE, 1, D.nCCDS),
    ],
)
def test_column_commands_of_a_kind(kind, group, spacing):
    """Two of them are nCCDL apart in a bank group (nCCDWL for updates), nCCDS in two."""
    opened = [(at(), READ, 0), (at(group), READ, 0)]
    *_, first, second = done([*opened, (at(column=1), kind, OPEN), (at(group, column=2), kind, OPEN)])
    assert second - first == spacing


def test_read_to_write():
    """A write follows a read by nRTW, once no reads wait."""
    _, read, write = done([(at(), READ, 0), (at(column=1), READ, OPEN), (at(column=2), WRITE, OPEN)])
    assert read == OPEN + 1 + D.nCL + D.nBL
    assert write == OPEN + 1 + D.nRTW + D.nCWL + D.nBL


@pytest.mark.parametrize(("group", "wtr"), [(0, D.nWTRL), (1, D.nWTRS)])
def test_write_to_read(group, wtr):
    """A read follows the end of a write's data by nWTRL in its bank group, by nWTRS in another."""
    opened = [(at(), READ, 0), (at(group), READ, 0)]
    *_, write, read = done([*opened, (at(column=1), WRITE, OPEN), (at(group, column=2), READ, OPEN + 1)])
    assert write == OPEN + 1 + D.nCWL + D.nBL
    assert read == write + wtr + D.nCL + D.nBL


def test_write_recovery():
    """A written row is closed nWR after the data; an updated one later by what an update takes longer."""
    for kind, extra in ((WRITE, 0), (UPDATE, D.nCCDWL - D.nCCDL)):
        _, write, read = done([(at(), READ, 0), (at(column=1), kind, OPEN), (at(row=1), READ, OPEN + 1)])
        assert read == write + D.nWR + extra + D.nRP + D.nRCDRD + D.nCL + D.nBL


@pytest.mark.parametrize("faw", [15, 16, 17, 18, 30])
def test_four_acts_in_a_window(faw):
    """The fifth ACT waits for nFAW after the first, where that is longer than four times nRRDS."""
    *_, fifth = done([(at(group=bank % 4, bank=bank // 4), READ, 0) for bank in range(5)], changed(nFAW=faw))
    act = 1 + max(faw, 4 * D.nRRDS)
    assert fifth == act + D.act_cycles - 1 + D.nRCDRD + D.nCL + D.nBL


@pytest.mark.parametrize(("group", "spacing"), [(1, 6), (0, 9)])
def test_acts_of_two_banks(group, spacing):
    """ACTs are nRRDL apart in a bank group, nRRDS in two."""
    first, second = done([(at(), READ, 0), (at(group, bank=1), READ, 0)], changed(nRRDS=6, nRRDL=9))
    assert second - first == spacing


def test_refresh_of_idle_banks_takes_nrfc():
    """A request in the cycle of a refresh waits for its end; one whose row opens in the cycle before does not."""
    alone = D.act_cycles + D.nRCDRD + D.nCL + D.nBL
    assert done([(at(), READ, D.nREFI - 2)], refresh=True) == [D.nREFI - 2 + alone]
    for arrival in (D.nREFI - 1, D.nREFI, D.nREFI + D.nRFC - 2):
        assert done([(at(), READ, arrival)], refresh=True) == [D.nREFI + D.nRFC + D.nRCDRD + D.nCL + D.nBL]


def test_refresh_closes_open_rows():
    """With a row open, all banks are closed first, and the row has to be opened again."""
    _, end = done([(at(), READ, 0), (at(column=1), READ, D.nREFI)], refresh=True)
    assert end == D.nREFI + D.nRP + D.nRFC + D.nRCDRD + D.nCL + D.nBL


@pytest.mark.parametrize("cap", [1, 3])
def test_the_hit_cap_bounds_what_passes_an_older_request(cap):
    """So many younger hits are served before the older request's row is opened; without a cap, all are."""
    hits = [(at(column=column), READ, 0) for column in range(2, 12)]
    requests = [(at(), READ, 0), (at(row=1), READ, 0), *hits]
    _, older, *younger = done(requests, hit_cap=cap)
    assert sum(end < older for end in younger) == cap
    _, older, *younger = done(requests)
    assert max(younger) < older


def served_before_reads_end(writes):
    """Count writes served before the last of 40 reads; 10 entries, drained from over 80% to under 20%."""
    requests = [(at(group=1, column=column), WRITE, 0) for column in range(writes)]
    requests += [(at(column=column % 32), READ, 0) for column in range(40)]
    ends = done(requests, write_entries=10)
    return sum(end < max(ends[writes:]) for end in ends[:writes])


def test_writes_wait_up_to_the_high_watermark():
    """8 of 10 entries are not more than 80%: all reads go first. With 9, writes drain until 1 of 10 is left."""
    assert served_before_reads_end(8) == 0
    assert served_before_reads_end(9) == 8


def test_fcfs_serves_the_oldest_only():
    """A row hit waits until the older request of another bank has its row; first-ready lets it pass."""
    opened = [(at(), READ, 0), (at(group=1), READ, 0)]
    requests = [*opened, (at(group=1, row=1), READ, OPEN), (at(column=1), READ, OPEN)]
    *_, hit = done(requests)
    assert hit == OPEN + 1 + D.nCL + D.nBL
    *_, hit = done(requests, scheduler="fcfs")
    assert hit == OPEN + 1 + D.nRP + D.nCL + D.nBL


def test_counts_of_one_bank():
    """A closed bank, its open row twice, then another row: a miss, two hits, a conflict; two ACTs and a PRE."""
    reads = [(at(column=column, row=row), READ, column * OPEN) for column, row in ((0, 0), (1, 0), (2, 0), (3, 1))]
    assert counted(reads[:1]) == {"activates": 1, "row_misses": 1, "reads": 1}
    assert counted(reads) == {
        "activates": 2,
        "precharges": 1,
        "row_misses": 1,
        "row_hits": 2,
        "row_conflicts": 1,
        "reads": 4,
    }


def test_counts_of_the_bus():
    """Read, write, update, read, far apart in an open row: the bus turns twice."""
    kinds = (READ, WRITE, UPDATE, READ)
    requests = [(at(column=number), kind, number * OPEN) for number, kind in enumerate(kinds)]
    assert counted(requests) == {
        "activates": 1,
        "row_misses": 1,
        "row_hits": 3,
        "reads": 2,
        "writes": 1,
        "updates": 1,
        "bus_turnarounds": 2,
    }


def test_counts_of_a_refresh():
    """An open row is closed for the refresh and a miss after it; with all banks closed there is nothing to close."""
    requests = [(at(), READ, 0), (at(column=1), READ, D.nREFI)]
    assert counted(requests, refresh=True) == {
        "activates": 2,
        "precharges_all": 1,
        "refreshes": 1,
        "row_misses": 2,
        "reads": 2,
    }
    assert counted([(at(), READ, D.nREFI)], refresh=True) == {
        "activates": 1,
        "refreshes": 1,
        "row_misses": 1,
        "reads": 1,
    }
