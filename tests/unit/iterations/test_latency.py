"""The table of what each part of each layer takes, and models without some parts."""

import pytest

from t3sim.errors import InputError
from t3sim.iterations.kernel_times import KernelTimes
from t3sim.iterations.latency import latency_table
from t3sim.workload import ModelSpec
from t3sim.workload.layers import LayerKernels, Rows
from t3sim.workload.pruning import pruned

TOY = {"name": "toy", "hidden": 64, "layers": 3, "tokens": 64, "tp": (2,), "dtype": "fp16", "heads": 4}
ROWS = Rows(sequences=2, new=32, tp=2)


def test_a_table_has_every_part_alone_and_with_its_collectives(tiny_system):
    """Alone is all but what collectives add; parts of equal layers are equal, and together they are the layer."""
    model = ModelSpec(**TOY)
    rows = latency_table(model, tiny_system(), ROWS, ("sequential", "t3"))
    assert [(row["layer"], row["part"]) for row in rows] == [
        (n, part) for n in range(3) for part in ("attention", "mlp")
    ]
    assert rows[0] | {"layer": 2} == rows[4]
    times = KernelTimes(tiny_system(), "sequential", 2)
    whole = times.spent(LayerKernels(model, ROWS).forward())
    assert sum(row["sequential_us"] for row in rows[:2]) == pytest.approx(whole.total_fs / 1e9)
    added = sum(row["sequential_us"] - row["alone_us"] for row in rows[:2])
    assert added == pytest.approx(whole.by_kind["communication"] / 1e9)
    assert all(row["alone_us"] < row["t3_us"] for row in rows)


def test_parts_beside_each_other_are_one(tiny_system):
    """A parallel block has one line a layer, unless it has lost a part."""
    model = pruned(ModelSpec(**TOY, block="parallel"), "1.mlp")
    rows = latency_table(model, tiny_system(), ROWS, ("sequential",))
    assert [(row["layer"], row["part"]) for row in rows] == [(0, "block"), (1, "attention"), (2, "block")]


def test_what_is_pruned_is_what_is_missing(tiny_system):
    """A pruned model's layers are those of the full one without the parts."""
    full, less = (
        latency_table(model, tiny_system(), ROWS, ("t3",))
        for model in (ModelSpec(**TOY), pruned(ModelSpec(**TOY), "0.attention, 2.mlp,2.attention"))
    )
    gone = {(0, "attention"), (2, "mlp"), (2, "attention")}
    assert less == [row for row in full if (row["layer"], row["part"]) not in gone]


def test_a_file_may_list_what_is_pruned(tmp_path):
    """One or more a line; comments count for nothing, and what is gone already stays so."""
    path = tmp_path / "mask.txt"
    path.write_text("# by importance\n0.mlp, 1.mlp\n\n2.attention  # the last\n", encoding="utf-8")
    model = ModelSpec(**TOY, pruned={"0": ("mlp",)})
    assert pruned(model, str(path)).pruned == {"0": ("mlp",), "1": ("mlp",), "2": ("attention",)}


@pytest.mark.parametrize("wanted", ["3.mlp", "-1.mlp", "0.fc2", "mlp", "0."])
def test_what_is_no_part_is_refused(wanted):
    """With the layers that there are."""
    with pytest.raises(InputError, match=r"no LAYER.PART of toy: layers 0 to 2"):
        pruned(ModelSpec(**TOY), wanted)


def test_every_mistake_is_named():
    """One problem each."""
    with pytest.raises(InputError) as refused:
        pruned(ModelSpec(**TOY), "0.mlp,x.mlp,9.attention")
    assert [problem.value for problem in refused.value.problems] == ["x.mlp", "9.attention"]
