"""Counters in bins, against records written by hand."""

from types import SimpleNamespace

import pytest

from t3sim.observe.counters import bin_width_fs, counters
from t3sim.observe.recorder import DramSample, GpuRecord, Packet, TrackerSample

US = 10**9
NOTHING = (0, 0, 0, 0, 0, 0)


def record(**parts):
    return GpuRecord(SimpleNamespace(spans=[], index=0), **parts)


def values(gpu, name, end_fs):
    counter = next(each for each in counters(gpu, end_fs) if each.name == name)
    return {series: dict(zip(counter.starts_fs, column, strict=True)) for series, column in per_series(counter)}


def per_series(counter):
    return zip(counter.series, zip(*counter.values, strict=True), strict=True)


def test_bins_are_whole_us_and_few():
    """A short run has bins of 1 us, a long one wider ones."""
    assert bin_width_fs(1) == bin_width_fs(4000 * US) == US
    assert bin_width_fs(4000 * US + 1) == 2 * US
    assert bin_width_fs(10 * US, most_bins=3) == 4 * US


def test_dram_bytes_are_spread_over_the_time_between_samples():
    """3000 B of reads served evenly over 1.5 us are 2 GB/s in the first us and 1 GB/s in the second."""
    gpu = record(dram=[DramSample(0, NOTHING, 0), DramSample(3 * US // 2, (3000, 0, 0, 0, 0, 0), 0)])
    found = values(gpu, "DRAM GB/s", 3 * US)
    assert found["gemm read"] == {0: pytest.approx(2), US: pytest.approx(1), 2 * US: 0}
    assert set(found["ag write"].values()) == {0}


def test_link_bytes_count_while_on_the_wire_and_when_they_arrive():
    """A packet that is on the wire from 0.5 to 1.5 us and arrives 1 us later is half in each of two bins."""
    packet = Packet(0, 0, 2000, -1, 0, 0, wire_start_fs=US // 2, wire_end_fs=3 * US // 2, delivered_fs=5 * US // 2)
    found = values(record(packets=[packet], received=[packet]), "link GB/s", 4 * US)
    assert found["out"] == {0: pytest.approx(1), US: pytest.approx(1), 2 * US: 0, 3 * US: 0}
    assert found["in"] == {0: 0, US: pytest.approx(1), 2 * US: pytest.approx(1), 3 * US: 0}


def test_entries_show_the_most_of_each_bin():
    """A bin shows the most entries that were in use in it, also those that a bin before left there."""
    samples = [(0, 1), (US // 2, 7), (US - 1, 2), (3 * US + 1, 5), (3 * US + 2, 0)]
    tracker = [TrackerSample(time, entries, 3 * entries) for time, entries in samples]
    dram = [DramSample(time, NOTHING, entries) for time, entries in samples]
    gpu = record(tracker=tracker, dram=dram)
    expected = {0: 7, US: 2, 3 * US: 5, 4 * US: 0}
    assert values(gpu, "tracker entries", 5 * US)["entries"] == expected
    assert values(gpu, "DRAM queue entries", 5 * US)["entries"] == expected
    waiting = {time: 3 * entries for time, entries in expected.items()}
    assert values(gpu, "updates waiting for a tracker entry", 5 * US)["updates"] == waiting
