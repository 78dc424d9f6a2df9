"""Kernels that are neither GEMMs nor collectives: how long they take, by what they move and compute.

    kernel     = start + bytes / (share of its class x DRAM peak)
    attention  = the kernels of unfused attention one by one, or one fused kernel (FlashAttention, arXiv 2205.14135)

A fused kernel gives a block of queries of one head to a workgroup, which goes over the keys that its queries look at;
those of one new token share keys and values among all CUs (flash decoding) and are bound by reading them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from t3sim.config import Femtoseconds, Spec
from t3sim.units import FS_PER_S, ceil_div
from t3sim.workload.layers import MASK_BYTES, Attention, Kernel, Kind
from t3sim.workload.operations import DTYPE_BYTES

LEAST_SHARE = 0.001
Share = Annotated[float, Field(ge=LEAST_SHARE, le=1)]

QUERIES = 128
"""Queries that a workgroup of a fused kernel takes (FlashAttention-2, arXiv 2307.08691, section 3.3)."""
MOST_PACKED = 32
"""Query heads that share a head of keys and values and are computed together for one token.

TensorRT-LLM, cpp/tensorrt_llm/kernels/decoderMaskedMultiheadAttention: its XQA kernels are made for up to 32; of more,
each head reads keys and values by itself, all but the first from the LLC.
"""
BACKWARD_PRODUCTS = 2.5
"""Matrix products of a fused backward pass over those of the forward one: five for two (same, section 3.1)."""


class OtherKernelsSpec(Spec):
    """What kernels beside GEMMs and collectives reach."""

    start: Femtoseconds = 0
    """What a kernel takes beside moving its bytes."""
    issue: Femtoseconds = 0
    """What the host takes to issue a kernel of any kind: a layer of many short kernels waits for it."""
    backward_issue: Femtoseconds | None = None
    """The same for the backward pass, which PyTorch issues without Python; none: ``issue``."""
    dram_share: dict[Kind, Share] = Field(default_factory=dict)
    """Of the DRAM's peak that kernels of a class move."""
    other_share: Share = 0.8
    """The same for classes that are not named, and for the products of unfused attention."""
    attention: Literal["fused", "unfused"] = "fused"
    """Whether attention is one kernel, or its products, softmax and dropout are kernels of their own."""
    attention_start: Femtoseconds | None = None
    """What fused attention takes beside; none: ``start``."""
    prompt_share: Share = 0.6
    """Of the matrix rate that fused attention sustains over many new tokens."""
    generation_share: Share = 0.8
    """Of the DRAM's peak at which fused attention reads keys and values for one new token."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What a GPU can do."""

    cus: int
    dram_bytes_per_s: float
    llc_bytes_per_s: float
    flops_per_s: Mapping[str, float]
    """Of one CU, by dtype, as GEMMs sustain it."""


def kernel_fs(kernel: Kernel, spec: OtherKernelsSpec, rates: Rates) -> int:
    """Time of a kernel that the memory bounds."""
    return spec.start + _moving_fs(kernel.nbytes, spec.dram_share.get(kernel.kind, spec.other_share), rates)


def attention_fs(work: Attention, spec: OtherKernelsSpec, rates: Rates, *, in_llc: bool = False) -> int:
    """Time of attention; of as many kernels as ``attention_kernels`` says.

    ``in_llc``: keys and values before one new token are there already, as where the same are read again and again.
    """
    if spec.attention == "unfused":
        return sum(_unfused(work, spec, rates))
    start = spec.start if spec.attention_start is None else spec.attention_start
    if work.new == 1:
        return start + _generation_fs(work, spec, rates, in_llc=in_llc)
    return start + _fused_fs(work, spec, rates)


def attention_kernels(work: Attention, spec: OtherKernelsSpec) -> int:
    """Count the kernels of attention."""
    if spec.attention == "fused":
        return 1
    return (4 if work.backward else 2) + (3 if work.dropout else 2)


def _generation_fs(work: Attention, spec: OtherKernelsSpec, rates: Rates, *, in_llc: bool) -> int:
    """Read keys and values once; where too many heads share them to be packed, once a head."""
    shared = work.heads // work.kv_heads
    again = work.key_value_bytes * (shared - 1) if shared > MOST_PACKED else 0
    first = work.operand_bytes
    reading = (first + again) / rates.llc_bytes_per_s if in_llc or again else 0
    reading = max(reading, 0 if in_llc else first / rates.dram_bytes_per_s)
    return math.ceil(reading * FS_PER_S / spec.generation_share)


def _fused_fs(work: Attention, spec: OtherKernelsSpec, rates: Rates) -> int:
    """Spread workgroups over the CUs, the longest first: none goes over keys that all its queries precede."""
    blocks = ceil_div(work.new, QUERIES)
    last = np.minimum((np.arange(blocks) + 1) * QUERIES, work.new)
    rows = np.diff(last, prepend=0)
    keys = work.cached + last
    flop = 2.0 * np.maximum(rows, QUERIES) * keys * (work.head_dim + work.value_dim)
    flop *= BACKWARD_PRODUCTS if work.backward else 1
    each = np.sort(np.tile(flop, work.sequences * work.heads))[::-1]
    longest = _longest(each, rates.cus)
    computing = math.ceil(longest * FS_PER_S / (rates.flops_per_s[work.dtype] * spec.prompt_share))
    return max(computing, _moving_fs(work.operand_bytes * (3 if work.backward else 1), spec.other_share, rates))


def _longest(each: np.ndarray, cus: int) -> float:
    """Bound from below what the busiest of the CUs has, of workgroups in descending order."""
    if len(each) <= cus:
        return float(each[0])
    return float(max(each[0], each.sum() / cus, each[cus - 1] + each[cus]))


def _unfused(work: Attention, spec: OtherKernelsSpec, rates: Rates) -> list[int]:
    """List the times of its kernels: products over all scores, softmax, and dropout in training."""
    element = DTYPE_BYTES[work.dtype]
    scores, products = work.scores * element, 4 if work.backward else 2
    product_bytes = scores + work.operand_bytes // 2
    rate = rates.cus * rates.flops_per_s[work.dtype]
    computing = math.ceil(work.flop / products * FS_PER_S / rate)
    product = spec.start + max(computing, _moving_fs(product_bytes, spec.other_share, rates))
    moved = 3 if work.backward else 2
    softmax = kernel_fs(Kernel("softmax", "softmax", moved * scores), spec, rates)
    mask = Kernel("dropout", "dropout", 2 * scores + work.scores * MASK_BYTES)
    # Heads are put side by side for the projection; going back, gradients of queries, keys and values are.
    own = work.operand_bytes if work.backward else work.output_bytes
    copied = kernel_fs(Kernel("heads", "copy", 2 * own), spec, rates)
    return [product] * products + [softmax, copied] + ([kernel_fs(mask, spec, rates)] if work.dropout else [])


def _moving_fs(nbytes: float, share: float, rates: Rates) -> int:
    return math.ceil(nbytes * FS_PER_S / (rates.dram_bytes_per_s * share))
