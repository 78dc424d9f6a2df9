"""Model files that no model can be made of: one message each, with file, line, key and value."""

from __future__ import annotations

import pytest

from t3sim.errors import InputError
from t3sim.workload import ModelSpec, load_model, transformer_trace
from t3sim.workload.models import ExpertsSpec, LatentAttentionSpec, SparseMlpSpec

HEADER = "format: t3sim-model\nversion: 1\nname: odd\nhidden: 48\nlayers: 2\ntokens: 8\ntp: [4]\ndtype: fp16\n"
EXPERTS = "experts: {count: 8, active: 2, intermediate: 16}\n"


@pytest.mark.parametrize(
    ("keys", "line", "key", "value", "message"),
    [
        ("heads: 8\nkv_heads: 3\n", 10, "kv_heads", 3, "8 heads cannot share 3 heads of keys and values"),
        ("heads: 7\n", 9, "heads", 7, "7 heads cannot share the hidden size 48 evenly"),
        ("kv_heads: 2\n", 9, "kv_heads", 2, "needs the number of heads: heads"),
        (f"{EXPERTS}sparse_mlp: {{width: 64, active: 0.1}}\n", 10, "sparse_mlp", None, "a model has one of them"),
        ("pruned: {'2': [mlp]}\n", 9, "pruned.2", "2", "is no layer: they are counted from 0 to 1"),
        ("pruned: {last: [mlp]}\n", 9, "pruned.last", "last", "is no layer: they are counted from 0 to 1"),
        ("experts: {count: 8, active: 9, intermediate: 16}\n", 9, "experts.active", 9, "to 9 of 8 experts"),
        (
            "experts: {count: 8, active: 2, intermediate: 16, dense_layers: 3}\n",
            9,
            "experts.dense_layers",
            3,
            "the model has 2 layers",
        ),
        (f"block: parallel\n{EXPERTS}", 10, "experts", None, "not in a parallel block"),
        ("block: parallel\nsparse_mlp: {width: 64, active: 0.1}\n", 10, "sparse_mlp", None, "not in a parallel block"),
        ("block: sideways\n", 9, "block", "sideways", "unknown name"),
        ("sparse_mlp: {width: 64, active: 1.5}\n", 9, "sparse_mlp.active", 1.5, "less than or equal to 1"),
        ("head_width: 12\n", 9, "head_width", None, "unknown key"),
    ],
)
def test_a_fault_is_one_message_at_its_line(tmp_path, keys, line, key, value, message):
    """A fault of a model file is one problem, at the line and key where it was written, with its value."""
    path = tmp_path / "odd.yaml"
    path.write_text(HEADER + keys, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        load_model(path, folder=tmp_path)
    (problem,) = refused.value.problems
    assert (problem.file, problem.line, problem.key) == (str(path), line, key)
    assert message in problem.message
    if value is not None:
        assert repr(value).strip("'") in str(problem).removeprefix(str(path))


TOY = {"name": "toy", "hidden": 48, "layers": 2, "tokens": 12, "tp": (2,), "dtype": "fp16"}


@pytest.mark.parametrize(
    ("keys", "tp", "message"),
    [
        ({"heads": 12, "kv_heads": 4}, 6, "6 GPUs cannot have 4 heads of keys and values evenly, or copies of them"),
        ({"heads": 12, "kv_heads": 4}, 3, "3 GPUs cannot have 4 heads of keys and values evenly, or copies of them"),
        ({"heads": 2, "head_dim": 5}, 4, "4 GPUs cannot share the width of all heads 10 evenly"),
        ({"intermediate": 50}, 4, "4 GPUs cannot share the width of the MLP 50 evenly"),
        ({"experts": ExpertsSpec(count=4, active=2, intermediate=10)}, 4, "the width of an expert 10 evenly"),
        ({"sparse_mlp": SparseMlpSpec(width=50, active=0.5)}, 4, "the width of the sparse MLP 50 evenly"),
        (
            {
                "heads": 3,
                "latent_attention": LatentAttentionSpec(
                    query_rank=4, key_value_rank=4, nope_dim=2, rope_dim=1, value_dim=4
                ),
            },
            4,
            "4 GPUs cannot share the width of q-up 9 evenly",
        ),
    ],
)
def test_degrees_that_divide_the_width_alone(keys, tp, message):
    """A degree has to divide heads, MLP and experts, too: what it does not is named with its length."""
    with pytest.raises(InputError) as refused:
        transformer_trace(ModelSpec(**(TOY | keys)), tp)
    (problem,) = refused.value.problems
    assert problem.key == "tp"
    assert message in problem.message


def test_an_mlp_that_no_layer_has_need_not_be_divided():
    """Where all layers have experts, four times the width is no length that anybody shares."""
    model = ModelSpec(**(TOY | {"intermediate": 50, "experts": ExpertsSpec(count=4, active=2, intermediate=16)}))
    assert [s.sublayer for s in transformer_trace(model, 4).sublayers()] == ["op", "ip"]


def test_heads_that_share_nothing_may_be_divided():
    """Without heads of keys and values of their own, 28 heads of 12 columns are 84 columns of each on four GPUs."""
    model = ModelSpec(**(TOY | {"hidden": 336, "heads": 28}))
    for tp, width in ((4, 252), (8, 126), (48, 21)):
        assert transformer_trace(model, tp).operations[-3].K_local == width


def test_traces_of_latent_attention_and_sparse_mlps():
    """Latent attention has two GEMMs whose gradients are summed, each at its own rank; a sparse MLP has its two."""
    latent = LatentAttentionSpec(query_rank=6, key_value_rank=4, nope_dim=3, rope_dim=2, value_dim=5)
    keys = {"heads": 4, "latent_attention": latent, "sparse_mlp": SparseMlpSpec(width=100, active=0.1)}
    operations = transformer_trace(ModelSpec(**(TOY | keys)), 2).operations
    assert [(o.sublayer, o.M, o.N, o.K_local) for o in operations if o.op == "gemm"] == [
        ("op", 12, 48, 10),
        ("fc2", 12, 48, 5),
        ("fc1", 12, 48, 50),
        ("q-up", 12, 6, 10),
        ("kv-up", 12, 4, 16),
    ]
    assert [o.bytes for o in operations if o.op == "all_gather"] == [1152, 1152, 1152, 144, 96]
