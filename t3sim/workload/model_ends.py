"""What comes before a model's first layer and after its last one: embedding, LM head, loss, optimizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from t3sim.workload.layers import Kernel, Rows, Step
from t3sim.workload.operations import DTYPE_BYTES, Collective, Gemm, Sublayer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from t3sim.workload.models import ModelSpec

OPTIMIZER_BYTES = 4 + 3 * 4 + 3 * 4 + 2
"""Read and written for a parameter by Adam in mixed precision: gradient and three fp32 states in, these and fp16 out.

ZeRO, arXiv 1910.02054, section 3.1: 12 bytes of state a parameter; here with a gradient in fp32.
"""
_LOSS_FORWARD = 6 + 4 + 8 + 8 + 4 + 8
"""Bytes that the loss moves for a logit, in fp32: from 16 bits, largest, less it, exponential, sum, over it.

Megatron-LM, megatron/mpu/cross_entropy.py: kernels of their own.
"""
_LOSS_BACKWARD = 8 + 6
"""The same going back: times the gradient of the loss, and back to 16 bits."""


def embedding_forward(model: ModelSpec, rows: Rows) -> Iterator[Step]:
    """Look up tokens and add positions; GPUs that share the table add up what each has found."""
    if model.vocabulary is None:
        return
    ways = 4 if model.positions else 2
    yield Kernel("embedding", "embedding", ways * rows.own * model.hidden * DTYPE_BYTES[model.dtype])
    if rows.tp > 1:
        yield _summed("embedding", "forward", model, rows)


def embedding_backward(model: ModelSpec, rows: Rows) -> Iterator[Step]:
    """Add gradients to the rows of tokens and positions."""
    if model.vocabulary is None:
        return
    ways = 6 if model.positions else 3
    yield Kernel("embedding", "embedding", ways * rows.own * model.hidden * DTYPE_BYTES[model.dtype])


def head_forward(model: ModelSpec, rows: Rows, tokens: int) -> Iterator[Step]:
    """Norm what the last layer gives and make logits for ``tokens`` of its rows; in training, the loss."""
    element = DTYPE_BYTES[model.dtype]
    if model.block not in ("post-ln", "no-ln"):
        yield Kernel("last norm", "norm", 2 * rows.own * model.hidden * element)
    if model.vocabulary is None:
        return
    own = -(-model.vocabulary // rows.tp)
    yield _gemm("lm-head", "forward", tokens, own, model.hidden, model)
    if rows.training:
        yield Kernel("loss", "loss", _LOSS_FORWARD * tokens * own)


def head_backward(model: ModelSpec, rows: Rows) -> Iterator[Step]:
    """Go back through the loss, the LM head and the last norm."""
    element = DTYPE_BYTES[model.dtype]
    if model.vocabulary is not None:
        own = -(-model.vocabulary // rows.tp)
        yield Kernel("loss", "loss", _LOSS_BACKWARD * rows.tokens * own)
        yield _gemm("lm-head", "backward", rows.tokens, model.hidden, own, model)
        if rows.tp > 1:
            yield _summed("lm-head", "backward", model, rows)
        yield _gemm("lm-head.weights", "backward", own, model.hidden, rows.tokens, model)
    if model.block not in ("post-ln", "no-ln"):
        yield Kernel("last norm", "norm", 3 * rows.own * model.hidden * element)


def optimizer(parameters: int) -> Kernel:
    """Update so many parameters of one GPU."""
    return Kernel("optimizer", "optimizer", parameters * OPTIMIZER_BYTES)


def _gemm(name: str, phase: str, m: int, n: int, k: int, model: ModelSpec) -> Gemm:
    return Gemm(id=f"{name}.gemm", phase=phase, sublayer=name, M=m, N=n, K_local=k, dtype=model.dtype)


def _summed(name: str, phase: str, model: ModelSpec, rows: Rows) -> Sublayer:
    """Add up rows of the hidden size over the GPUs: each gets all, or with sequence parallelism its own."""
    nbytes = rows.tokens * model.hidden * DTYPE_BYTES[model.dtype]
    ops: list[Literal["reduce_scatter", "all_gather"]] = ["reduce_scatter"]
    if not rows.sequence_parallel:
        ops.append("all_gather")
    operations = tuple(
        Collective(
            op=op,
            id=f"{name}.{op}",
            phase=phase,
            sublayer=name,
            bytes=nbytes,
            dtype=model.dtype,
            after=(f"{name}.{ops[number - 1]}",) if number else (),
        )
        for number, op in enumerate(ops)
    )
    return Sublayer(model=model.name, phase=phase, sublayer=name, tp=rows.tp, operations=operations)
