"""The sublayers that tensor parallelism makes of a model, as traces of one layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from t3sim.errors import InputError, Problem
from t3sim.results import short_name
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


SUBLAYERS = tuple((part.phase, part.sublayer) for part in _SLICES)
"""Phase and name of each sublayer of a model whose attention and MLP follow each other, in its order."""


def slices(model: ModelSpec, *, sequence_parallel: bool = False) -> tuple[Slice, ...]:
    """List the sliced sublayers of a layer in execution order; of experts, whose GEMMs end in no such pair, none."""
    found = _of_block(model, sequence_parallel=sequence_parallel)
    if model.experts is not None or model.sparse_mlp is not None:
        return tuple(part for part in found if part.sublayer in ("ip", "op"))
    return found


def _of_block(model: ModelSpec, *, sequence_parallel: bool) -> tuple[Slice, ...]:
    if model.block == "parallel":
        return _PARALLEL_SEQUENCE_PARALLEL if sequence_parallel else _PARALLEL
    return _SEQUENCE_PARALLEL if sequence_parallel else _SLICES


def share(model: ModelSpec, sublayer: str, tp: int) -> int:
    """Length of what is sliced on one of `tp` GPUs.

    Where there are fewer heads of keys and values than GPUs, each GPU has one, and several have the same.
    """
    if sublayer in ("ip", "in") and model.heads is not None and model.key_value_heads < tp:
        own = model.heads * model.head_width // tp + 2 * model.head_width
        return own + (model.entering_width // tp if sublayer == "in" else 0)
    return _width(model, sublayer) // tp


def _width(model: ModelSpec, sublayer: str) -> int:
    """Length of what is sliced, on all GPUs together."""
    leaving = {"op": model.attention_width, "fc2": model.mlp_width}
    entering = {"ip": model.qkv_width, "fc1": model.entering_width}
    both = {"out": sum(leaving.values()), "in": sum(entering.values())}
    return (leaving | entering | both)[sublayer]


def sliced_sublayer(
    model: ModelSpec, sublayer: str, phase: str, tp: int, tokens: int, *, sequence_parallel: bool = False
) -> Sublayer:
    """Make one sublayer of `transformer_trace`: a GEMM with the collectives before or after it."""
    part = next(
        part
        for part in _of_block(model, sequence_parallel=sequence_parallel)
        if (part.sublayer, part.phase) == (sublayer, phase)
    )
    name = f"{phase}/{sublayer}" if sequence_parallel else sublayer
    steps = _steps(part, name, model, tp, tokens, model.dtype, sequence_parallel=sequence_parallel)
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
    sliced, whole = share(model, part.sublayer, tp), model.hidden
    return Gemm(
        id=f"{name}.gemm",
        phase=part.phase,
        sublayer=part.sublayer,
        M=tokens,
        N=sliced if part.gathers else whole,
        K_local=whole if part.gathers else sliced,
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
        lengths = {"hidden size": model.hidden}
        kv_heads = model.key_value_heads
        if model.kv_heads is not None and kv_heads < tp and tp % kv_heads:
            message = (
                f"{model.name}: {tp} GPUs cannot have {kv_heads} heads of keys and values evenly, or copies of them"
            )
            yield Problem(message=message, key="tp", value=tp)
        lengths |= {"width of all heads": model.attention_width, "width of the MLP": model.mlp_width}
        for what, length in lengths.items():
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
