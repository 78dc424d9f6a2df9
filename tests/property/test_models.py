"""What the GPUs of a group compute together, for all models that can be divided among them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from t3sim.errors import InputError
from t3sim.workload import Gemm, ModelSpec, Sublayer, transformer_trace
from t3sim.workload.layers import Attention, LayerKernels, Rows
from t3sim.workload.model_sizes import layer_parameters
from t3sim.workload.model_traces import share, slices
from t3sim.workload.models import LatentAttentionSpec


@st.composite
def dense_models(draw):
    """Draw a model without experts whose parts `tp` GPUs can share, with the degree."""
    tp = draw(st.sampled_from([2, 3, 4, 8]))
    kv_heads = draw(st.sampled_from([n for n in range(1, 4 * tp + 1) if n % tp == 0 or tp % n == 0]))
    heads = kv_heads * draw(st.integers(1, 4))
    heads = heads * tp if heads % tp else heads
    model = ModelSpec(
        name="drawn",
        hidden=tp * draw(st.integers(1, 40)),
        layers=1,
        tokens=1,
        tp=(tp,),
        dtype="bf16",
        heads=heads,
        kv_heads=kv_heads,
        head_dim=draw(st.integers(1, 9)),
        intermediate=tp * draw(st.integers(1, 40)),
        activation=draw(st.sampled_from(["gelu", "swiglu"])),
        block=draw(st.sampled_from(["pre-ln", "post-ln", "peri-ln", "branch-ln", "parallel"])),
        biases=False,
        norm="rmsnorm",
    )
    return model, tp


def gemms(steps):
    for step in steps:
        yield from (
            each for each in (step.operations if isinstance(step, Sublayer) else [step]) if isinstance(each, Gemm)
        )


def flop(steps):
    return sum(gemm.flop for gemm in gemms(steps))


def copied(model, tp):
    """Elements of the matrices of keys and values that more than one GPU has, beyond the first."""
    return 2 * max(0, tp - model.kv_heads) * model.head_dim * model.hidden


@given(drawn=dense_models(), sequences=st.integers(1, 3), new=st.integers(1, 50), sequence_parallel=st.booleans())
def test_gpus_together_compute_the_layer(drawn, sequences, new, sequence_parallel):
    """All GPUs' GEMMs have two FLOP for each token and element of a matrix, and twice as many going back."""
    model, tp = drawn
    rows = Rows(sequences=sequences, new=new, tp=tp, sequence_parallel=sequence_parallel)
    layer = LayerKernels(model, rows)
    matrices = layer_parameters(model) - model.norms * model.hidden + copied(model, tp)
    assert tp * flop(layer.forward()) == 2 * sequences * new * matrices
    assert flop(layer.backward()) == 2 * flop(layer.forward())


@given(drawn=dense_models(), sequence_parallel=st.booleans())
def test_gradients_of_weights_are_as_much_work_as_those_of_inputs(drawn, sequence_parallel):
    """Going back, the products for the weights have as many FLOP as those for the inputs."""
    model, tp = drawn
    rows = Rows(sequences=2, new=tp, tp=tp, sequence_parallel=sequence_parallel)
    back = list(gemms(LayerKernels(model, rows).backward()))
    weights = [gemm for gemm in back if gemm.sublayer.endswith(".weights")]
    assert 2 * sum(gemm.flop for gemm in weights) == sum(gemm.flop for gemm in back)


@given(drawn=dense_models())
def test_heads_add_up(drawn):
    """No head is left out, and none is computed twice."""
    model, tp = drawn
    (attention,) = (
        s for s in LayerKernels(model, Rows(sequences=1, new=1, tp=tp)).forward() if isinstance(s, Attention)
    )
    assert attention.heads * tp == model.heads
    assert attention.kv_heads * tp == max(tp, model.kv_heads)


@given(
    hidden=st.integers(2, 200),
    heads=st.integers(1, 24),
    group=st.integers(1, 4),
    head_dim=st.integers(1, 8),
    intermediate=st.integers(1, 200),
    tp=st.integers(2, 16),
    latent=st.booleans(),
)
def test_shares_of_an_accepted_degree_add_up(hidden, heads, group, head_dim, intermediate, tp, latent):
    """A degree is refused, or the shares of all GPUs add up to the whole and copies of keys and values."""
    ranks = LatentAttentionSpec(query_rank=5, key_value_rank=3, nope_dim=2, rope_dim=1, value_dim=head_dim)
    model = ModelSpec(
        name="drawn",
        hidden=hidden,
        layers=1,
        tokens=tp,
        tp=(hidden,),
        dtype="fp16",
        heads=heads * group,
        kv_heads=None if latent else heads,
        head_dim=head_dim,
        intermediate=intermediate,
        latent_attention=ranks if latent else None,
    )
    try:
        transformer_trace(model, tp, sequence_parallel=True)
    except InputError:
        return
    wholes = {
        "op": heads * group * head_dim,
        "fc1": intermediate,
        "fc2": intermediate,
        "ip": (heads * group + 2 * max(heads, tp)) * head_dim,
        "q-up": heads * group * 3,
        "kv-up": heads * group * (2 + head_dim),
    }
    for part in slices(model, sequence_parallel=True):
        assert share(model, part.sublayer, tp) * tp == wholes[part.sublayer]
