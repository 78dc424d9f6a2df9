"""Training steps and inference: what is counted how often, and that nothing is lost on the way."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t3sim.errors import InputError
from t3sim.iterations.gradients import all_reduce_fs, gradients_fs
from t3sim.iterations.inference import Inference
from t3sim.iterations.kernel_times import KernelTimes
from t3sim.iterations.parallelism import Parallelism
from t3sim.iterations.training import Training
from t3sim.workload import ModelSpec
from t3sim.workload.layers import Attention, Kernel, LayerKernels, Rows
from t3sim.workload.model_ends import head_forward
from t3sim.workload.model_flop import forward_flop
from t3sim.workload.operations import Gemm, Sublayer

TOY = {"name": "toy", "hidden": 64, "layers": 4, "tokens": 64, "tp": (2,), "dtype": "fp16", "heads": 4}
SEQUENCE = 32


def toy(**changes):
    return ModelSpec(**{**TOY, "vocabulary": 128, "positions": SEQUENCE, **changes})


def step(system, model=None, scheme="sequential", **split):
    asked = Parallelism(**{"global_batch": split.get("dp", 1) * split.get("micro_batch", 1), **split})
    return Training(model or toy(), system, asked, SEQUENCE).run(scheme)


def gemms(steps):
    """Give all GEMMs of some steps, those of sublayers as well."""
    inner = [operation for each in steps if isinstance(each, Sublayer) for operation in each.operations]
    return [each for each in (*steps, *inner) if isinstance(each, Gemm)]


BLOCKS = {
    "gpt": {},
    "grouped queries, gate": {"kv_heads": 2, "activation": "swiglu", "intermediate": 96, "norm": "rmsnorm"},
    "parallel": {"block": "parallel", "kv_heads": 2},
    "pruned": {"pruned": {"1": ("mlp",), "3": ("attention", "mlp")}},
}


@pytest.mark.parametrize("changes", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("tp", [1, 2])
@pytest.mark.parametrize("sequence_parallel", [False, True])
def test_the_work_of_all_gpus_adds_up(changes, tp, sequence_parallel):
    """FLOP of the kernels of a forward pass are those of the closed form; those of the backward pass twice as many."""
    if sequence_parallel and tp == 1:
        pytest.skip("nobody to share rows with")
    model = toy(**changes)
    rows = Rows(sequences=2, new=SEQUENCE, tp=tp, sequence_parallel=sequence_parallel, training=True)
    layers = [LayerKernels(model, rows, layer) for layer in range(model.layers)]
    head = list(head_forward(model, rows, rows.tokens))

    def flop(steps):
        attention = sum(each.flop for each in steps if isinstance(each, Attention))
        return tp * (attention + sum(gemm.flop for gemm in gemms(steps)))

    forward = [each for layer in layers for each in layer.forward()]
    backward = [each for layer in layers for each in layer.backward()]
    assert flop(forward) + flop(head) == forward_flop(model, rows.tokens, SEQUENCE)
    assert flop(backward) == 2 * flop(forward)


def test_micro_batches_follow_one_another(tiny_system):
    """On one stage, four take four times as long, but for the optimizer."""
    one, four = (step(tiny_system(), tp=2, global_batch=batch) for batch in (1, 4))
    assert four.total_fs - four.optimizer_fs == 4 * (one.total_fs - one.optimizer_fs)
    assert sum(four.by_kind.values()) == four.total_fs - four.optimizer_fs
    assert four.bubble_fs == four.gradients_fs == 0


def test_recomputing_adds_a_forward_pass(tiny_system):
    """All of the layers' forward kernels once more, or their attention alone."""
    system = tiny_system()
    none, selective, full = (step(system, recompute=each) for each in ("none", "selective", "full"))
    rows = Rows(sequences=1, new=SEQUENCE, training=True)
    times = KernelTimes(system, "sequential", 1)
    kernels = [times.of(each) for each in LayerKernels(toy(), rows).forward()]
    assert full.total_fs - none.total_fs == 4 * sum(each.total_fs for each in kernels)
    attention = [each.total_fs for each in kernels if each.kind == "attention"]
    assert selective.total_fs - none.total_fs == 4 * sum(attention)
    assert none.flop == full.flop


