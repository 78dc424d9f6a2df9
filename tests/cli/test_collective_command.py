"""``t3sim collective``: what it prints, what it refuses, and how its figures hang together."""

import csv
import io
import json

import pytest

from t3sim.collectives.plan import Operation
from t3sim.collectives.planning import algorithms_for
from t3sim.hardware.network.topologies import KIND as TOPOLOGY
from t3sim.registry import names
from t3sim.simulation import load_system

# The contract with scripts; there may be more keys.
COLUMNS = {
    "op",
    "algorithm",
    "topology",
    "gpus",
    "bytes",
    "time_us",
    "algbw_gbps",
    "busbw_gbps",
    "wire_bytes_max",
    "link_util",
    "bound",
    "data_errors",
}
# Of the buffer's bytes, as nccl-tests' doc/PERFORMANCE.md gives it, for 8 GPUs.
FACTORS = {
    "all_reduce": 14 / 8,
    "reduce_scatter": 7 / 8,
    "all_gather": 7 / 8,
    "all_to_all": 7 / 8,
    "broadcast": 1,
    "send": 1,
}
H100 = ("--system", "h100-sxm")
LINKS = ("--set", "link.bandwidth=100 GB/s", "--set", "link.direction=per_direction", "--set", "link.latency=1 us")
NIC = "{bandwidth: 25 GB/s, direction: per_direction, latency: 2 us, send_buffer: 1 MiB, receive_buffer: 1 MiB}"
SLOW = "{reduces: true, multicasts: true, adder_rate: 10 GB/s, entries: 1024}"
ADDING = "{reduces: true, multicasts: true, adder_rate: 1 TB/s, entries: 1024}"


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def rows(document):
    """Give a function that runs ``t3sim collective`` and returns its rows, without asking what binds them."""
    return lambda *arguments: document("collective", *arguments, "--no-bound")["rows"]


@pytest.fixture
def refused(t3sim):
    """Give a function that runs what is refused with one message, and returns it."""

    def run(*arguments):
        result = t3sim("collective", *arguments)
        assert (result.code, result.out) == (2, "")
        (line,) = result.err.splitlines()
        return line.removeprefix("error: ")

    return run


def test_json_is_one_document(document):
    """Stdout holds rows with the keys of the contract, and what made them; without --data nothing was compared."""
    found = document("collective", "all_reduce", "--bytes", "1MiB:4MiB:x2", "--gpus", 4)
    assert list(found) == ["rows", "manifest"]
    assert all(row.keys() >= COLUMNS for row in found["rows"])
    assert [row["bytes"] for row in found["rows"]] == [2**20, 2**21, 2**22]
    assert {(row["op"], row["algorithm"], row["topology"], row["gpus"]) for row in found["rows"]} == {
        ("all_reduce", "ring", "ring", 4)
    }
    assert {row["data_errors"] for row in found["rows"]} == {None}
    assert found["manifest"]["systems"] == {"t3-paper": load_system().config_hash}
    assert found["manifest"]["command"].startswith("t3sim collective all_reduce --bytes 1MiB:4MiB:x2")


def test_csv_and_json_say_the_same(t3sim, document):
    """The CSV has a line a size, with the values of the JSON."""
    options = ("collective", "all_gather", "--bytes", "1MiB:2MiB:x2", "--gpus", 4)
    lines = table(t3sim(*options, "--format", "csv").out)
    found = document(*options)["rows"]
    assert [line.keys() for line in lines] == [row.keys() for row in found]
    expected = [{name: "" if value is None else str(value) for name, value in row.items()} for row in found]
    assert lines == expected


def test_the_table_is_that_of_nccl_tests(t3sim):
    """A person gets sizes, times, both bandwidths and wrong elements, then the busiest link and what binds."""
    result = t3sim("collective", "all_reduce", "--bytes", "1MiB", "--gpus", 4)
    assert result.code == 0
    for word in ("size B", "time us", "algbw", "busbw", "#wrong", "wire B", "link util", "bound", "1048576", "N/A"):
        assert word in result.out
    assert "all_reduce, ring on ring, 4 GPUs; system t3-paper" in result.out


@pytest.mark.parametrize(("operation", "factor"), FACTORS.items())
def test_bandwidths(rows, operation, factor):
    """Algorithm bandwidth is bytes over time; bus bandwidth is that times nccl-tests' factor."""
    (row,) = rows(operation, "--bytes", "8 MB", "--gpus", 8)
    assert row["algbw_gbps"] == pytest.approx(8e6 / row["time_us"] / 1e3)
    assert row["busbw_gbps"] == pytest.approx(row["algbw_gbps"] * factor)


