"""The sublayers that tensor parallelism makes of a model, as traces of one layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from t3sim.errors import InputError, Problem
from t3sim.results import short_name
from t3sim.units import ceil_div
from t3sim.workload.models import ModelSpec, indivisible
from t3sim.workload.operations import (
    DTYPE_BYTES,
    MOST_EXTENT,
    MOST_GPUS,
    Collective,
    Dtype,
    Gemm,
    Sublayer,
    Trace,
    TracedOperation,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Slice(NamedTuple):
    """A sublayer whose GEMM tensor parallelism slices: along K, so that outputs are to be summed, or along N."""

    sublayer: str
    phase: str
    gathers: bool = False
    """Whether N is sliced, and the whole input is gathered first."""


# In execution order: going back through a layer, the MLP comes before the attention.
_SLICES = (
    Slice("op", "forward"),  # attention output projection: K = width of all heads
    Slice("fc2", "forward"),  # second MLP layer: K = width of the MLP
    Slice("fc1", "backward"),  # input gradient of the first MLP layer: K = what it makes
    Slice("ip", "backward"),  # input gradient of the Q, K and V projections: K = their width
)

# With sequence parallelism (arXiv 2205.05198) each GPU has whole rows of some tokens between the GEMMs of a block.
# Each all-gather there turns into a reduce-scatter on the way back, and the other way round.
_SEQUENCE_PARALLEL = (
    Slice("ip", "forward", gathers=True),
    Slice("op", "forward"),
    Slice("fc1", "forward", gathers=True),
    Slice("fc2", "forward"),
    Slice("fc2", "backward", gathers=True),
    Slice("fc1", "backward"),
    Slice("op", "backward", gathers=True),
    Slice("ip", "backward"),
)

# Attention and MLP beside each other (PaLM, arXiv 2204.02311, section 2) have one GEMM that leads in and one that leads
# out: what they make is side by side, or summed.
_PARALLEL = (Slice("out", "forward"), Slice("in", "backward"))
_PARALLEL_SEQUENCE_PARALLEL = (
    Slice("in", "forward", gathers=True),
    Slice("out", "forward"),
    Slice("out", "backward", gathers=True),
    Slice("in", "backward"),
)

# Where queries, keys and values come by way of low ranks, every GPU has the way down whole, and its heads' way up.
_WAYS_UP = ("q-up", "kv-up")


SUBLAYERS = tuple((part.phase, part.sublayer) for part in _SLICES)
"""Phase and name of each sublayer of a model whose attention and MLP follow each other, in its order."""


def slices(model: ModelSpec, *, sequence_parallel: bool = False) -> tuple[Slice, ...]:
    """List the sliced sublayers of a layer in execution order; of experts, whose GEMMs end in no such pair, none."""
    if model.block == "parallel":
        return _PARALLEL_SEQUENCE_PARALLEL if sequence_parallel else _PARALLEL
    found = tuple(_of_one_part(model, sequence_parallel=sequence_parallel))
    return tuple(part for part in found if part.sublayer not in ("fc1", "fc2")) if model.experts is not None else found


def _of_one_part(model: ModelSpec, *, sequence_parallel: bool) -> Iterator[Slice]:
    """List those of an attention and an MLP that follow each other."""
    for part in _SEQUENCE_PARALLEL if sequence_parallel else _SLICES:
        if part.sublayer == "ip" and model.latent_attention is not None:
            yield from (part._replace(sublayer=name) for name in _WAYS_UP)
        else:
            yield part


def share(model: ModelSpec, sublayer: str, tp: int) -> int:
    """Length of what is sliced on one of `tp` GPUs.

    Where heads share keys and values, and there are fewer of these than GPUs, each GPU has one, and several have the
    same.
    """
    if sublayer in ("ip", "in") and model.heads and model.kv_heads and model.kv_heads < tp:
        own = model.heads * model.head_width // tp + 2 * model.head_width
        return own + (model.entering_width // tp if sublayer == "in" else 0)
    # Only the active rows of a sparse MLP may come out uneven: they are counted where most are.
    return ceil_div(_width(model, sublayer), tp)


def whole(model: ModelSpec, sublayer: str) -> int:
    """Length of a sublayer's GEMM that is not sliced: a row of the layer, or the low rank that a way up starts from."""
    latent = model.latent_attention
    if latent is None or sublayer not in _WAYS_UP:
        return model.hidden
    return latent.query_rank if sublayer == "q-up" else latent.key_value_rank


