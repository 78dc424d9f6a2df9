"""Where bank-level memory finds the tiles of track and trigger: worked out from rows of the data plane."""

from collections import defaultdict

import pytest

from t3sim.compiled import compiled
from t3sim.hardware.memory.banked.engine import MODEL
from t3sim.hardware.memory.controller import MemoryController
from t3sim.hardware.plane.places import located
from t3sim.hardware.plane.plane import plane_of
from t3sim.hardware.plane.state import opened_as
from t3sim.hardware.plane.trigger_state import COMMAND_READ, STORED, SUM_READ, SUMMED, TILE_LANDED
from t3sim.hardware.probe import Probe
from t3sim.schemes.t3 import fused_phases
from t3sim.simulation.lab import SystemLab

BANKED = "memory={extends: banked-hbm2}"
GPUS, SHAPE = 4, (256, 64, 32)
OUTPUT = SHAPE[0] * SHAPE[1] * 2
CHUNK = OUTPUT // GPUS
opened = opened_as(MODEL)


@compiled
def _where(where, number, kind, a, b):
    return located(opened(where), number, kind, a, b)


@pytest.fixture
def touched(tiny_system, pair, lowered, monkeypatch):
    """Give a function that runs T3 on all GPUs: by GPU and kind of burst, the bytes that each of its bursts touches."""

    def run(*settings):
        found = defaultdict(list)
        tell = MemoryController.tell_submitted

        def noting(self, lane, number):
            burst = self.channel.burst(lane, number)
            plane, kind = plane_of(self.env), int(burst["kind"])
            first, count, more = _where(plane.address, self.number, kind, int(burst["a"]), int(burst["b"]))
            rows = plane.rows("regions")[first : first + count]
            spans = [
                (int(row["address"]) + more + index * int(row["stride"]), int(row["nbytes"]))
                for row in rows
                for index in range(int(row["rows"]))
            ]
            assert sum(size for _, size in spans) == int(burst["nbytes"])
            found[self.number, kind].append({byte for start, size in spans for byte in range(start, start + size)})
            tell(self, lane, number)

        monkeypatch.setattr(MemoryController, "tell_submitted", noting)
        system = tiny_system(BANKED, *settings)
        lab = SystemLab(system, GPUS, "all", lambda machine: machine.observe(Probe()))
        lab.run(fused_phases(lowered(system, pair(GPUS, SHAPE)), system.track_trigger), "t3")
        return found

    return run


def one(bursts, nbytes):
    """Put what bursts touch together: nothing twice, and so many bytes."""
    union = set().union(*bursts)
    assert len(union) == sum(map(len, bursts)) == nbytes
    return union


@pytest.mark.parametrize("tiles", [1, 3])
def test_updates_meet_and_commands_read_what_they_make(touched, tiles):
    """On a ring of 4 local and incoming updates touch the same three chunks; two of these are read to be sent on."""
    found = touched(f"track_trigger.tiles_per_command={tiles}")
    for gpu in range(GPUS):
        local, incoming = one(found[gpu, STORED], 3 * CHUNK), one(found[gpu, TILE_LANDED], 3 * CHUNK)
        assert local == incoming
        assert one(found[gpu, COMMAND_READ], 2 * CHUNK) < local
        assert not found[gpu, SUM_READ]


def test_without_near_memory_compute_copies_lie_beside(touched):
    """What comes is stored apart from what the GPU has; both are read to be summed, and the sum goes over its own."""
    found = touched("track_trigger.near_memory=false")
    for gpu in range(GPUS):
        local, incoming = one(found[gpu, STORED], 3 * CHUNK), one(found[gpu, TILE_LANDED], 3 * CHUNK)
        assert not local & incoming
        assert one(found[gpu, SUM_READ], 6 * CHUNK) == local | incoming
        assert one(found[gpu, SUMMED], 3 * CHUNK) == local
        assert one(found[gpu, COMMAND_READ], 2 * CHUNK) < local
