"""The sublayers that tensor parallelism makes of a model, and the models and traces that are shipped."""

from __future__ import annotations

import pytest

from t3sim import data
from t3sim.errors import InputError
from t3sim.workload import (
    Collective,
    Gemm,
    ModelSpec,
    load_model,
    load_trace,
    render_trace,
    transformer_trace,
)

# Written out from the published widths: M, N, K_local of the four GEMMs, and M x N x 2 bytes.
SHAPES = {
    ("mega-gpt-2", 8): [(16384, 3072, 384), (16384, 3072, 1536), (16384, 3072, 1536), (16384, 3072, 1152)],
    ("mega-gpt-2", 16): [(16384, 3072, 192), (16384, 3072, 768), (16384, 3072, 768), (16384, 3072, 576)],
    ("t-nlg", 8): [(8192, 4256, 532), (8192, 4256, 2128), (8192, 4256, 2128), (8192, 4256, 1596)],
    ("t-nlg", 16): [(8192, 4256, 266), (8192, 4256, 1064), (8192, 4256, 1064), (8192, 4256, 798)],
    ("gpt-3", 32): [(2048, 12288, 384), (2048, 12288, 1536), (2048, 12288, 1536), (2048, 12288, 1152)],
    ("palm", 32): [(2048, 18432, 576), (2048, 18432, 2304), (2048, 18432, 2304), (2048, 18432, 1728)],
    ("mt-nlg", 32): [(2048, 20480, 640), (2048, 20480, 2560), (2048, 20480, 2560), (2048, 20480, 1920)],
    ("futuristic-1t", 64): [
        (2048, 25600, 400),
        (2048, 25600, 1600),
        (2048, 25600, 1600),
        (2048, 25600, 1200),
    ],
    ("futuristic-10t", 64): [
        (2048, 57344, 896),
        (2048, 57344, 3584),
        (2048, 57344, 3584),
        (2048, 57344, 2688),
    ],
}
BUFFER_BYTES = {
    "mega-gpt-2": 100_663_296,
    "t-nlg": 69_730_304,
    "gpt-3": 50_331_648,
    "palm": 75_497_472,
    "mt-nlg": 83_886_080,
    "futuristic-1t": 104_857_600,
    "futuristic-10t": 234_881_024,
}
# By the usual count, 12 x layers x hidden^2; PaLM's 540e9 comes from other blocks and a large vocabulary.
PARAMETERS = {
    "mega-gpt-2": 8.3e9,
    "t-nlg": 17e9,
    "gpt-3": 175e9,
    "palm": 480e9,
    "mt-nlg": 530e9,
    "futuristic-1t": 1e12,
    "futuristic-10t": 1e13,
}
TOY = ModelSpec(name="toy", hidden=48, layers=2, tokens=10, tp=(4,), dtype="fp16")
POINTS = [pytest.param(model, tp, id=f"{model}-tp{tp}") for model, tp in SHAPES]


def shipped(model):
    return load_model(model, folder=data.models_dir()).spec


@pytest.mark.parametrize(("model", "tp"), POINTS)
def test_shapes_of_the_published_models(model, tp):
    """The four GEMMs of each shipped model have the shapes that its published width gives."""
    gemms = [o for o in transformer_trace(shipped(model), tp).operations if isinstance(o, Gemm)]
    assert [gemm.sublayer for gemm in gemms] == ["op", "fc2", "fc1", "ip"]
    assert [(gemm.M, gemm.N, gemm.K_local) for gemm in gemms] == SHAPES[model, tp]


@pytest.mark.parametrize(("model", "tp"), POINTS)
def test_collectives_carry_the_whole_output(model, tp):
    """Slicing along K leaves the output whole: every collective of a model has the same buffer."""
    operations = transformer_trace(shipped(model), tp).operations
    assert {o.bytes for o in operations if isinstance(o, Collective)} == {BUFFER_BYTES[model]}


