"""The axes of a sweep, and what is refused before anything runs."""

import pytest

from t3sim.errors import InputError
from t3sim.sweeps import load_sweep
from t3sim.sweeps.combinations import Combinations

BASE = {"system": "t3-paper-published", "model": "t-nlg", "tp": 8, "sublayer": "op", "scheme": "t3"}


def combinations(*axes, **more):
    return Combinations(load_sweep({"name": "x", "base": BASE, "axes": list(axes), **more}).spec)


def settings(of, *keys):
    return [tuple(combination.settings.get(key) for key in keys) for combination in of]


def refused(data):
    with pytest.raises(InputError) as error:
        load_sweep(data)
    return str(error.value)


def test_axes_multiply_and_the_last_varies_fastest():
    """Two axes make every pair, in the order of nested loops."""
    made = combinations(
        {"kind": "list", "key": "tokens", "values": [512, 1024]}, {"kind": "list", "key": "tp", "values": [4, 8]}
    )
    assert settings(made, "tokens", "tp") == [(512, 4), (512, 8), (1024, 4), (1024, 8)]
    assert made.columns == ("tokens",), "tp is a column of every result already"


def test_grid_is_a_product_and_zip_goes_together():
    """A grid of two keys has all pairs; a zip only those that stand beside each other."""
    keys = {"tokens": [512, 1024], "tp": [4, 8]}
    assert len(settings(combinations({"kind": "grid", "keys": keys}), "tp")) == 4
    assert settings(combinations({"kind": "zip", "keys": keys}), "tokens", "tp") == [(512, 4), (1024, 8)]


def test_range_of_whole_numbers():
    """A range of whole numbers has both ends and whole numbers between."""
    made = combinations({"kind": "range", "key": "tokens", "from": 1000, "to": 2000, "count": 5})
    assert settings(made, "tokens") == [(1000,), (1250,), (1500,), (1750,), (2000,)]


def test_log_range_of_quantities_keeps_the_unit():
    """Neighbours of a log range are a constant factor apart, written in the unit of its ends."""
    made = combinations(
        {
            "kind": "range",
            "key": "system.link.bandwidth",
            "from": "50 GB/s",
            "to": "800 GB/s",
            "count": 5,
            "scale": "log",
        }
    )
    assert settings(made, "system.link.bandwidth") == [
        (text,) for text in ("50 GB/s", "100 GB/s", "200 GB/s", "400 GB/s", "800 GB/s")
    ]


def test_range_that_is_no_whole_number_of_bytes():
    """A value between two sizes that its unit cannot write in bytes is written in bytes."""
    made = combinations(
        {"kind": "range", "key": "system.llc.capacity", "from": "1 MiB", "to": "2 MiB", "count": 4, "scale": "log"}
    )
    first, second, third, last = [value for (value,) in settings(made, "system.llc.capacity")]
    assert (first, last) == ("1 MiB", "2 MiB")
    assert (second, third) == (f"{round(2**20 * 2 ** (1 / 3))} B", f"{round(2**20 * 2 ** (2 / 3))} B")


def test_cases_have_a_label_a_note_and_any_settings():
    """A case may set nothing or several keys; its label and note are columns."""
    cases = [
        {"label": "as it is"},
        {"label": "both", "note": "two at once", "set": {"tokens": 512, "system.tracker.entries": 16}},
    ]
    made = combinations({"kind": "cases", "name": "change", "cases": cases})
    assert made.columns == ("change", "change.note")
    assert [combination.labels for combination in made] == [("as it is", ""), ("both", "two at once")]
    assert settings(made, "tokens", "system.tracker.entries") == [(None, None), (512, 16)]


SAMPLED = {"tokens": {"from": 1, "to": 10001}, "system.memory.update_cost": {"from": 1.0, "to": 8.0, "scale": "log"}}


@pytest.mark.parametrize("kind", ["random", "latin-hypercube"])
def test_samples_depend_on_the_seed_alone(kind):
    """The same seed gives the same points, another seed others, all inside their ranges."""
    axis = {"kind": kind, "keys": SAMPLED, "count": 50}
    first, again, other = (
        settings(combinations({**axis, "seed": seed}), "tokens", "system.memory.update_cost") for seed in (1, 1, 2)
    )
    assert first == again != other
    assert all(1 <= tokens <= 10001 and 1 <= cost <= 8 for tokens, cost in first)


