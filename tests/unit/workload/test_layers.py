"""Kernels of one layer on one GPU, written out by hand."""

from __future__ import annotations

import pytest

from t3sim.workload import Gemm, ModelSpec, Sublayer
from t3sim.workload.layers import Attention, Kernel, LayerKernels, Rows
from t3sim.workload.models import ExpertsSpec, LatentAttentionSpec, SparseMlpSpec

# Two sequences of four tokens, of width 8; on two GPUs each has one of two heads. A row of all tokens is 64 elements.
GPT = {
    "name": "toy",
    "hidden": 8,
    "layers": 1,
    "tokens": 8,
    "tp": (2,),
    "dtype": "fp16",
    "heads": 2,
    "positions": 4,
    "biases": False,
}
TRAINED = Rows(sequences=2, new=4, tp=2, training=True)
SERVED = Rows(sequences=2, new=4, tp=2)
SEQUENCE_PARALLEL = Rows(sequences=2, new=4, tp=2, sequence_parallel=True)
HALVES = ["reduce_scatter 128", "all_gather 128"]


def kernels(rows, direction="forward", layer=0, **keys):
    """List a layer's kernels as text: a GEMM's M x N x K, bytes of what it exchanges, bytes of the others."""
    return [shown(step) for step in getattr(LayerKernels(ModelSpec(**(GPT | keys)), rows, layer), direction)()]


def shown(step):
    match step:
        case Gemm():
            return f"{step.sublayer} {step.M}x{step.N}x{step.K_local}"
        case Sublayer():
            return [shown(each) if isinstance(each, Gemm) else f"{each.op} {each.bytes}" for each in step.operations]
        case Kernel():
            return f"{step.name}: {step.kind} {step.nbytes}"
        case Attention():
            return f"attention {step.heads}/{step.kv_heads} heads of {step.head_dim}/{step.value_dim}"


def named(steps, *words):
    return [step for step in steps if isinstance(step, str) and step.startswith(words)]


def test_forward_pass_of_a_gpt():
    """Norms read and write 64 elements of two bytes; residuals three times as many, with a mask of one byte each."""
    assert kernels(TRAINED) == [
        "attention norm: norm 256",
        "ip 8x12x8",
        "attention 1/1 heads of 4/4",
        ["op 8x8x4", *HALVES],
        "attention residual: residual 448",
        "mlp norm: norm 256",
        "fc1 8x16x8",
        "activation: activation 512",
        ["fc2 8x8x16", *HALVES],
        "mlp residual: residual 448",
    ]


def test_backward_pass_of_a_gpt():
    """Each GEMM comes back as two, of the input's gradient and of the weights'; what was summed is now whole."""
    assert kernels(TRAINED, "backward") == [
        "mlp residual: residual 704",
        "fc2 8x16x8",
        "fc2.weights 16x8x8",
        "activation: activation 768",
        ["fc1 8x8x16", *HALVES],
        "fc1.weights 8x16x8",
        "mlp norm: norm 384",
        "attention residual: residual 704",
        "op 8x4x8",
        "op.weights 4x8x8",
        "attention 1/1 heads of 4/4",
        ["ip 8x8x12", *HALVES],
        "ip.weights 8x12x8",
        "attention norm: norm 384",
    ]


@pytest.mark.parametrize(("biases", "matrices"), [(False, []), ("qkv", ["ip"]), (True, ["fc2", "fc1", "op", "ip"])])
def test_gradients_of_biases_read_what_their_matrices_gave(biases, matrices):
    """Columns of the output on a GPU, two bytes each of eight rows: 8 behind the summed ones, 16 of FC-1, 12 of IP."""
    widths = {"fc2": 8, "fc1": 16, "op": 8, "ip": 12}
    expected = [f"{name} bias: gradient {8 * widths[name] * 2}" for name in matrices]
    found = kernels(TRAINED, "backward", biases=biases)
    assert [text for text in found if "bias" in text] == expected


def test_sequence_parallelism_halves_what_is_between_the_gemms():
    """With sequence parallelism norms and residuals have half the rows, and each GEMM one collective."""
    assert kernels(SEQUENCE_PARALLEL) == [
        "attention norm: norm 128",
        ["all_gather 128", "ip 8x12x8"],
        "attention 1/1 heads of 4/4",
        ["op 8x8x4", "reduce_scatter 128"],
        "attention residual: residual 192",
        "mlp norm: norm 128",
        ["all_gather 128", "fc1 8x16x8"],
        "activation: activation 512",
        ["fc2 8x8x16", "reduce_scatter 128"],
        "mlp residual: residual 192",
    ]
    assert kernels(SEQUENCE_PARALLEL, "backward")[1:6] == [
        ["all_gather 128", "fc2 8x16x8"],
        "fc2.weights 16x8x8",
        "activation: activation 768",
        ["fc1 8x8x16", "reduce_scatter 128"],
        "fc1.weights 8x16x8",
    ]


