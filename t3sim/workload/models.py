"""Transformer models as a few numbers, and the sublayers that tensor parallelism makes of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, NamedTuple, Self, cast

from pydantic import Field, PositiveInt, model_validator

from t3sim.config import Loaded, Spec, load
from t3sim.errors import InputError, Problem
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
    """A sublayer whose GEMM tensor parallelism slices along K."""

    sublayer: str
    phase: str
    k_per_hidden: int


# In execution order: going back through a layer, the MLP comes before the attention.
_SLICES = (
    _Slice("op", "forward", 1),  # attention output projection: K = H
    _Slice("fc2", "forward", 4),  # second MLP layer: K = 4 H
    _Slice("fc1", "backward", 4),  # input gradient of the first MLP layer: K = 4 H
    _Slice("ip", "backward", 3),  # input gradient of the Q, K and V projections: K = 3 H
)

SUBLAYERS = tuple((part.phase, part.sublayer) for part in _SLICES)
"""Phase and name of each sublayer that a model's trace has, in its order."""


def load_model(ref: str | Path, *, folder: Path, overrides: Sequence[str] = ()) -> Loaded[ModelSpec]:
    """Load a model by path, or by name from `folder`.

    Raises:
        InputError: the file cannot be read, or is no valid model; it names every fault and its line.

    """
    return load(ModelSpec, ref, folder=folder, format_name=MODEL_FORMAT, overrides=overrides)


def transformer_trace(model: ModelSpec, tp: int, *, tokens: int | None = None, dtype: str | None = None) -> Trace:
    """Make the trace of one layer: four sublayers, each a GEMM, its reduce-scatter and its all-gather.

    `tp` is the number of GPUs that share the layer and need not be one of the model's own; `tokens` (rows
    of every GEMM) and `dtype` replace the model's.

    Raises:
        InputError: tp does not divide the hidden size, a number is out of range, or the dtype is unknown.

    """
    tokens = model.tokens if tokens is None else tokens
    dtype = model.dtype if dtype is None else dtype
    if problems := list(_problems(model, tp, tokens, dtype)):
        raise InputError(*problems)
    operations: list[TracedOperation] = []
    for part in _SLICES:
        before = (operations[-1].id,) if operations else ()
        gemm = Gemm(
            id=f"{part.sublayer}.gemm",
            phase=part.phase,
            sublayer=part.sublayer,
            M=tokens,
            N=model.hidden,
            K_local=part.k_per_hidden * model.hidden // tp,
            dtype=cast("Dtype", dtype),
            after=before,
        )
        operations += (gemm, *_reduction(gemm))
    return Trace(
        model=model.name,
        tp=tp,
        description=f"one of {model.layers} layers of {model.name}, {tokens} tokens, {dtype}, TP {tp}",
        operations=tuple(operations),
    )


def _reduction(gemm: Gemm) -> tuple[Collective, Collective]:
    """Make the reduce-scatter and the all-gather that turn partial outputs into the sum on every GPU."""
    reduce_scatter = Collective(
        op="reduce_scatter",
        id=f"{gemm.sublayer}.rs",
        phase=gemm.phase,
        sublayer=gemm.sublayer,
        bytes=gemm.output_bytes,
        dtype=gemm.dtype,
        after=(gemm.id,),
    )
    step = {"op": "all_gather", "id": f"{gemm.sublayer}.ag", "after": (reduce_scatter.id,)}
    return reduce_scatter, reduce_scatter.model_copy(update=step)


def _problems(model: ModelSpec, tp: int, tokens: int, dtype: str) -> Iterator[Problem]:
    if not 2 <= tp <= MOST_GPUS:  # noqa: PLR2004  a group is at least a pair
        yield Problem(message=f"a tensor-parallel group has 2 to {MOST_GPUS} GPUs", key="tp", value=tp)
    elif model.hidden % tp:
        yield Problem(message=f"{model.name}: {_indivisible(model.hidden, tp)}", key="tp", value=tp)
    if not 0 < tokens <= MOST_EXTENT:
        yield Problem(message=f"a trace has 1 to {MOST_EXTENT} tokens", key="tokens", value=tokens)
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