@pytest.mark.parametrize(("operation", "factor"), FACTORS.items())
def test_bus_bandwidth_is_what_a_port_carries(rows, operation, factor):
    """Through one port each, with nothing but the wire in the way, the port's rate is the bus bandwidth.

    A broadcast is left to a ring of ports; the last of its slices has six more hops to go.
    """
    (row,) = rows(operation, "--bytes", "64 MB", "--gpus", 8, "--topology", "switch", "--free-memory", *LINKS)
    assert row["busbw_gbps"] == pytest.approx(100, rel=0.04)
    assert row["busbw_gbps"] < 100
    assert row["wire_bytes_max"] == pytest.approx(64e6 * factor)
    assert row["link_util"] == pytest.approx(row["busbw_gbps"] / 100)


def test_free_memory_leaves_the_closed_form(rows):
    """With memory and launches free a ring takes (n-1)/n S/B + (n-1) L; on a system with protocols too."""
    for system in ("t3-paper", "h100-sxm", "t3-paper-banked"):
        options = ("--bytes", "16 MB", "--gpus", 8, "--system", system, "--topology", "ring", "--free-memory", *LINKS)
        (row,) = rows("reduce_scatter", *options, "--set", "link.efficiency=1.0")
        assert row["time_us"] == pytest.approx(7 / 8 * 160 + 7, rel=1e-4)
    (real,) = rows("reduce_scatter", *options[:4], *LINKS)
    assert real["time_us"] > row["time_us"]


def test_hyphens_do(rows):
    """An operation may be written as nccl-tests or as traces write it."""
    assert rows("all-to-all", "--bytes", "1MiB", "--gpus", 4) == rows("all_to_all", "--bytes", "1MiB", "--gpus", 4)


@pytest.mark.parametrize(
    ("text", "sizes"),
    [("1MiB", [2**20]), ("1 kB:9kB:x3", [1000, 3000, 9000]), ("1KiB:7KiB:x2", [1024, 2048, 4096]), ("5B:5B:x2", [5])],
)
def test_sizes(rows, text, sizes):
    """A size, or a range in which each is a multiple of the one before, as far as the end; the end is included."""
    assert [row["bytes"] for row in rows("send", "--bytes", text, "--gpus", 2)] == sizes


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1048576", "has no unit"),
        ("0 B", "a buffer needs at least one byte"),
        ("many", "is not a size"),
        ("1MiB:1GiB", "is neither a size nor a range FROM:TO:xSTEP"),
        ("1MiB:1GiB:2", "'2' is no step; write a factor, as in x2"),
        ("1MiB:1GiB:x", "is no step"),
        ("1MiB:1GiB:x1", "never gets to the end"),
        ("1GiB:1MiB:x2", "the range ends before it begins"),
        ("1MiB:2XB:x2", "has an unknown unit"),
        ("", "is not a size"),
    ],
)
def test_sizes_that_are_none(refused, text, reason):
    """What is no size says why, naming the option."""
    line = refused("send", "--bytes", text, "--gpus", 2)
    assert line.startswith("--bytes: ")
    assert reason in line


@pytest.mark.parametrize(
    ("options", "known"),
    [
        (("--topology", "toru"), names(TOPOLOGY)),
        (("--algorithm", "rong"), algorithms_for(Operation.ALL_GATHER)),
        (("--system", "t3-papr"), ("t3-paper",)),
    ],
)
def test_unknown_names(refused, options, known):
    """A name that is not known is refused with those that are."""
    line = refused("all_gather", "--bytes", "1MiB", "--gpus", 4, *options)
    assert options[1] in line
    assert all(name in line for name in known)


def test_an_unknown_operation(refused):
    """An operation that is not known is refused with those that are."""
    line = refused("gather", "--bytes", "1MiB", "--gpus", 4)
    assert all(operation.value in line for operation in Operation)


