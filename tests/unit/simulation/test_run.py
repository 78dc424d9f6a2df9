"""From names of files to a result."""

import platform

import pytest

import t3sim
from t3sim.errors import InputError
from t3sim.simulation import load_system, simulate

TRACE = """\
format: t3sim-trace
version: 1
model: toy
tp: 2
operations:
  - {id: a.gemm, op: gemm,       phase: forward,  sublayer: a, M: 256, N: 128, K_local: 64, dtype: fp16}
  - {id: a.ar,   op: all_reduce, phase: forward,  sublayer: a, bytes: 65536 B, dtype: fp16, after: [a.gemm]}
  - {id: b.gemm, op: gemm,       phase: backward, sublayer: b, M: 256, N: 128, K_local: 96, dtype: fp16, after: [a.ar]}
  - {id: b.ar,   op: all_reduce, phase: backward, sublayer: b, bytes: 65536 B, dtype: fp16, after: [b.gemm]}
"""


@pytest.fixture
def trace(tmp_path):
    """Give a small trace as a file."""
    path = tmp_path / "toy.yaml"
    path.write_text(TRACE, encoding="utf-8")
    return path


def refusal(*arguments, **options):
    with pytest.raises(InputError) as refused:
        simulate(*arguments, **options)
    return str(refused.value)


def test_everything_is_simulated_by_default(trace):
    """Without a choice, all sublayers run under all schemes, sublayer by sublayer."""
    result = simulate(trace)
    assert len(result.rows) == 2 * 5
    assert [row["sublayer"] for row in result.rows] == ["a"] * 5 + ["b"] * 5
    assert not result.failed


def test_choices_are_kept_in_order(trace):
    """Sublayers and schemes come in the order asked for, each once."""
    result = simulate(trace, sublayers=["b", "a", "b"], schemes=["t3", "sequential"])
    assert [(row["sublayer"], row["scheme"]) for row in result.rows] == [
        ("b", "t3"),
        ("b", "sequential"),
        ("a", "t3"),
        ("a", "sequential"),
    ]


@pytest.fixture
def both_phases(tmp_path):
    """Give a trace with a sublayer of one name in each phase, and another between them."""
    path = tmp_path / "both.yaml"
    names = {"sublayer: b": "sublayer: c", "phase: forward,  sublayer: a": "phase: forward,  sublayer: b"}
    text = TRACE
    for old, new in names.items():
        text = text.replace(old, new)
    more = (
        "  - {id: d, op: gemm, phase: backward, sublayer: b, M: 256, N: 128, K_local: 64, dtype: fp16, after: [b.ar]}"
    )
    path.write_text(f"{text}{more}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ([], ["forward b", "backward c", "backward b"]),
        (["b"], ["forward b", "backward b"]),
        (["backward/b", "c"], ["backward b", "backward c"]),
    ],
)
def test_a_phase_can_be_asked_for(both_phases, wanted, found):
    """A name is that of both its phases; with its phase it is one; without a choice, the trace's order is kept."""
    rows = simulate(both_phases, sublayers=wanted, schemes=["sequential"]).rows
    assert [f"{row['phase']} {row['sublayer']}" for row in rows] == found
    assert len({row["point_id"] for row in rows}) == len(found)


def test_progress_and_notes_say_the_phase(both_phases):
    """What is said of a point of a name in both phases says which one it is."""
    steps = []
    result = simulate(both_phases, schemes=["t3"], progress=lambda *step: steps.append(step[2]))
    assert steps == ["toy tp2 forward/b", "toy tp2 c", "toy tp2 backward/b", "done"]
    assert [note.partition(":")[0] for note in result.manifest["notes"]] == ["toy tp2 backward/b"]


def test_paths_may_be_text_or_path(trace):
    """A trace and a system are found by path, whichever way it is written."""
    system = load_system().path
    first = simulate(str(trace), system=str(system), schemes=["t3"])
    second = simulate(trace, system=system, schemes=["t3"])
    assert first.rows[0]["total_us"] == second.rows[0]["total_us"]


def test_overrides_change_the_result(trace):
    """An override reaches the simulation, and the hash of the configuration shows it."""
    plain = simulate(trace, schemes=["sequential"]).rows[0]
    slow = simulate(trace, schemes=["sequential"], overrides=["link.latency=600 ns"]).rows[0]
    # One step of the reduce-scatter and one of the all-gather, 100 ns more each.
    assert slow["total_us"] == pytest.approx(plain["total_us"] + 0.2)
    assert slow["config_hash"] != plain["config_hash"]


def test_all_gpus_can_be_simulated(trace):
    """With the TP degree as the number of GPUs the full ring runs, to the same times."""
    mirror = simulate(trace, schemes=["t3-mca"], system="t3-paper-published")
    ring = simulate(trace, schemes=["t3-mca"], gpus="2", system="t3-paper-published")
    assert [row["topology"] for row in ring.rows] == ["ring", "ring"]
    assert [row["total_us"] for row in ring.rows] == [row["total_us"] for row in mirror.rows]


def test_progress_is_reported(trace):
    """Progress names each point before it runs, and ends with all done."""
    steps = []
    simulate(trace, schemes=["t3"], progress=lambda *step: steps.append(step))
    assert steps == [(0, 2, "toy tp2 a"), (1, 2, "toy tp2 b"), (2, 2, "done")]


def test_the_manifest_says_what_made_the_result(trace):
    """Versions, the hash of the system and the seed are beside the rows."""
    manifest = simulate(trace, schemes=["t3"]).manifest
    assert manifest["t3sim"] == t3sim.__version__
    assert manifest["python"] == platform.python_version()
    assert manifest["systems"] == {"t3-paper": load_system().config_hash}
    assert {"simpy", "numpy", "numba"} <= set(manifest["libraries"])
    assert manifest["seed"] == 0


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"schemes": ["t3", "t4"]}, ("--scheme", "'t4'", "sequential", "t3-mca")),
        ({"sublayers": ["c"]}, ("--sublayer", "'c'", "known: a, b")),
        ({"gpus": "3"}, ("--gpus", "'3'", "mirror", "2")),
        ({"gpus": "ring"}, ("--gpus", "'ring'", "mirror", "2")),
        ({"gpus": "-2"}, ("--gpus", "'-2'", "mirror")),
        ({"system": "t3-papr"}, ("t3-papr", "t3-paper")),
        ({"overrides": ["memory.size=1"]}, ("--set", "memory.size", "unknown key")),
    ],
)
def test_what_cannot_be_is_refused(trace, options, parts):
    """A choice that does not exist is refused in one line with those that do."""
    text = refusal(trace, **options)
    assert len(text.splitlines()) == 1
    assert not [part for part in parts if part not in text], text


def test_all_unknown_names_are_refused_at_once(trace):
    """Two unknown schemes are two lines."""
    assert len(refusal(trace, schemes=["x", "y"]).splitlines()) == 2


def test_an_unknown_trace_is_refused(tmp_path):
    """A name that is not shipped is refused with the likeliest ones first, and a path that is not there as such."""
    assert "t-nlg-tp8" in refusal("t-nlg-tp9")
    assert f"{tmp_path}/none.yaml: no such file" in refusal(tmp_path / "none.yaml")