@pytest.mark.parametrize(("model", "tp"), POINTS)
def test_shipped_trace_is_what_the_model_makes(model, tp):
    """The shipped trace of a model and degree is, byte for byte, what the model makes today."""
    path = data.traces_dir() / f"{model}-tp{tp}.yaml"
    trace = transformer_trace(shipped(model), tp)
    assert path.read_bytes() == render_trace(trace).encode()
    assert load_trace(path.stem, folder=data.traces_dir()).spec == trace


def test_shipped_trace_with_sequence_parallelism_is_what_the_model_makes():
    """The one that is shipped is, but for the command in its first line, what the model makes today."""
    path = data.traces_dir() / "t-nlg-tp8-sequence-parallel.yaml"
    trace = transformer_trace(shipped("t-nlg"), 8, sequence_parallel=True)
    assert path.read_text(encoding="utf-8").splitlines()[1:] == render_trace(trace).splitlines()[1:]
    assert load_trace(path.stem, folder=data.traces_dir()).spec == trace


def test_traces_of_the_published_experiments_are_shipped():
    """Each degree of each model that T3 was studied with has one, and there are two more: sequence-parallel, experts.

    Other models make theirs when asked.
    """
    assert {(model, tp) for model in PARAMETERS for tp in shipped(model).tp} == set(SHAPES)
    assert {path.stem for path in data.traces_dir().iterdir()} == {f"{m}-tp{tp}" for m, tp in SHAPES} | {
        "t-nlg-experts-tp8",
        "t-nlg-tp8-sequence-parallel",
    }