@pytest.mark.parametrize(
    ("operation", "gpus", "options", "reason"),
    [
        (
            "all_to_all",
            4,
            ("--algorithm", "ring"),
            "no algorithm for all_to_all, got 'ring' (known: direct, two-level)",
        ),
        ("all_reduce", 6, ("--algorithm", "halving-doubling"), "halving-doubling needs a power of two of ranks, not 6"),
        ("all_reduce", 4, ("--algorithm", "torus"), "torus needs a grid of at least two dimensions, not (4,)"),
        ("all_reduce", 4, ("--algorithm", "in-switch"), "in-switch all_reduce needs a switch that reduces"),
        ("all_gather", 5, ("--topology", "torus", "--set", "topology.shape=[2, 2]"), "a torus of 2 x 2 holds 4 GPUs"),
        ("all_gather", 4, ("--set", "link.bandwidth=fast"), "link.bandwidth"),
        ("all_gather", 4, ("--bytes", "1000 TiB"), "makes more than 4194304 slices"),
        ("all_gather", 4, ("--data-dtype", "fp8"), "sums are not rounded to this"),
    ],
)
def test_what_does_not_fit_is_refused(refused, operation, gpus, options, reason):
    """Where algorithm, network, system and size do not go together, one line says why."""
    assert reason in refused(operation, "--bytes", "1MiB", "--gpus", gpus, *options)


@pytest.mark.parametrize("gpus", ["0", "-1", "65537", "mirror"])
def test_gpus_out_of_range(t3sim, gpus):
    """The number of GPUs is a number from 1 on."""
    result = t3sim("collective", "all_gather", "--bytes", "1MiB", "--gpus", gpus)
    assert (result.code, result.out) == (2, "")
    assert "--gpus" in result.err


@pytest.mark.parametrize(
    ("options", "algorithms"),
    [
        ((), ("ring", "direct", "ring", "direct")),
        (("--topology", "switch"), ("ring", "direct", "ring", "direct")),
        (("--topology", "fully-connected"), ("direct",) * 4),
        (("--topology", "torus", "--set", "topology.shape=[2, 2]"), ("torus", "direct", "ring", "direct")),
        (
            ("--topology", "multi-node", "--set", "topology.nodes=2", "--set", f"topology.nic={NIC}"),
            ("hierarchical", "two-level", "ring", "direct"),
        ),
    ],
)
def test_without_an_algorithm_what_suits_the_network(rows, options, algorithms):
    """Rings on a ring, straight ways where there are some, and the algorithms that grids and nodes have."""
    operations = ("all_reduce", "all_to_all", "broadcast", "send")
    found = [rows(operation, "--bytes", "64KiB", "--gpus", 4, *options)[0]["algorithm"] for operation in operations]
    assert tuple(found) == algorithms


@pytest.mark.parametrize(("gpus", "shape"), [(4, "2 x 2"), (7, "1 x 7"), (8, "2 x 4"), (12, "3 x 4")])
def test_a_torus_without_a_shape_is_the_most_square(rows, t3sim, gpus, shape):
    """Rows and columns are as equal as they can be, and a note says so; with that shape in words it is the same.

    A prime number of GPUs is one row.
    """
    options = ("all_gather", "--bytes", "1MiB", "--gpus", gpus, "--topology", "torus")
    said = ("--set", f"topology.shape=[{shape.replace(' x ', ', ')}]")
    assert rows(*options) == rows(*options, *said)
    note = f"note: {gpus} GPUs are wired as a torus of {shape}; topology.shape says another"
    assert note in t3sim("collective", *options, "--no-bound").err
    assert "wired as" not in t3sim("collective", *options, *said, "--no-bound").err


def test_one_gpu_is_a_torus_of_one(rows, t3sim):
    """Alone it has no link and moves nothing, and there is nothing to say of its grid."""
    options = ("all_gather", "--bytes", "1MiB", "--gpus", 1, "--topology", "torus")
    assert rows(*options)[0]["wire_bytes_max"] == 0
    assert "wired as" not in t3sim("collective", *options).err


JITTER = ("--set", "conditions.kernel_start_jitter={distribution: normal, scale: 2 us}")


def test_every_seed_is_run(rows, t3sim):
    """A row is of the median of the seeds' own times, with the smallest and the largest beside it."""
    options = ("all_gather", "--bytes", "64KiB", "--gpus", 2, *JITTER)
    alone = sorted(rows(*options, "--set", f"conditions.seed={seed}")[0]["time_us"] for seed in range(3, 8))
    settings = ("--set", "conditions.seed=3", "--set", "conditions.seeds=5")
    (row,) = rows(*options, *settings)
    assert (row["seed"], row["seeds"]) == (3, 5)
    assert len(set(alone)) == 5
    assert [row[f"time_us{which}"] for which in ("", "_min", "_p50", "_p99")] == [alone[at] for at in (2, 0, 2, 4)]
    assert row["algbw_gbps"] == pytest.approx(2**16 / alone[2] / 1e3)
    shown = t3sim("collective", *options, *settings, "--no-bound").out
    assert "2 GPUs, 5 seeds" in shown
    assert all(f"{alone[at]:.2f}" in shown for at in (0, 2, 4))


