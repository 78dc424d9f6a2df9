"""The whole event log of a tiny run, byte for byte: any change of what happens, or when, shows up as a diff.

After an intended change, write the file again and review its diff:

    python tests/golden/test_event_log.py
"""

import sys
from pathlib import Path

import pytest

from t3sim.lowering.work import lower
from t3sim.observe import EventLog
from t3sim.registry import get
from t3sim.simulation import load_system
from t3sim.simulation.lab import SystemLab
from t3sim.simulation.plans import plans_of
from t3sim.workload import Collective, Gemm, Trace

FOLDER = Path(__file__).parent
# Two CUs make stages of two workgroups, and a tracker of two sets and one way makes updates wait for an entry.
# The rest are round numbers of our own, so that the paper's system can be described better without a new log.
SYSTEM = (
    "compute.cus=2",
    "compute.collective_cus=2",
    "compute.collective_outstanding_per_cu=256 KiB",
    "compute.sustained_fraction=1.0",
    "compute.launch_overhead=0 ns",
    "compute.store_buffer=64 KiB",
    "memory.efficiency=1.0",
    "memory.queue_entries=16",
    "memory.read_latency=300 ns",
    "memory.update_cost=2.0",
    "memory.turnaround=5 ns",
    "memory.stream_switch=1 ns",
    "llc.hit_latency=100 ns",
    "tracker.entries=2",
    "tracker.ways=1",
    "link.direction=per_direction",
    "link.bandwidth=75 GB/s",
    "link.latency=500 ns",
)
NAMES = {"phase": "forward", "sublayer": "op", "dtype": "fp16"}
# Two full GPUs, where nothing is forwarded; and one that stands for three, where tracker and DMA do their work.
GOLDEN = {"t3_two_gpus.log": (2, "all"), "t3_mirror_of_three.log": (3, "mirror")}
SCHEMES = ("sequential", "t3", "t3-mca", "ideal-overlap", "ideal-overlap-nmc")


def outcome_of(scheme, gpus, simulated, observe=None):
    """Run a GEMM of two output tiles a GPU, its reduce-scatter and its all-gather."""
    rows, columns = 128 * gpus, 256
    nbytes = rows * columns * 2
    trace = Trace(
        model="tiny",
        tp=gpus,
        operations=(
            Gemm(id="gemm", M=rows, N=columns, K_local=64, **NAMES),
            Collective(op="reduce_scatter", id="rs", bytes=nbytes, after=("gemm",), **NAMES),
            Collective(op="all_gather", id="ag", bytes=nbytes, after=("rs",), **NAMES),
        ),
    )
    system = load_system("t3-paper-published", SYSTEM).spec
    works = lower(trace.sublayers()[0], system.gemm, system.compute.collective_slice, plans_of(system, gpus))
    return get("scheme", scheme)().simulate(SystemLab(system, gpus, simulated, observe), works)


def logged(scheme, gpus, simulated):
    """Run with an event log: what it costs, and the text of the log."""
    logs: list[EventLog] = []
    outcome = outcome_of(scheme, gpus, simulated, observe=lambda machine: logs.append(EventLog(machine)))
    return outcome, "".join(log.text() for log in logs)


@pytest.mark.parametrize("name", GOLDEN)
def test_log_equals_the_golden_file(name):
    """GPUs under T3 do exactly what they did when the file was reviewed, at the same femtoseconds."""
    assert logged("t3", *GOLDEN[name])[1].encode() == (FOLDER / name).read_bytes()


@pytest.mark.parametrize("case", GOLDEN.values(), ids=GOLDEN)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_log_changes_nothing(scheme, case):
    """A run that is watched ends at the same femtosecond, with the same spans and bytes, as one that is not."""
    outcome, text = logged(scheme, *case)
    assert text
    assert outcome == outcome_of(scheme, *case)


def test_log_is_the_same_twice():
    """The order of events at equal times does not depend on anything but the input."""
    assert logged("t3-mca", 2, "all")[1] == logged("t3-mca", 2, "all")[1]


@pytest.mark.parametrize("name", GOLDEN)
def test_log_tells_the_story_of_track_and_trigger(name):
    """Time never runs back; every tracked tile fires once, and every tile of a middle chunk triggers its DMA."""
    gpus, simulated = GOLDEN[name]
    lines = [line.split() for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()]
    times = [int(line[0]) for line in lines]
    assert times == sorted(times)
    for index in range(1 if simulated == "mirror" else gpus):
        fired = [rest for _, part, event, *rest in lines if [part, event] == [f"Gpu[{index}].Tracker", "fire"]]
        tracked = [[f"tile={tile}"] for tile in range(2, 2 * gpus)]
        assert sorted(fired) == tracked
        triggers = [line for line in lines if line[1:3] == [f"Gpu[{index}].Dma", "trigger"]]
        assert len(triggers) == 2 * (gpus - 2)


if __name__ == "__main__":
    for log_name, golden_case in GOLDEN.items():
        (FOLDER / log_name).write_text(logged("t3", *golden_case)[1], encoding="utf-8", newline="\n")
        sys.stderr.write(f"wrote {FOLDER / log_name}\n")