def test_one_gpu_exchanges_nothing():
    """Alone, a GPU has the same GEMMs whole, and no collective."""
    steps = kernels(Rows(sequences=2, new=4), "forward") + kernels(Rows(sequences=2, new=4), "backward")
    assert all(isinstance(step, str) for step in steps)
    assert named(steps, "op", "fc2") == [
        "op 8x8x8",
        "fc2 8x8x32",
        "fc2 8x32x8",
        "fc2.weights 32x8x8",
        "op 8x8x8",
        "op.weights 8x8x8",
    ]


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize(
    ("block", "count"),
    [("pre-ln", 2), ("post-ln", 2), ("peri-ln", 4), ("branch-ln", 2), ("no-ln", 0), ("parallel", 1)],
)
def test_norms_of_each_block(block, count, direction):
    """A block runs as many norms forward as backward."""
    assert sum("norm" in step for step in kernels(SERVED, direction, block=block) if isinstance(step, str)) == count


@pytest.mark.parametrize(
    ("block", "order"),
    [
        ("pre-ln", ["attention norm", "ip", "attention residual"]),
        ("post-ln", ["ip", "attention residual", "attention norm"]),
        ("peri-ln", ["attention norm", "ip", "attention norm after", "attention residual"]),
        ("branch-ln", ["ip", "attention norm after", "attention residual"]),
    ],
)
def test_places_of_norms(block, order):
    """A norm stands before its part, after its branch, or after the sum; going back the other way round."""
    for direction, expected in (("forward", order), ("backward", order[::-1])):
        found = [
            step.split(":")[0] if ":" in step else step.split()[0]
            for step in map(str, kernels(SERVED, direction, block=block))
        ]
        wanted = ["attention norm", "attention norm after", "attention residual", "ip", "['ip"]
        assert [name.removeprefix("['") for name in found if name in wanted] == expected


def test_a_parallel_block_has_one_sliced_sublayer_a_phase():
    """What leads into attention (3 x 8) and MLP (32) is one GEMM, and so is what leads out of them (8 + 32)."""
    assert kernels(SERVED, block="parallel") == [
        "norm: norm 256",
        "in 8x28x8",
        "attention 1/1 heads of 4/4",
        "activation: activation 512",
        ["out 8x8x20", *HALVES],
        "residual: residual 384",
    ]
    assert kernels(SERVED, "backward", block="parallel") == [
        "residual: residual 384",
        "out 8x20x8",
        "out.weights 20x8x8",
        "activation: activation 768",
        "attention 1/1 heads of 4/4",
        ["in 8x8x28", *HALVES],
        "in.weights 8x28x8",
        "norm: norm 384",
    ]


def test_pruned_parts_do_not_run():
    """A layer that lost its MLP has attention alone, one that lost both has nothing; also where they were parallel."""
    for block in ("pre-ln", "parallel"):
        pruned = {"layers": 3, "block": block, "pruned": {"1": ("mlp",), "2": ("attention", "mlp")}}
        left = kernels(SERVED, layer=1, **pruned)
        assert left == [
            "attention norm: norm 256",
            "ip 8x12x8",
            "attention 1/1 heads of 4/4",
            ["op 8x8x4", *HALVES],
            "attention residual: residual 384",
        ]
        assert len(kernels(SERVED, "backward", layer=1, **pruned)) == 7
        assert kernels(SERVED, layer=2, **pruned) == kernels(SERVED, "backward", layer=2, **pruned) == []


def test_few_heads_of_keys_and_values_are_copied():
    """Eight heads of 4 share two: on four GPUs, two each and one of keys and values, which a second GPU has as well."""
    grouped = {"heads": 8, "kv_heads": 2, "head_dim": 4, "tp": (4,)}
    assert named(kernels(Rows(sequences=2, new=4, tp=4), **grouped), "ip", "attention 2") == [
        "ip 8x16x8",
        "attention 2/1 heads of 4/4",
    ]
    assert named(kernels(SERVED, **grouped), "ip", "attention 4") == ["ip 8x24x8", "attention 4/1 heads of 4/4"]
    assert named(kernels(Rows(sequences=2, new=4), **grouped), "ip", "attention 8") == [
        "ip 8x48x8",
        "attention 8/2 heads of 4/4",
    ]