def test_where_nothing_is_random_one_seed_is_run(rows, t3sim):
    """More seeds are asked for in vain: times are one, and the table says nothing of seeds."""
    options = ("all_gather", "--bytes", "64KiB", "--gpus", 2, "--set", "conditions.seeds=5")
    (row,) = rows(*options)
    assert (row["seeds"], row["time_us_min"], row["time_us_p99"]) == (1, row["time_us"], row["time_us"])
    shown = t3sim("collective", *options, "--no-bound").out
    assert "seeds" not in shown
    assert "p99" not in shown


def test_a_systems_own_topology_stays_as_it_is_described(rows, tmp_path):
    """Naming the kind of network that a system has anyway does not take away what its file says of it."""
    described = tmp_path / "adding.yaml"
    described.write_text(
        "format: t3sim-system\nversion: 1\nextends: t3-paper\nname: adding\n"
        f"topology: {{kind: switch, switch: {ADDING}}}\n",
        encoding="utf-8",
    )
    options = ("--bytes", "1MiB", "--gpus", 4, "--system", described, "--algorithm", "in-switch")
    assert rows("all_reduce", *options, "--topology", "switch") == rows("all_reduce", *options)


def test_a_switch_that_adds_moves_half_the_bytes(rows):
    """Of an all-reduce in the switch a port sends (1 + 1/n) S, of a ring 2 (n-1)/n S."""
    options = ("--bytes", "8 MB", "--gpus", 8, "--topology", "switch", "--set", f"topology.switch={ADDING}")
    (summed,) = rows("all_reduce", *options, "--algorithm", "in-switch")
    (ring,) = rows("all_reduce", *options)
    assert summed["wire_bytes_max"] == pytest.approx(9e6)
    assert ring["wire_bytes_max"] == pytest.approx(14e6)
    assert summed["time_us"] < ring["time_us"]


@pytest.mark.parametrize("operation", FACTORS)
@pytest.mark.parametrize(("gpus", "nbytes"), [(2, 1), (3, 2), (5, 3), (3, 1000003), (7, 65537)])
def test_tiny_and_uneven_buffers(rows, operation, gpus, nbytes):
    """Every buffer takes its latencies at least, whether it can be divided among the GPUs or not."""
    (row,) = rows(operation, "--bytes", f"{nbytes} B", "--gpus", gpus)
    assert row["time_us"] > 0.5
    assert 0 < row["link_util"] <= 1
    assert 0 < row["wire_bytes_max"] <= 2 * nbytes


def test_one_for_all_is_as_good_as_all(rows):
    """Simulating all GPUs gives the same figures where the buffer is cut evenly, from as many GPUs."""
    for operation in FACTORS:
        options = (operation, "--bytes", "1MiB", "--gpus", 4, "--system", "t3-paper-published")
        (mirror,), (every,) = rows(*options), rows(*options, "--simulate", "all")
        assert every.pop("gpus_simulated") == 4
        assert mirror.pop("gpus_simulated") == (4 if operation == "broadcast" else 1)
        assert every == mirror


def test_why_all_gpus_are_simulated(t3sim):
    """Where one GPU cannot stand for all, a note on stderr and in the manifest says why; not if all are asked for."""
    tree = ("collective", "all_reduce", "--bytes", "64KiB", "--gpus", 4, "--algorithm", "double-tree", "--no-bound")
    found = t3sim(*tree, "--format", "json")
    note = "all 4 GPUs are simulated, since double-tree gives every rank another part in the all_reduce"
    assert f"note: {note}" in found.err.splitlines()
    assert json.loads(found.out)["manifest"]["notes"] == [note]
    assert "note" not in t3sim(*tree, "--simulate", "all").err
    tiny = t3sim("collective", "all_gather", "--bytes", "2B:8B:x2", "--gpus", 4, "--no-bound", "--format", "json")
    assert json.loads(tiny.out)["manifest"]["notes"] == [
        "all 4 GPUs are simulated, since 2 B leave some of 4 parts of the all_gather empty"
    ]
    assert [row["gpus_simulated"] for row in json.loads(tiny.out)["rows"]] == [4, 1, 1]


