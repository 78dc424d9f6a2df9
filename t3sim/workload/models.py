"""Transformer models as a few numbers: what one file of `configs/models` says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from t3sim.config import Loaded, Spec, load
from t3sim.errors import InputError, Problem
from t3sim.workload.faults import fault, refuse
from t3sim.workload.operations import MOST_EXTENT, Degree, Dtype, Extent, Name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pydantic_core import InitErrorDetails

MODEL_FORMAT = "t3sim-model"

Block = Literal["pre-ln", "post-ln", "peri-ln", "branch-ln", "no-ln", "parallel"]
Activation = Literal["gelu", "relu", "silu", "swiglu", "geglu"]
_GATED: tuple[Activation, ...] = ("swiglu", "geglu")
_DIVISORS_SHOWN = 4
_NORMS: dict[Block, int] = {"pre-ln": 2, "post-ln": 2, "peri-ln": 4, "branch-ln": 2, "no-ln": 0, "parallel": 1}


class ExpertsSpec(Spec):
    """A mixture of experts in place of the MLP: each token goes to `active` of `count` experts."""

    count: Annotated[int, Field(gt=1, le=MOST_EXTENT)]
    """Experts of a layer."""
    active: PositiveInt
    """Experts that a token goes to."""
    intermediate: Extent
    """Width of one expert."""
    shared: Annotated[int, Field(ge=0)] = 0
    """Experts of the same width that every token goes to as well."""
    dense_layers: Annotated[int, Field(ge=0)] = 0
    """First layers that have the MLP instead."""

    @model_validator(mode="after")
    def _no_more_than_there_are(self) -> Self:
        if self.active > self.count:
            message = f"a token goes to {self.active} of {self.count} experts"
            refuse(self, [fault(("active",), message, self.active)])
        return self


class SparseMlpSpec(Spec):
    """A wide MLP of which few rows are active for a token, as a transcoder that stands in for the MLP has it."""

    width: Extent
    """Rows of the wide layer, which its encoder computes all of."""
    active: Annotated[float, Field(gt=0, le=1)]
    """Share of them that is active: what the decoder reads."""

    @property
    def active_width(self) -> int:
        """Rows that are active, at least one."""
        return max(1, round(self.active * self.width))


class LatentAttentionSpec(Spec):
    """Queries, keys and values by way of low ranks (DeepSeek-V2, arXiv 2405.04434, section 2.1)."""

    query_rank: Extent
    """Columns that queries are projected down to."""
    key_value_rank: Extent
    """Columns that keys and values are projected down to together."""
    nope_dim: Extent
    """Of a head's query and key: without position."""
    rope_dim: Extent
    """With a rotary position; one key for all heads."""
    value_dim: Extent
    """Of a head's value."""