def test_positions_and_norms_of_queries_and_keys():
    """Rotary positions read and write queries and keys, of 8 tokens and two heads of 4; a norm reads thrice back."""
    keys = {"positions": 0, "qk_norm": True}
    names = ("query", "rotary", "attention 1")
    assert named(kernels(SERVED, **keys), *names) == [
        "query and key norms: norm 256",
        "rotary positions: rotary 256",
        "attention 1/1 heads of 4/4",
    ]
    assert named(kernels(SERVED, "backward", **keys), *names) == [
        "attention 1/1 heads of 4/4",
        "rotary positions: rotary 256",
        "query and key norms: norm 384",
    ]


def test_a_gate_widens_the_way_in():
    """The matrix that leads in makes both halves, of which the activation reads both and writes one."""
    gated = {"activation": "swiglu", "intermediate": 12}
    forward = kernels(SERVED, **gated)
    assert named(forward, "fc1", "activation") == ["fc1 8x12x8", "activation: activation 288"]
    assert ["fc2 8x8x6", *HALVES] in forward
    assert "activation: activation 480" in kernels(SERVED, "backward", **gated)


def test_cached_tokens_are_read_and_not_computed():
    """Of a sequence with 3 tokens behind it, the GEMMs have the new one alone, the attention all."""
    steps = LayerKernels(ModelSpec(**GPT), Rows(sequences=2, new=1, cached=3, tp=2)).forward()
    attention = next(step for step in steps if isinstance(step, Attention))
    # Scores of 2 sequences, one head, one query, 4 keys; operands: q and o of 1 token, k and v of 4, two bytes each.
    assert (attention.context, attention.scores, attention.flop) == (4, 8, 2 * 8 * 8)
    assert attention.operand_bytes == 2 * (8 * 1 + 8 * 4) * 2
    assert next(step for step in steps if isinstance(step, Gemm)).M == 2


LATENT = LatentAttentionSpec(query_rank=6, key_value_rank=4, nope_dim=3, rope_dim=2, value_dim=5)


def test_latent_attention_goes_down_and_up():
    """Down to 6 + 4 + 2 on every GPU; up to one head's 3 + 2 of the query and 3 + 5 of key and value on each."""
    latent = {"latent_attention": LATENT, "positions": 0}
    assert kernels(SERVED, **latent)[1:8] == [
        "qkv-down 8x12x8",
        "rank norms: norm 320",
        "q-up 8x5x6",
        "kv-up 8x8x4",
        "rotary positions: rotary 128",
        "attention 1/1 heads of 5/5",
        ["op 8x8x5", *HALVES],
    ]


def test_latent_attention_sums_gradients_at_its_ranks():
    """Going back, each GPU has its own head's share of the gradient at the ranks: 8 x 6 and 8 x 4 elements to sum."""
    assert kernels(SERVED, "backward", latent_attention=LATENT)[11:] == [
        ["kv-up 8x4x8", "reduce_scatter 64", "all_gather 64"],
        "kv-up.weights 4x8x8",
        ["q-up 8x6x5", "reduce_scatter 96", "all_gather 96"],
        "q-up.weights 6x5x8",
        "rank norms: norm 480",
        "qkv-down 8x8x12",
        "qkv-down.weights 8x12x8",
        "attention norm: norm 384",
    ]


def test_latent_attention_with_sequence_parallelism():
    """Each GPU goes down with its own four rows, and gathers all before it goes up."""
    assert kernels(SEQUENCE_PARALLEL, latent_attention=LATENT)[1:5] == [
        "qkv-down 4x12x8",
        "rank norms: norm 160",
        ["all_gather 96", "q-up 8x5x6"],
        ["all_gather 64", "kv-up 8x8x4"],
    ]


# Two of four experts of width 6 and one for all, with gates: on two GPUs 3 columns of each of 3 experts.
EXPERTS = {
    "experts": ExpertsSpec(count=4, active=2, intermediate=6, shared=1, dense_layers=1),
    "layers": 2,
    "activation": "swiglu",
    "intermediate": 10,
}