def test_latin_hypercube_uses_every_slice_once():
    """Of 50 equal slices of each range, each has one of 50 samples."""
    made = combinations({"kind": "latin-hypercube", "keys": SAMPLED, "count": 50, "seed": 3})
    slices = sorted((tokens - 1) * 50 // 10001 for (tokens,) in settings(made, "tokens"))
    assert slices == list(range(50))


def test_skipped_combinations():
    """A condition over settings skips; quantities compare by what they are, not by how they are written."""
    axes = (
        {"kind": "list", "key": "system.link.bandwidth", "values": ["50 GB/s", "0.1 TB/s", "200 GB/s"]},
        {"kind": "list", "key": "tp", "values": [4, 8]},
    )
    made = combinations(*axes, skip=["tp == 4 and system.link.bandwidth >= '100 GB/s'"])
    assert settings(made, "system.link.bandwidth", "tp") == [
        ("50 GB/s", 4),
        ("50 GB/s", 8),
        ("0.1 TB/s", 8),
        ("200 GB/s", 8),
    ]


@pytest.mark.parametrize(
    ("condition", "skips"),
    [
        ("tokens // tp < 128", {(512, 8)}),
        ("tp in [4, 5]", {(512, 4), (1024, 4)}),
        ("not (tokens == 512 or tp == 4)", {(1024, 8)}),
        ("tp * 128 == tokens and model == 't-nlg'", {(512, 4), (1024, 8)}),
        ("4 < tp <= 8", {(512, 8), (1024, 8)}),
    ],
)
def test_conditions(condition, skips):
    """Arithmetic, lists, chains and logic mean what they mean in Python."""
    grid = {"kind": "grid", "keys": {"tokens": [512, 1024], "tp": [4, 8]}}
    everything = set(settings(combinations(grid), "tokens", "tp"))
    assert everything - set(settings(combinations(grid, skip=[condition]), "tokens", "tp")) == skips


LIST = {"kind": "list", "key": "tp", "values": [4]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axes": [{**LIST, "key": "tpp"}]}, "did you mean tp"),
        ({"axes": [{**LIST, "kind": "lst"}]}, "did you mean list"),
        ({"axes": [{**LIST, "values": []}]}, "at least 1"),
        ({"axes": [LIST, LIST]}, "two axes give tp"),
        ({"axes": [{"kind": "zip", "keys": {"tp": [4], "tokens": [1, 2]}}]}, "as many values"),
        ({"axes": [{"kind": "range", "key": "tp", "from": 4, "to": "8 GB", "count": 3}]}, "a unit, or none"),
        ({"axes": [{"kind": "range", "key": "tp", "from": 0, "to": 8, "count": 3, "scale": "log"}]}, "above zero"),
        ({"axes": [{**LIST, "key": "trace"}]}, "cannot stand beside"),
        ({"base": {"model": "t-nlg"}}, "needs a workload"),
        ({"skip": ["tp ="]}, "is no condition"),
        ({"skip": ["__import__('os')"]}, "Call is not understood"),
        ({"skip": ["tensor == 3"]}, "neither base nor an axis sets: tensor"),
        ({"axes": [{"kind": "cases", "name": "c", "cases": [{"label": "a"}, {"label": "a"}]}]}, "used twice: a"),
    ],
)
def test_mistakes_of_a_spec(change, message):
    """Each mistake is refused with a message that says what it is."""
    assert message in refused({"name": "x", "base": BASE, **change})


SPEC = """\
format: t3sim-sweep
version: 1
name: wrong
base:
  model: t-nlg
  tp: 8
  system.llc.waysss: 16
axes:
  - kind: list
    key: system.link.bandwidth
    values:
      - 75 GB/s
      - 75
  - kind: cases
    name: change
    cases:
      - {label: none}
      - label: typo
        set:
          system.memori.turnaround: 1 ns
  - {kind: list, key: scheme, values: [t3, t4]}
"""


def test_settings_that_no_system_takes_are_found_at_their_lines(tmp_path):
    """Unknown keys, values without a unit and unknown names are all listed, each with its line in the sweep."""
    path = tmp_path / "wrong.yaml"
    path.write_text(SPEC, encoding="utf-8")
    lines = refused(path).splitlines()
    found = {line.split(": ")[0].rpartition(":")[2]: line for line in lines}
    assert "waysss" in found["7"]
    assert "did you mean ways" in found["7"]
    assert "75 has no unit" in found["13"]
    assert "memori" in found["20"]
    assert "did you mean memory" in found["20"]
    assert "t4" in found["21"]
    assert len(lines) == 4


def test_a_combination_that_does_not_fit_is_no_mistake_of_the_spec():
    """That 7 GPUs cannot share a width is for its own point to say, as a failed row."""
    made = combinations({"kind": "list", "key": "tp", "values": [8, 5]})
    assert len(settings(made, "tp")) == 2