def test_pipeline_stages_share_the_layers(tiny_system):
    """Each stage has half the layers and half their parameters; the embedding is on both ends, since it is tied."""
    system = tiny_system()
    one, two = (step(system, pp=stages, global_batch=8) for stages in (1, 2))
    assert two.bubble_fs > 0
    assert two.total_fs > one.total_fs / 2
    untied = toy(vocabulary=None, positions=0)
    halves = [step(system, untied, pp=stages, global_batch=8).optimizer_fs for stages in (1, 2)]
    assert halves[1] == pytest.approx(halves[0] / 2, rel=0.01)


def test_a_sharded_optimizer_updates_its_part(tiny_system):
    """Four copies: a quarter each."""
    whole, part = (step(tiny_system(), dp=4, sharded_optimizer=each).optimizer_fs for each in (False, True))
    assert part == pytest.approx(whole / 4, rel=0.001)


def test_schemes_change_communication_alone(tiny_system):
    """The same GEMMs and other kernels; T3 hides some of what collectives add."""
    system, model = tiny_system(), toy(hidden=128, tokens=128)
    plain, fused = (step(system, model, scheme, tp=4, micro_batch=4) for scheme in ("sequential", "t3-mca"))
    assert fused.total_fs < plain.total_fs
    assert {k: v for k, v in fused.by_kind.items() if k != "communication"} == {
        k: v for k, v in plain.by_kind.items() if k != "communication"
    }
    assert plain.by_kind["communication"] == pytest.approx(plain.communication_fs, rel=0.02)


def test_the_host_holds_back_short_kernels(tiny_system):
    """A layer waits until its kernels are issued: then the time is their number times that."""
    slow = step(tiny_system("other_kernels={issue: 1 ms, attention: fused}"))
    rows = Rows(sequences=1, new=SEQUENCE, training=True)
    layer = LayerKernels(toy(), rows)
    # Fused attention is one kernel; two of the embedding, five of the LM head and the loss, and the two last norms.
    kernels = 4 * (len(layer.forward()) + len(layer.backward())) + 2 + 7
    assert slow.total_fs - slow.optimizer_fs == kernels * 10**12


def test_the_host_may_take_less_going_back(tiny_system):
    """Half of it for each kernel of the backward pass, two of the embedding's and five of the head's among them."""
    layer = LayerKernels(toy(), Rows(sequences=1, new=SEQUENCE, training=True))
    back = 4 * len(layer.backward()) + 5
    slow = step(tiny_system("other_kernels={issue: 2 ms, attention: fused}"))
    faster = step(tiny_system("other_kernels={issue: 2 ms, backward_issue: 1 ms, attention: fused}"))
    assert slow.total_fs - faster.total_fs == back * 10**12


def test_kernels_that_add_gradients_move_each_matrix_three_times():
    """New and old gradients in, their sum out: 12 h^2 elements of four matrices, in fp16."""
    layers = [
        LayerKernels(toy(), Rows(sequences=1, new=SEQUENCE, training=True, adds_gradients=each)).backward()
        for each in (False, True)
    ]
    moved = [sum(step.nbytes for step in layer if isinstance(step, Kernel)) for layer in layers]
    assert moved[1] - moved[0] == 3 * 12 * 64**2 * 2


def test_times_are_shared_with_a_host_that_takes_longer(tiny_system):
    """Kernels take what they took; the host's time is the other system's."""
    quick, slow = tiny_system(), tiny_system("other_kernels.issue=1 ms")
    training = Training(toy(), slow, Parallelism(), SEQUENCE)
    times = KernelTimes(quick, "sequential", 1)
    assert training.run("sequential", times.sharing(slow)).total_fs == training.run("sequential").total_fs


