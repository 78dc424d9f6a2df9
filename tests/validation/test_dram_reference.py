"""One DRAM channel against runs of another simulator (Ramulator 2.1)."""

import pytest

from t3sim.validation.dram import SHIPPED, DramChannel
from t3sim.validation.dram_table import load_table

BANDWIDTH, LATENCY = 0.03, 0.10  # as promised
IN_CI = 8
"""Every so many rows are run in each test run; all of them under `campaign`."""


def errors(runs):
    table = load_table(SHIPPED)._replace(runs=runs)
    return {(item.group, item.case, item.quantity): item.error for item in DramChannel(table).compare()}


def outside(found):
    bound = {"bandwidth_gbps": BANDWIDTH, "read_latency_ns": LATENCY}
    return {key: error for key, error in found.items() if abs(error) > bound[key[2]]}


def test_every_eighth_run_agrees():
    """Bandwidth within 3%, mean read latency within 10%."""
    runs = load_table(SHIPPED).runs[::IN_CI]
    assert len(runs) > 15
    assert not outside(errors(runs))


@pytest.mark.campaign
def test_all_runs_agree():
    """The same for every run; those of HBM2 to the printed digits, which leave 0.3% at the lowest latency."""
    runs = load_table(SHIPPED).runs
    found = errors(runs)
    assert len({run.stream for run in runs}) > 25
    assert not outside(found)
    assert max(abs(error) for (group, _, _), error in found.items() if group.startswith("hbm2")) < 0.003
