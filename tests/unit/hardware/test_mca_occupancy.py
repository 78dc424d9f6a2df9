"""What MCA counts against its threshold in a banked memory."""

import pytest

from t3sim.hardware.memory.arbitration.mca import Mca
from t3sim.hardware.memory.banked.mappings.ro_ba_co import RoBaCo
from t3sim.lowering.layout import linear

CYCLE, ACCESS = 10**6, 64  # fs; bytes
ROW = 32 << 10  # from one row of a bank to its next
COMPUTE_READS, COMPUTE_WRITES, COMMUNICATION_READS = 0, 1, 2


@pytest.mark.parametrize(("threshold", "entered"), [(1, 0), (2, 1), (3, 2), (5, 4), (None, 10)])
def test_writes_held_before_the_port_do_not_count(banked_channels, hbm2_banks, threshold, entered):
    """Only the read and the write queue count: neither what waits before them nor what a row is open for.

    All requests are of one bank, in rows of their own, so that after the first one's ACT nothing leaves the queues
    before its RD, 14 cycles later. The first, a read, has left them. Of ten writes one is in its queue; the others are
    held before the port, by a drain while the channel holds a read, and as one more would start a drain. So reads of
    communication enter until there are ``threshold`` in all.
    """
    spec = hbm2_banks(
        channels=1, channel_hash=False, address_mapping=RoBaCo(), refresh=False, write_entries=2, drain_from=0.5
    )
    memory = banked_channels(spec, Mca(occupancy=threshold))
    lanes = (COMPUTE_READS, *[COMPUTE_WRITES] * 10, *[COMMUNICATION_READS] * 10)
    for row, lane in enumerate(lanes):
        memory.push(lane, ACCESS, 0, linear(row * ROW, ACCESS))
    memory.admit(0)
    memory.advance(14 * CYCLE)
    entered_by_lane = memory.channel._state(0).lanes["head"].tolist()
    assert entered_by_lane == [1, 1, entered, 0]
    assert memory.channel.occupancy() == 1 + entered