def _width(model: ModelSpec, sublayer: str) -> int:
    """Length of what is sliced, on all GPUs together."""
    leaving = {"op": model.attention_width, "fc2": model.mlp_width}
    entering = {"ip": model.qkv_width, "fc1": model.entering_width}
    both = {"out": sum(leaving.values()), "in": sum(entering.values())}
    if (sparse := model.sparse_mlp) is not None:
        leaving["fc2"], entering["fc1"] = sparse.active_width, sparse.width
    ways_up = {}
    if (latent := model.latent_attention) is not None:
        heads, nope = model.heads or 1, latent.nope_dim
        ways_up = {"q-up": heads * (nope + latent.rope_dim), "kv-up": heads * (nope + latent.value_dim)}
    return (leaving | entering | both | ways_up)[sublayer]


def sliced_sublayer(
    model: ModelSpec, sublayer: str, phase: str, tp: int, tokens: int, *, sequence_parallel: bool = False
) -> Sublayer:
    """Make one sublayer of `transformer_trace`: a GEMM with the collectives before or after it."""
    # One layer may be unlike the others: dense before those with experts, or left with one of its two parts.
    known = (
        *slices(model, sequence_parallel=sequence_parallel),
        *_of_one_part(model, sequence_parallel=sequence_parallel),
    )
    part = next(part for part in known if (part.sublayer, part.phase) == (sublayer, phase))
    name = f"{phase}/{sublayer}" if sequence_parallel else sublayer
    steps = _steps(part, name, model, tp, tokens, model.dtype, sequence_parallel=sequence_parallel)
    return Sublayer(model=model.name, phase=phase, sublayer=sublayer, tp=tp, operations=tuple(_in_a_row(steps)))


def exchange(
    model: ModelSpec,
    sublayer: str,
    phase: str,
    tp: int,
    tokens: int,
    ops: Sequence[Literal["all_gather", "reduce_scatter"]],
) -> Sublayer:
    """Make a sublayer of collectives alone, each over all rows of a layer."""
    nbytes = tokens * model.hidden * DTYPE_BYTES[model.dtype]
    steps = [
        Collective(
            op=op,
            id=f"{sublayer}.{short_name(op)}",
            phase=phase,
            sublayer=sublayer,
            bytes=nbytes,
            dtype=model.dtype,
        )
        for op in ops
    ]
    return Sublayer(model=model.name, phase=phase, sublayer=sublayer, tp=tp, operations=tuple(_in_a_row(steps)))


def transformer_trace(
    model: ModelSpec,
    tp: int,
    *,
    tokens: int | None = None,
    dtype: str | None = None,
    sequence_parallel: bool = False,
) -> Trace:
    """Make the trace of one layer: its sublayers, each a GEMM, its reduce-scatter and its all-gather.

    `tp` is the number of GPUs that share the layer and need not be one of the model's own; `tokens` (rows
    of every GEMM) and `dtype` replace the model's. With `sequence_parallel` there are twice as many sublayers:
    an all-gather and the GEMM that takes what it gathers, or a GEMM and its reduce-scatter.

    Raises:
        InputError: tp does not divide what it slices, or with `sequence_parallel` the tokens, a number is
            out of range, or the dtype is unknown.

    """
    tokens = model.tokens if tokens is None else tokens
    dtype = model.dtype if dtype is None else dtype
    if problems := list(_problems(model, tp, tokens, dtype, sequence_parallel=sequence_parallel)):
        raise InputError(*problems)
    operations: list[TracedOperation] = []
    for part in slices(model, sequence_parallel=sequence_parallel):
        # With both phases of each name, ids start with what tells them apart.
        name = f"{part.phase}/{part.sublayer}" if sequence_parallel else part.sublayer
        operations += _steps(part, name, model, tp, tokens, cast("Dtype", dtype), sequence_parallel=sequence_parallel)
    how = ", sequence-parallel" if sequence_parallel else ""
    return Trace(
        model=model.name,
        tp=tp,
        description=f"one of {model.layers} layers of {model.name}, {tokens} tokens, {dtype}, TP {tp}{how}",
        operations=tuple(_in_a_row(operations)),
    )


