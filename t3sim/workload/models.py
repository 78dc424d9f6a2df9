"""Transformer models as a few numbers, and the sublayers that tensor parallelism makes of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Self, cast

from pydantic import Field, PositiveInt, model_validator

from t3sim.config import Loaded, Spec, load
from t3sim.errors import InputError, Problem
from t3sim.results import short_name
from t3sim.workload.faults import fault, refuse
from t3sim.workload.operations import (
    DTYPE_BYTES,
    MOST_EXTENT,
    MOST_GPUS,
    Collective,
    Degree,
    Dtype,
    Extent,
    Gemm,
    Name,
    Trace,
    TracedOperation,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MODEL_FORMAT = "t3sim-model"
_DIVISORS_SHOWN = 4


class ModelSpec(Spec):
    """A Transformer as far as its tensor-parallel GEMMs need it.

    `hidden` is the width H (the MLP is 4 H wide), `tokens` the rows that one iteration pushes through a
    layer (sequence length x batch), and `tp` the tensor-parallel degrees at which the model is studied.
    """

    name: Name
    hidden: Annotated[int, Field(gt=0, le=MOST_EXTENT // 4)]
    layers: PositiveInt
    tokens: Extent
    tp: Annotated[tuple[Degree, ...], Field(min_length=1)]
    dtype: Dtype

    @model_validator(mode="after")
    def _tp_divides_hidden(self) -> Self:
        uneven = [(i, tp) for i, tp in enumerate(self.tp) if self.hidden % tp]
        refuse(self, [fault(("tp", i), _indivisible(self.hidden, tp), tp) for i, tp in uneven])
        return self


class _Slice(NamedTuple):
    """A sublayer whose GEMM tensor parallelism slices: along K, so that outputs are to be summed, or along N."""

    sublayer: str
    phase: str
    width: int
    """Length of what is sliced, in hidden sizes."""
    gathers: bool = False
    """Whether N is sliced, and the whole input is gathered first."""


# In execution order: going back through a layer, the MLP comes before the attention.
_SLICES = (
    _Slice("op", "forward", 1),  # attention output projection: K = H
    _Slice("fc2", "forward", 4),  # second MLP layer: K = 4 H
    _Slice("fc1", "backward", 4),  # input gradient of the first MLP layer: K = 4 H
    _Slice("ip", "backward", 3),  # input gradient of the Q, K and V projections: K = 3 H
)

# With sequence parallelism (arXiv 2205.05198) each GPU has whole rows of some tokens between the GEMMs of a block.
# Each all-gather there turns into a reduce-scatter on the way back, and the other way round.
_SEQUENCE_PARALLEL = (
    _Slice("ip", "forward", 3, gathers=True),
    _Slice("op", "forward", 1),
    _Slice("fc1", "forward", 4, gathers=True),
    _Slice("fc2", "forward", 4),
    _Slice("fc2", "backward", 4, gathers=True),
    _Slice("fc1", "backward", 4),
    _Slice("op", "backward", 1, gathers=True),
    _Slice("ip", "backward", 3),
)

SUBLAYERS = tuple((part.phase, part.sublayer) for part in _SLICES)
"""Phase and name of each sublayer that a model's trace has, in its order."""


def load_model(ref: str | Path, *, folder: Path, overrides: Sequence[str] = ()) -> Loaded[ModelSpec]:
    """Load a model by path, or by name from `folder`.

    Raises:
        InputError: the file cannot be read, or is no valid model; it names every fault and its line.

    """
    return load(ModelSpec, ref, folder=folder, format_name=MODEL_FORMAT, overrides=overrides)


def transformer_trace(
    model: ModelSpec,
    tp: int,
    *,
    tokens: int | None = None,
    dtype: str | None = None,
    sequence_parallel: bool = False,
) -> Trace:
    """Make the trace of one layer: four sublayers, each a GEMM, its reduce-scatter and its all-gather.

    `tp` is the number of GPUs that share the layer and need not be one of the model's own; `tokens` (rows
    of every GEMM) and `dtype` replace the model's. With `sequence_parallel` there are eight sublayers, four
    a phase: an all-gather and the GEMM that takes what it gathers, or a GEMM and its reduce-scatter.

    Raises:
        InputError: tp does not divide the hidden size, or with `sequence_parallel` the tokens, a number is
            out of range, or the dtype is unknown.

    """
    tokens = model.tokens if tokens is None else tokens
    dtype = model.dtype if dtype is None else dtype
    if problems := list(_problems(model, tp, tokens, dtype, sequence_parallel=sequence_parallel)):
        raise InputError(*problems)
    operations: list[TracedOperation] = []
    for part in _SEQUENCE_PARALLEL if sequence_parallel else _SLICES:
        # With both phases of each name, ids start with what tells them apart.
        name = f"{part.phase}/{part.sublayer}" if sequence_parallel else part.sublayer
        gemm = _gemm(part, name, model.hidden // tp, tp, tokens, cast("Dtype", dtype))
        for step in _gathered(gemm) if part.gathers else _reduced(gemm, whole=not sequence_parallel):
            after = (operations[-1].id,) if operations else ()
            operations.append(step.model_copy(update={"after": after}))
    how = ", sequence-parallel" if sequence_parallel else ""
    return Trace(
        model=model.name,
        tp=tp,
        description=f"one of {model.layers} layers of {model.name}, {tokens} tokens, {dtype}, TP {tp}{how}",
        operations=tuple(operations),
    )


def _gemm(part: _Slice, name: str, share: int, tp: int, tokens: int, dtype: Dtype) -> Gemm:
    """Make the GEMM of a sublayer; `share`: what one GPU has of the hidden size."""
    sliced, whole = part.width * share, tp * share
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
    elif model.hidden % tp:
        yield Problem(message=f"{model.name}: {_indivisible(model.hidden, tp)}", key="tp", value=tp)
    if not 0 < tokens <= MOST_EXTENT:
        yield Problem(message=f"a trace has 1 to {MOST_EXTENT} tokens", key="tokens", value=tokens)
    elif sequence_parallel and tp > 1 and tokens % tp:
        message = f"{tp} GPUs cannot share {tokens} tokens evenly, which sequence parallelism divides among them"
        yield Problem(message=message, key="tokens", value=tokens)
    if dtype not in DTYPE_BYTES:
        yield Problem(message="unknown dtype", key="dtype", value=dtype, known=tuple(DTYPE_BYTES))


def _indivisible(hidden: int, tp: int) -> str:
    near = ", ".join(map(str, _divisors_near(hidden, tp))) or "none"
    return f"{tp} GPUs cannot share the hidden size {hidden} evenly (near degrees that can: {near})"


def _divisors_near(number: int, wanted: int) -> list[int]:
    """Up to four divisors of `number` above 1, those nearest to `wanted`, ascending."""
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    divisors = {*small, *(number // d for d in small)} - {1}
    return sorted(sorted(divisors, key=lambda d: (abs(d - wanted), d))[:_DIVISORS_SHOWN])