class ModelSpec(Spec):
    """A Transformer; the first six keys are all that its tensor-parallel GEMMs need of a GPT."""

    name: Name
    """What results call it."""
    hidden: Annotated[int, Field(gt=0, le=MOST_EXTENT // 4)]
    """Width H."""
    layers: PositiveInt
    """Layers of the model."""
    tokens: Extent
    """Rows that one iteration pushes through a layer: sequence length x batch."""
    tp: Annotated[tuple[Degree, ...], Field(min_length=1)]
    """Tensor-parallel degrees at which the model is studied."""
    dtype: Dtype
    """Type of all elements: `fp32`, `fp16`, `bf16` or `fp8`."""
    sequence: Extent | None = None
    """Tokens of one sequence; none: all tokens are one."""
    heads: Extent | None = None
    """Attention heads; without them the model has no attention to be timed."""
    kv_heads: Extent | None = None
    """Heads of keys and values, which query heads share (GQA; 1: MQA); none: as many as heads."""
    head_dim: Extent | None = None
    """Width of a head; none: `hidden` / `heads`."""
    intermediate: Extent | None = None
    """Width of the MLP; none: 4 H."""
    activation: Activation = "gelu"
    """`gelu`, `relu`, `silu`; gated ones (`swiglu`, `geglu`) have a third matrix."""
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    """`layernorm` has a scale and a shift, `rmsnorm` a scale."""
    block: Block = "pre-ln"
    """Where norms stand: before each part, after its sum (`post-ln`), around it (`peri-ln`), after its branch
    (`branch-ln`), nowhere (`no-ln`); `parallel`: attention beside the MLP, with one norm before both."""
    qk_norm: bool = False
    """Whether queries and keys are normed, head by head."""
    vocabulary: Extent | None = None
    """Rows of the embedding; without them a model has neither embedding nor LM head."""
    tied_embeddings: bool = True
    """Whether the LM head is the embedding."""
    positions: Annotated[int, Field(ge=0, le=MOST_EXTENT)] = 0
    """Rows of a learned position embedding; 0: rotary positions, or none."""
    biases: bool | Literal["qkv"] = True
    """Whether matrices have biases; `qkv`: only those of queries, keys and values."""
    experts: ExpertsSpec | None = None
    sparse_mlp: SparseMlpSpec | None = None
    latent_attention: LatentAttentionSpec | None = None
    pruned: dict[str, tuple[Literal["attention", "mlp"], ...]] = Field(default_factory=dict)
    """Parts that layers have lost, by number from 0, as SPRINT leaves them."""

    @property
    def gated(self) -> bool:
        """Whether the MLP has a gate."""
        return self.activation in _GATED

    @property
    def mlp_width(self) -> int:
        """Width of the MLP."""
        return 4 * self.hidden if self.intermediate is None else self.intermediate

    @property
    def entering_width(self) -> int:
        """Columns that the first matrix of the MLP makes: with a gate, twice its width."""
        return self.mlp_width * (2 if self.gated else 1)

    @property
    def head_width(self) -> int:
        """Width of a head; without `heads`, of one head of all."""
        return self.hidden // (self.heads or 1) if self.head_dim is None else self.head_dim

    @property
    def key_value_heads(self) -> int:
        """Heads of keys, and of values."""
        return (self.heads or 1) if self.kv_heads is None else self.kv_heads

    @property
    def attention_width(self) -> int:
        """Columns that all heads give to the output projection."""
        if self.latent_attention is not None:
            return (self.heads or 1) * self.latent_attention.value_dim
        return self.hidden if self.heads is None else self.heads * self.head_width

    @property
    def qkv_width(self) -> int:
        """Columns of queries, keys and values together."""
        if self.heads is None:
            return 3 * self.hidden
        return (self.heads + 2 * self.key_value_heads) * self.head_width

    @property
    def norms(self) -> int:
        """Norms of a block."""
        return _NORMS[self.block]

    def has_experts(self, layer: int) -> bool:
        """Whether a layer, counted from 0, has experts."""
        return self.experts is not None and layer >= self.experts.dense_layers

    def keeps(self, layer: int, part: str) -> bool:
        """Whether a layer, counted from 0, still has its `attention` or `mlp`."""
        return part not in self.pruned.get(str(layer), ())

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse(self, self._faults())
        return self

    def _faults(self) -> Iterator[InitErrorDetails]:
        for i, tp in enumerate(self.tp):
            if self.hidden % tp:
                yield fault(("tp", i), indivisible("hidden size", self.hidden, tp), tp)
        heads, kv_heads = self.heads, self.kv_heads
        if heads is None:
            of_heads = [key for key in ("kv_heads", "head_dim", "latent_attention") if getattr(self, key) is not None]
            yield from (fault((key,), "needs the number of heads: heads", getattr(self, key)) for key in of_heads)
        elif heads is not None and self.head_dim is None and not self.latent_attention and self.hidden % heads:
            yield fault(("heads",), indivisible("hidden size", self.hidden, heads, "heads"), heads)
        if heads is not None and kv_heads is not None and heads % kv_heads:
            yield fault(("kv_heads",), f"{heads} heads cannot share {kv_heads} heads of keys and values", kv_heads)
        if self.experts is not None and self.sparse_mlp is not None:
            yield fault(("sparse_mlp",), "stands for the MLP, as experts do: a model has one of them", "sparse_mlp")
        if self.experts is not None and self.experts.dense_layers > self.layers:
            yield fault(("experts", "dense_layers"), f"the model has {self.layers} layers", self.experts.dense_layers)
        yield from self._parallel_faults()
        for name in self.pruned:
            if not (name.isdecimal() and int(name) < self.layers):
                message = f"is no layer: they are counted from 0 to {self.layers - 1}"
                yield fault(("pruned", name), message, name)

    def _parallel_faults(self) -> Iterator[InitErrorDetails]:
        """Find what cannot stand beside the other part: one GEMM leads into both parts, and one out of them."""
        for key in ("experts", "sparse_mlp", "latent_attention"):
            if self.block == "parallel" and getattr(self, key) is not None:
                yield fault((key,), "not in a parallel block, whose attention and MLP share their GEMMs", key)


def load_model(ref: str | Path, *, folder: Path, overrides: Sequence[str] = ()) -> Loaded[ModelSpec]:
    """Load a model by path, or by name from `folder`.

    Raises:
        InputError: the file cannot be read, or is no valid model; it names every fault and its line.

    """
    return load(ModelSpec, ref, folder=folder, format_name=MODEL_FORMAT, overrides=overrides)


def require(model: ModelSpec, *keys: str) -> None:
    """Ask for keys that a model may lack.

    Raises:
        InputError: it does; one problem each.

    """
    missing = [key for key in keys if getattr(model, key) is None]
    if missing:
        raise InputError(*(Problem(message=f"{model.name} does not say this", key=key) for key in missing))


def indivisible(what: str, length: int, wanted: int, sharers: str = "GPUs") -> str:
    """Say that so many cannot share a length evenly, and who near that number could."""
    near = ", ".join(map(str, _divisors_near(length, wanted))) or "none"
    return f"{wanted} {sharers} cannot share the {what} {length} evenly (near degrees that can: {near})"


def _divisors_near(number: int, wanted: int) -> list[int]:
    """Up to four divisors of `number` above 1, those nearest to `wanted`, ascending."""
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    divisors = {*small, *(number // d for d in small)} - {1}
    return sorted(sorted(divisors, key=lambda d: (abs(d - wanted), d))[:_DIVISORS_SHOWN])