def _steps(
    part: Slice, name: str, model: ModelSpec, tp: int, tokens: int, dtype: Dtype, *, sequence_parallel: bool
) -> tuple[TracedOperation, ...]:
    gemm = _gemm(part, name, model, tp, tokens, dtype)
    return _gathered(gemm) if part.gathers else _reduced(gemm, whole=not sequence_parallel)


def _in_a_row(steps: Sequence[TracedOperation]) -> Iterator[TracedOperation]:
    """Let each step wait for the one before it."""
    for number, step in enumerate(steps):
        yield step.model_copy(update={"after": (steps[number - 1].id,) if number else ()})


def _gemm(part: Slice, name: str, model: ModelSpec, tp: int, tokens: int, dtype: Dtype) -> Gemm:
    """Make the GEMM of a sublayer, as one GPU of `tp` has it."""
    sliced, other = share(model, part.sublayer, tp), whole(model, part.sublayer)
    return Gemm(
        id=f"{name}.gemm",
        phase=part.phase,
        sublayer=part.sublayer,
        M=tokens,
        N=sliced if part.gathers else other,
        K_local=other if part.gathers else sliced,
        dtype=dtype,
    )


def _gathered(gemm: Gemm) -> tuple[TracedOperation, ...]:
    """Put the all-gather of its input, of which each GPU has some rows, before a GEMM."""
    return _beside(gemm, "all_gather", gemm.input_bytes), gemm


def _reduced(gemm: Gemm, *, whole: bool) -> tuple[TracedOperation, ...]:
    """Sum the partial outputs of a GEMM up; `whole`: every GPU gets all of the sum, and not its share alone."""
    scatter = _beside(gemm, "reduce_scatter", gemm.output_bytes)
    return (gemm, scatter, _beside(gemm, "all_gather", gemm.output_bytes)) if whole else (gemm, scatter)


def _beside(gemm: Gemm, op: Literal["all_gather", "reduce_scatter"], nbytes: int) -> Collective:
    """Make a collective of the same sublayer."""
    name = f"{gemm.id.removesuffix('.gemm')}.{short_name(op)}"
    return Collective(op=op, id=name, phase=gemm.phase, sublayer=gemm.sublayer, bytes=nbytes, dtype=gemm.dtype)


def _problems(model: ModelSpec, tp: int, tokens: int, dtype: str, *, sequence_parallel: bool) -> Iterator[Problem]:
    if not 2 <= tp <= MOST_GPUS:  # noqa: PLR2004  a group is at least a pair
        yield Problem(message=f"a tensor-parallel group has 2 to {MOST_GPUS} GPUs", key="tp", value=tp)
    else:
        kv_heads = model.kv_heads or tp
        if max(kv_heads, tp) % min(kv_heads, tp):
            message = (
                f"{model.name}: {tp} GPUs cannot have {kv_heads} heads of keys and values evenly, or copies of them"
            )
            yield Problem(message=message, key="tp", value=tp)
        for what, length in _shared_lengths(model):
            if length % tp:
                message = f"{model.name}: {indivisible(what, length, tp)}"
                yield Problem(message=message, key="tp", value=tp)
                break
    if not 0 < tokens <= MOST_EXTENT:
        yield Problem(message=f"a trace has 1 to {MOST_EXTENT} tokens", key="tokens", value=tokens)
    elif sequence_parallel and tp > 1 and tokens % tp:
        message = f"{tp} GPUs cannot share {tokens} tokens evenly, which sequence parallelism divides among them"
        yield Problem(message=message, key="tokens", value=tokens)
    if dtype not in DTYPE_BYTES:
        yield Problem(message="unknown dtype", key="dtype", value=dtype, known=tuple(DTYPE_BYTES))


def _shared_lengths(model: ModelSpec) -> Iterator[tuple[str, int]]:
    """List what a group divides evenly."""
    yield "hidden size", model.hidden
    yield "width of all heads", model.attention_width
    if model.latent_attention is not None:
        yield from ((f"width of {name}", _width(model, name)) for name in _WAYS_UP)
    if model.sparse_mlp is not None:
        yield "width of the sparse MLP", model.sparse_mlp.width
    elif model.experts is None or model.experts.dense_layers:
        yield "width of the MLP", model.mlp_width
    if model.experts is not None:
        yield "width of an expert", model.experts.intermediate