def test_a_ring_of_copies_takes_its_closed_form(tiny_system):
    """2 (n - 1) / n of the bytes at the link's rate, or beyond the node the NICs'; and 2 (n - 1) steps of latency."""
    cluster = "cluster={node_gpus: 4, nic_bandwidth: 10 GB/s, nic_latency: 5 us}"
    system = tiny_system("link.bandwidth=100 GB/s", "link.direction=per_direction", "link.efficiency=1.0", cluster)
    inside = all_reduce_fs(system, Parallelism(dp=4), 10**9)
    assert inside == 15 * 10**12 + 6 * system.link.latency
    # Two copies a node: two GPUs' NICs.
    across = all_reduce_fs(system, Parallelism(tp=2, dp=4), 10**9)
    assert across == 75 * 10**12 + 6 * 5 * 10**9
    assert all_reduce_fs(system, Parallelism(tp=4), 10**9) == 0


def test_gradients_hide_behind_the_last_backward_pass(tiny_system):
    """All but those of the last bucket, which are 40 of 80 million parameters."""
    system, split = tiny_system(), Parallelism(dp=2)
    whole = all_reduce_fs(system, split, 160_000_000)
    assert gradients_fs(system, split, 80_000_000, 0) == whole
    assert gradients_fs(system, split, 80_000_000, 10**18) == whole // 2
    assert gradients_fs(system, Parallelism(dp=2, overlap_gradients=False), 80_000_000, 10**18) == whole


def test_a_token_reads_all_weights_and_a_prompt_looks_at_itself(tiny_system):
    """Generation has one row a sequence; more context costs attention alone."""

    def asked(new, cached):
        split = Parallelism(tp=2, global_batch=2)
        return Inference(model=toy(), system=tiny_system(), parallelism=split, new=new, cached=cached).run("sequential")

    short, long = asked(1, 64), asked(1, 6400)
    assert (short.phase, asked(8, 0).phase) == ("generation", "prompt")
    assert short.tokens == 2
    grown = {kind for kind in short.by_kind if long.by_kind[kind] != short.by_kind[kind]}
    assert grown == {"attention"}


@pytest.mark.parametrize(
    ("split", "key", "why"),
    [
        ({"global_batch": 3, "micro_batch": 2}, "global_batch", "no multiple"),
        ({"pp": 5}, "pp", "4 layers make no 5 stages"),
        ({"interleave": 2}, "interleave", "more than one stage"),
        ({"pp": 2, "interleave": 2, "global_batch": 3}, "interleave", "2 stages divide"),
        ({"sequence_parallel": True}, "sequence_parallel", "more than one GPU"),
        ({"dp": 0}, "dp", "at least 1"),
    ],
)
def test_what_cannot_be_split_is_refused(split, key, why, tiny_system):
    """One problem with its key."""
    with pytest.raises(InputError) as refused:
        step(tiny_system(), **{"global_batch": 4, **split})
    (problem,) = refused.value.problems
    assert problem.key == key
    assert why in problem.message


def test_a_model_without_heads_is_refused(tiny_system):
    """Its attention cannot be timed."""
    with pytest.raises(InputError, match="heads"):
        step(tiny_system(), toy(heads=None))


@settings(max_examples=25)
@given(
    tp=st.sampled_from([1, 2, 4]),
    pp=st.integers(1, 4),
    dp=st.integers(1, 3),
    micro_batch=st.integers(1, 3),
    times=st.integers(1, 4),
    recompute=st.sampled_from(["none", "selective", "full"]),
)
def test_every_valid_split_takes_at_least_its_share(tiny_system, tp, pp, dp, micro_batch, times, recompute):
    """No stage is busy for longer than the iteration; tokens, FLOP and parameters are the model's."""
    batch = dp * micro_batch * times
    found = step(tiny_system(), tp=tp, pp=pp, dp=dp, micro_batch=micro_batch, global_batch=batch, recompute=recompute)
    assert found.tokens == batch * SEQUENCE
    assert found.flop == 3 * forward_flop(toy(), batch * SEQUENCE, SEQUENCE)
    assert sum(found.by_kind.values()) + found.bubble_fs + found.gradients_fs + found.optimizer_fs == found.total_fs
    assert 0 < found.mfu < 1