def test_forward_pass_of_experts():
    """8 tokens go to 3 experts each: 24 rows; what comes out is summed over the GPUs as any MLP's output is."""
    assert kernels(SERVED, layer=1, **EXPERTS)[5:] == [
        "mlp norm: norm 256",
        "router: copy 192",
        "dispatch: copy 512",
        "experts-fc1 24x6x8",
        "experts activation: activation 432",
        "experts-fc2 24x8x3",
        "combine: copy 512",
        HALVES,
        "mlp residual: residual 384",
    ]


def test_backward_pass_of_experts():
    """Back through the experts, each of whose GEMMs comes back as two, and through the router."""
    assert kernels(SERVED, "backward", layer=1, **EXPERTS)[:12] == [
        "mlp residual: residual 384",
        "combine: copy 768",
        "experts-fc2 24x3x8",
        "experts-fc2.weights 3x8x24",
        "experts activation: activation 720",
        "experts-fc1 24x8x6",
        "experts-fc1.weights 8x6x24",
        "dispatch: copy 512",
        "router: copy 384",
        HALVES,
        "mlp norm: norm 384",
        "attention residual: residual 384",
    ]


def test_experts_with_sequence_parallelism_gather_first():
    """All rows come together before the router, and go apart after the sum; back in the same order."""
    for direction in ("forward", "backward"):
        steps = kernels(SEQUENCE_PARALLEL, direction, layer=1, **EXPERTS)
        assert [step for step in steps if step in (["all_gather 128"], ["reduce_scatter 128"])] == [
            ["all_gather 128"],
            ["reduce_scatter 128"],
        ]
    assert not [step for step in kernels(Rows(sequences=2, new=4), layer=1, **EXPERTS) if isinstance(step, list)]


def test_layers_before_the_experts_have_an_mlp():
    """The first layer of the same model has an MLP of width 10 with a gate."""
    assert kernels(SERVED, layer=0, **EXPERTS)[6:9] == [
        "fc1 8x10x8",
        "activation: activation 240",
        ["fc2 8x8x5", *HALVES],
    ]
    assert ["fc1 8x8x10", *HALVES] in kernels(SERVED, "backward", layer=0, **EXPERTS)


def test_a_sparse_mlp_encodes_all_and_decodes_what_is_active():
    """Of 40 rows a tenth is active: each GPU encodes into 20 and decodes from 2, forward and backward."""
    sparse = {"sparse_mlp": SparseMlpSpec(width=40, active=0.1)}
    assert kernels(SERVED, **sparse)[6:9] == [
        "fc1 8x20x8",
        "activation: activation 352",
        ["fc2 8x8x2", *HALVES],
    ]
    assert kernels(SERVED, "backward", **sparse)[1:6] == [
        "fc2 8x2x8",
        "fc2.weights 2x8x8",
        "activation: activation 672",
        ["fc1 8x8x20", *HALVES],
        "fc1.weights 8x20x8",
    ]


@pytest.mark.parametrize("tp", [1, 2])
def test_work_of_a_gpt_by_closed_form(tp):
    """A layer has 24 B s h^2 FLOP in its GEMMs and 4 B s^2 h in its attention, twice back (arXiv 2104.04473)."""
    sequences, new, hidden = 2, 4, 8
    layer = LayerKernels(ModelSpec(**GPT), Rows(sequences=sequences, new=new, tp=tp))
    for steps, times in ((layer.forward(), 1), (layer.backward(), 2)):
        found = [each for step in steps for each in (step.operations if isinstance(step, Sublayer) else [step])]
        gemms = sum(each.flop for each in found if isinstance(each, Gemm))
        attention = sum(each.flop for each in found if isinstance(each, Attention))
        assert tp * gemms == times * 24 * sequences * new * hidden**2
        assert tp * attention == times * 4 * sequences * new**2 * hidden


def test_gradients_of_every_weight_are_as_much_work_as_those_of_inputs():
    """Experts, latent attention and a sparse MLP come back as two GEMMs each, of as many FLOP as the one forward."""
    sparse = {"sparse_mlp": SparseMlpSpec(width=40, active=0.1)}
    for keys in (EXPERTS, {"latent_attention": LATENT}, sparse):
        layer = LayerKernels(ModelSpec(**(GPT | keys)), SERVED, layer=keys.get("layers", 1) - 1)
        works = []
        for steps in (layer.forward(), layer.backward()):
            found = [each for step in steps for each in (step.operations if isinstance(step, Sublayer) else [step])]
            works.append({each.sublayer: each.flop for each in found if isinstance(each, Gemm)})
        forward, backward = works
        assert backward == forward | {f"{name}.weights": flop for name, flop in forward.items()}
