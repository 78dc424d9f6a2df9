"""The fluid memory's costs: derived from the banked memory that it follows, and in bounds that JEDEC's timings set."""

import pytest

from t3sim.hardware.memory.banked.dram.spec import load_dram
from t3sim.hardware.memory.fluid.costs import costs_of
from t3sim.hardware.memory.fluid.spec import FluidSpec
from t3sim.hardware.memory.fluid.tables import FOREVER

FS_PER_CYCLE = 10**6  # HBM2 at 1 GHz


@pytest.fixture(scope="module")
def hbm2(hbm2_banks):
    """Give what requests cost on the shipped HBM2."""
    return costs_of(hbm2_banks())


def test_reads_and_writes_of_one_kind_go_at_the_rate_of_the_bus(hbm2):
    """Enough banks hide the rows: an access takes little more than its burst of two cycles."""
    assert 2 <= hbm2.read < 2.05
    assert 2 <= hbm2.write < 2.05


def test_an_update_costs_more_than_a_write_and_less_than_its_bank_group(hbm2):
    """It keeps its group for 8 cycles, in which the three others go on."""
    assert hbm2.write < hbm2.update < 8


def test_a_turn_costs_at_least_the_bus(hbm2):
    """RD to WR is 13 cycles and WR to RD 5 + 2 + 6, of which 2 are the burst; rows that are opened anew cost more."""
    assert 11 < hbm2.turn < 40


def test_a_refresh_costs_its_time_and_the_rows(hbm2):
    """All banks are closed and opened again, at most a row cycle before and after its 260 cycles."""
    assert 260 < hbm2.refresh < 260 + 2 * 48


def test_data_come_after_the_command(hbm2):
    """A read on an idle channel takes at least nCL + nBL to its data, a write nCWL + nBL to the end of its own."""
    assert 14 + 2 < hbm2.read_after < 14 + 2 + 48
    assert hbm2.write_after == 5 + 2


def test_requests_overtake_less_than_the_queue_holds(hbm2):
    """What goes before the last request of a burst is in the queue with it."""
    assert 0 < hbm2.late_writes < 64
    assert 0 < hbm2.late_reads < 64


def test_in_order_nothing_comes_late_and_turns_cost_more(hbm2, hbm2_banks):
    """A scheduler that serves in order of arrival lets nothing overtake, and cannot gather reads from writes' rows."""
    in_order = costs_of(hbm2_banks(scheduler="fcfs"))
    assert (in_order.late_reads, in_order.late_writes) == (0, 0)
    assert in_order.read > hbm2.read


def test_slower_updates_cost_more(hbm2, hbm2_banks):
    """With its bank group busy for 16 cycles an update costs more; reads, writes and turns cost the same."""
    slow = load_dram("hbm2").spec.model_copy(update={"nCCDWL": 16})
    costs = costs_of(hbm2_banks(dram=slow))
    assert costs.update > 1.2 * hbm2.update
    assert (costs.read, costs.write, costs.turn) == (hbm2.read, hbm2.write, hbm2.turn)


def test_without_refreshes_nothing_is_refreshed(hbm2_banks):
    """Then the server is never taken from requests."""
    memory = FluidSpec(memory=hbm2_banks(refresh=False))
    times = memory.service_times()
    assert (times.refresh, times.refresh_after) == (0, FOREVER)


def test_times_are_costs_in_cycles_of_the_clock(hbm2, hbm2_banks):
    """A request takes its cycles; a request is an access on each of 32 channels."""
    times = FluidSpec(memory=hbm2_banks()).service_times()
    assert times.granule == 32 * 64
    assert times.read == round(hbm2.read * FS_PER_CYCLE)
    assert times.update == round(hbm2.update * FS_PER_CYCLE)
    assert times.to_read == times.to_write == round(hbm2.turn * FS_PER_CYCLE)
    assert times.refresh_after == 3900 * FS_PER_CYCLE


def test_queues_are_those_of_the_memory_that_it_follows(hbm2_banks):
    """Entries, watermarks (more than 0.8 x 64, less than 0.2 x 64) and paths; one request a cycle."""
    memory = FluidSpec(memory=hbm2_banks(path_entries=8, read_entries=16))
    rules = memory.queues()
    assert (rules.read_entries, rules.write_entries, rules.path_entries) == (16, 64, 8)
    assert (rules.drain_from, rules.drain_to, rules.least_reads) == (52, 13, 16)
    assert rules.cycle == FS_PER_CYCLE
    assert memory.queue_entries == 16 + 64


def test_channels_are_lost_by_the_memory_that_it_follows(hbm2_banks):
    """With half the channels there is half the rate and half the granule."""
    whole = FluidSpec(memory=hbm2_banks())
    half = whole.without_channels(16)
    assert (half.granule, half.peak_bytes_per_s) == (whole.granule // 2, whole.peak_bytes_per_s // 2)
    with pytest.raises(ValueError, match="none of 32 channels is left"):
        whole.without_channels(32)