@pytest.mark.parametrize("path", sorted(data.models_dir().glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_model_makes_its_traces(path):
    """Each degree that a shipped model names divides it, with sequence parallelism and without."""
    model = shipped(path.stem)
    assert model.name == path.stem
    for tp in model.tp:
        for sequence_parallel in (False, True):
            assert transformer_trace(model, tp, tokens=4 * tp, sequence_parallel=sequence_parallel).tp == tp


@pytest.mark.parametrize("model", PARAMETERS)
def test_models_have_the_size_of_their_name(model):
    """Width and depth of a model multiply to about the number of parameters that it is known for."""
    spec = shipped(model)
    assert spec.name == model
    assert 12 * spec.layers * spec.hidden**2 == pytest.approx(PARAMETERS[model], rel=0.015)


def test_every_number_of_a_model_has_a_source():
    """No number of a shipped model stands without saying where it comes from."""
    for path in data.models_dir().glob("*.yaml"):
        resolved = load_model(path.stem, folder=data.models_dir()).resolved
        for key, value in resolved.items():
            parts = value.items() if key in ("experts", "latent_attention") else [(key, value)]
            for name, part in parts:
                assert key in ("format", "version", "name") or set(part) == {"value", "source", "class"}, (
                    f"{path.name}: {key} {name}"
                )
        assert resolved["tokens"]["class"] == "assumed"


def test_operations_form_one_chain():
    """Each sublayer is GEMM, reduce-scatter, all-gather, and starts when the one before has ended."""
    operations = transformer_trace(TOY, 4).operations
    assert [(o.id, o.op, o.phase, o.after) for o in operations] == [
        ("op.gemm", "gemm", "forward", ()),
        ("op.rs", "reduce_scatter", "forward", ("op.gemm",)),
        ("op.ag", "all_gather", "forward", ("op.rs",)),
        ("fc2.gemm", "gemm", "forward", ("op.ag",)),
        ("fc2.rs", "reduce_scatter", "forward", ("fc2.gemm",)),
        ("fc2.ag", "all_gather", "forward", ("fc2.rs",)),
        ("fc1.gemm", "gemm", "backward", ("fc2.ag",)),
        ("fc1.rs", "reduce_scatter", "backward", ("fc1.gemm",)),
        ("fc1.ag", "all_gather", "backward", ("fc1.rs",)),
        ("ip.gemm", "gemm", "backward", ("fc1.ag",)),
        ("ip.rs", "reduce_scatter", "backward", ("ip.gemm",)),
        ("ip.ag", "all_gather", "backward", ("ip.rs",)),
    ]


def test_sequence_parallelism_has_a_collective_on_one_side_of_each_gemm():
    """Forward, inputs of `ip` and `fc1` are gathered and outputs of `op` and `fc2` scattered; backward, the other way.

    H = 48 on four GPUs: slices of H, 3 H and 4 H are 12, 36 and 48; the gathered or scattered buffer has 8 x 48
    elements of two bytes.
    """
    operations = transformer_trace(TOY, 4, tokens=8, sequence_parallel=True).operations
    sizes = [(o.M, o.N, o.K_local) if isinstance(o, Gemm) else o.bytes for o in operations]
    assert [(o.id, o.op, o.phase, o.sublayer, size) for o, size in zip(operations, sizes, strict=True)] == [
        ("forward/ip.ag", "all_gather", "forward", "ip", 768),
        ("forward/ip.gemm", "gemm", "forward", "ip", (8, 36, 48)),
        ("forward/op.gemm", "gemm", "forward", "op", (8, 48, 12)),
        ("forward/op.rs", "reduce_scatter", "forward", "op", 768),
        ("forward/fc1.ag", "all_gather", "forward", "fc1", 768),
        ("forward/fc1.gemm", "gemm", "forward", "fc1", (8, 48, 48)),
        ("forward/fc2.gemm", "gemm", "forward", "fc2", (8, 48, 48)),
        ("forward/fc2.rs", "reduce_scatter", "forward", "fc2", 768),
        ("backward/fc2.ag", "all_gather", "backward", "fc2", 768),
        ("backward/fc2.gemm", "gemm", "backward", "fc2", (8, 48, 48)),
        ("backward/fc1.gemm", "gemm", "backward", "fc1", (8, 48, 48)),
        ("backward/fc1.rs", "reduce_scatter", "backward", "fc1", 768),
        ("backward/op.ag", "all_gather", "backward", "op", 768),
        ("backward/op.gemm", "gemm", "backward", "op", (8, 12, 48)),
        ("backward/ip.gemm", "gemm", "backward", "ip", (8, 48, 36)),
        ("backward/ip.rs", "reduce_scatter", "backward", "ip", 768),
    ]
    assert [o.after for o in operations] == [(), *((before.id,) for before in operations[:-1])]


def test_sequence_parallelism_slices_rows_and_columns():
    """On two GPUs N and K_local differ everywhere: of column slices N is the share, of row slices K_local is."""
    gemms = [o for o in transformer_trace(TOY, 2, sequence_parallel=True).operations if isinstance(o, Gemm)]
    assert [(gemm.phase, gemm.sublayer, gemm.N, gemm.K_local) for gemm in gemms] == [
        ("forward", "ip", 72, 48),
        ("forward", "op", 48, 24),
        ("forward", "fc1", 96, 48),
        ("forward", "fc2", 48, 96),
        ("backward", "fc2", 96, 48),
        ("backward", "fc1", 48, 96),
        ("backward", "op", 24, 48),
        ("backward", "ip", 48, 72),
    ]


def test_tokens_and_dtype_with_sequence_parallelism():
    """Other tokens and another dtype change all buffers alike, before a GEMM and after one."""
    made = transformer_trace(TOY, 2, tokens=6, dtype="fp32", sequence_parallel=True)
    assert {o.bytes for o in made.operations if isinstance(o, Collective)} == {6 * 48 * 4}
    assert {o.dtype for o in made.operations} == {"fp32"}
    assert made.description == "one of 2 layers of toy, 6 tokens, fp32, TP 2, sequence-parallel"


def test_tokens_that_a_group_cannot_share():
    """Ten tokens are not four GPUs' to divide; without sequence parallelism nobody divides them."""
    with pytest.raises(InputError) as refused:
        transformer_trace(TOY, 4, sequence_parallel=True)
    (problem,) = refused.value.problems
    assert (problem.key, problem.value) == ("tokens", 10)
    assert problem.message == ("4 GPUs cannot share 10 tokens evenly, which sequence parallelism divides among them")
    assert transformer_trace(TOY, 4).operations[0].M == 10


def test_width_and_tokens_are_refused_together():
    """A degree that divides neither is two problems; one that is no degree is that problem alone."""
    with pytest.raises(InputError) as refused:
        transformer_trace(TOY, 7, sequence_parallel=True)
    assert [problem.key for problem in refused.value.problems] == ["tp", "tokens"]
    for tp in (0, 1):
        with pytest.raises(InputError) as refused:
            transformer_trace(TOY, tp, sequence_parallel=True)
        assert [problem.key for problem in refused.value.problems] == ["tp"]


def test_sublayers_of_a_transformer():
    """The trace falls into the four sublayers, each with its phase."""
    assert [(s.phase, s.sublayer) for s in transformer_trace(TOY, 4).sublayers()] == [
        ("forward", "op"),
        ("forward", "fc2"),
        ("backward", "fc1"),
        ("backward", "ip"),
    ]


def test_tokens_and_dtype_replace_the_models_own():
    """Other tokens change the rows, another dtype the bytes, and any degree that divides the width does."""
    gemm, scatter, *_ = transformer_trace(TOY, 6, tokens=7, dtype="fp32").operations
    assert (gemm.M, gemm.N, gemm.K_local, gemm.dtype) == (7, 48, 8, "fp32")
    assert (scatter.bytes, scatter.dtype) == (7 * 48 * 4, "fp32")


def test_degree_that_does_not_divide_the_width():
    """The refusal names the model, its width and the nearest degrees that would do."""
    with pytest.raises(InputError) as refused:
        transformer_trace(TOY, 7)
    (problem,) = refused.value.problems
    assert problem.key == "tp"
    assert problem.message == "toy: 7 GPUs cannot share the hidden size 48 evenly (near degrees that can: 3, 4, 6, 8)"


def test_width_that_no_group_can_share():
    """Where no degree would do, the refusal says so."""
    with pytest.raises(InputError, match="near degrees that can: none"):
        transformer_trace(TOY.model_copy(update={"hidden": 1}), 2)


def test_largest_model_still_makes_a_trace():
    """The largest width and number of tokens that are accepted make a trace, not a surprise."""
    widest = ModelSpec(name="widest", hidden=2**26, layers=1, tokens=2**28, tp=(2,), dtype="fp32")
    assert max(o.bytes for o in transformer_trace(widest, 2).operations if isinstance(o, Collective)) < 2**63


def test_everything_wrong_is_reported_at_once():
    """A lone GPU, no tokens and an unknown dtype are three problems of one refusal, not three attempts."""
    with pytest.raises(InputError) as refused:
        transformer_trace(TOY, 1, tokens=0, dtype="fp61")
    assert [problem.key for problem in refused.value.problems] == ["tp", "tokens", "dtype"]
    assert "did you mean fp16?" in str(refused.value)


@pytest.mark.parametrize("tokens", [0, -5, 10**12])
def test_tokens_are_in_range(tokens):
    """A trace of no tokens is refused, and so is one whose buffers no address could reach."""
    with pytest.raises(InputError, match="tokens"):
        transformer_trace(TOY, 4, tokens=tokens)


def test_model_file_with_an_impossible_degree(tmp_path):
    """A degree in a model file that does not divide its width is a problem at the line of the list."""
    path = tmp_path / "odd.yaml"
    header = "format: t3sim-model\nversion: 1\n"
    text = header + "name: odd\nhidden: 48\nlayers: 1\ntokens: 1\ntp: [4, 7]\ndtype: fp16\n"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        load_model(path, folder=tmp_path)
    (problem,) = refused.value.problems
    assert problem.line == 7
    assert "7 GPUs cannot share the hidden size 48" in problem.message