def test_one_gpu_takes_its_launch(document):
    """Alone a GPU has nothing to send: a launch, and no bandwidth where that takes no time."""
    options = ("collective", "all_reduce", "--bytes", "1MiB", "--gpus", 1)
    (row,) = document(*options)["rows"]
    assert (row["time_us"], row["algbw_gbps"], row["wire_bytes_max"], row["bound"]) == (0, None, 0, None)
    (row,) = document(*options, "--set", "compute.launch_overhead=2 us")["rows"]
    assert (row["time_us"], row["busbw_gbps"], row["bound"]) == (2, 0, "latency")
    assert row["algbw_gbps"] == pytest.approx(2**20 / 2000)


@pytest.mark.parametrize(
    ("options", "bound"),
    [
        (("--bytes", "16MiB"), "link"),
        (("--bytes", "1KiB"), "latency"),
        (("--bytes", "16MiB", "--set", "link.bandwidth=10 TB/s", "--set", "link.receive_buffer=64 MiB"), "DRAM"),
        (("--bytes", "2MiB", "--set", "compute.collective_cus=8"), "CUs"),
        (
            (
                "--bytes",
                "16MiB",
                "--topology",
                "switch",
                "--algorithm",
                "in-switch",
                "--set",
                f"topology.switch={SLOW}",
            ),
            "switch",
        ),
    ],
)
def test_what_binds(document, options, bound):
    """Large buffers are bound by the slowest part, whichever is made slow; small ones by latency."""
    (row,) = document("collective", "reduce_scatter", "--gpus", 8, *options)["rows"]
    assert row["bound"] == bound


def test_nobody_asks_what_binds(rows):
    """With --no-bound nothing is run again, and nothing is said."""
    assert rows("all_gather", "--bytes", "1MiB", "--gpus", 4)[0]["bound"] is None


def test_out_has_everything_to_repeat_it(t3sim, document, tmp_path):
    """The folder holds the rows twice and the system, with which the same command gives the same rows."""
    out = tmp_path / "a"
    options = ("collective", "all_reduce", "--bytes", "1MiB", "--gpus", 4)
    result = t3sim(*options, "--topology", "fully-connected", "--out", out, "--format", "json")
    assert sorted(path.name for path in out.iterdir()) == ["results.csv", "run.json", "system.yaml"]
    assert json.loads((out / "run.json").read_text(encoding="utf-8")) == json.loads(result.out)
    assert table((out / "results.csv").read_text(encoding="utf-8"))[0]["bytes"] == "1048576"
    assert document(*options, "--system", out / "system.yaml")["rows"] == json.loads(result.out)["rows"]


def test_data_are_compared(document, t3sim):
    """With --data all GPUs hold numbers, none of them wrong; the times are those without."""
    for operation in FACTORS:
        options = ("collective", operation, "--bytes", "100003 B", "--gpus", 3, "--no-bound", "--simulate", "all")
        (plain,), (checked,) = document(*options)["rows"], document(*options, "--data")["rows"]
        assert checked.pop("data_errors") == 0
        assert plain.pop("data_errors") is None
        assert checked == plain
    rounded = document(*options[:1], "all_reduce", *options[2:], "--data-dtype", "bf16")
    assert 0 < rounded["rows"][0]["data_spread"] < 0.05
    assert "note: memories hold numbers (--data), for which all 3 GPUs are simulated" in t3sim(*options, "--data").err


def test_wrong_data_fail(t3sim, monkeypatch):
    """Wrong elements are counted in the table, named on stderr, and the exit code is 1."""
    from t3sim.execution.collective_kernel import CollectiveKernel  # noqa: PLC0415

    original = CollectiveKernel._sources
    monkeypatch.setattr(CollectiveKernel, "_sources", lambda *arguments: original(*arguments)[:1] * 2)
    result = t3sim("collective", "reduce_scatter", "--bytes", "64KiB", "--gpus", 2, "--data", "--no-bound")
    assert result.code == 1
    assert "failed: reduce_scatter 65536 B: " in result.err


def test_sizes_that_take_several_algorithms_name_theirs(t3sim):
    """On H100 small all-reduces are rings and large ones go through the switch: the table says which is which."""
    result = t3sim("collective", "all_reduce", "--bytes", "64KiB:2MiB:x32", "--gpus", "8", "--no-bound", *H100)
    lines = [line for line in result.out.splitlines() if line.startswith("│")]
    assert [line.split("│")[-2].strip() for line in lines] == ["ring", "in-switch"]
    assert "ring or in-switch" in result.out
