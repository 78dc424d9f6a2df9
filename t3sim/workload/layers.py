"""Every kernel of a layer as one GPU of a tensor-parallel group runs it, in order: what it computes and moves.

Bytes are those that a kernel has to read and write once; counts follow Megatron-LM's kernels (arXiv 1909.08053, section
3; 2205.05198, sections 4 and 5). Between the sliced GEMMs every GPU has all rows, or with sequence parallelism its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from t3sim.workload.model_traces import exchange, share, sliced_sublayer, whole
from t3sim.workload.operations import DTYPE_BYTES, Dtype, Gemm, Sublayer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from t3sim.workload.models import ExpertsSpec, ModelSpec

Kind = Literal[
    "norm",
    "residual",
    "activation",
    "softmax",
    "dropout",
    "rotary",
    "embedding",
    "loss",
    "optimizer",
    "gradient",
    "copy",
]
"""Classes of kernels that the memory bounds: those of a class reach the same share of the DRAM's rate."""
Phase = Literal["forward", "backward"]

MASK_BYTES = 1
"""Of an element's entry in a dropout mask."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that the memory bounds."""

    name: str
    kind: Kind
    nbytes: int
    """Bytes that it reads and writes."""


@dataclass(frozen=True, slots=True)
class Attention:
    """Scores, softmax and values of some heads; ``backward``: their gradients."""

    name: str
    sequences: int
    new: int
    """Tokens of a sequence whose queries there are."""
    cached: int
    """Tokens before them, whose keys and values are in memory."""
    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    dtype: Dtype
    backward: bool = False
    dropout: bool = False

    @property
    def context(self) -> int:
        """Tokens that the last query looks at."""
        return self.new + self.cached

    @property
    def scores(self) -> int:
        """Elements of all scores, as unfused kernels compute them: those of later tokens, too."""
        return self.sequences * self.heads * self.new * self.context

    @property
    def flop(self) -> int:
        """Of its two products, or in the backward pass four, over all scores."""
        return 2 * self.scores * (self.head_dim + self.value_dim) * (2 if self.backward else 1)

    @property
    def key_value_bytes(self) -> int:
        """Keys and values, once."""
        width = self.kv_heads * (self.head_dim + self.value_dim) * self.context
        return self.sequences * width * DTYPE_BYTES[self.dtype]

    @property
    def output_bytes(self) -> int:
        """What all heads give."""
        return self.sequences * self.heads * self.value_dim * self.new * DTYPE_BYTES[self.dtype]

    @property
    def operand_bytes(self) -> int:
        """Queries, keys, values and output, once."""
        width = self.heads * (self.head_dim + self.value_dim) * self.new
        return self.sequences * width * DTYPE_BYTES[self.dtype] + self.key_value_bytes


Step = Gemm | Sublayer | Kernel | Attention
"""A GEMM alone, one with its collectives, or another kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What one GPU of a group computes at a time, and how the group shares it."""

    sequences: int
    new: int
    """Tokens of a sequence that are computed."""
    cached: int = 0
    """Tokens of it that were computed before, and are kept as keys and values."""
    tp: int = 1
    sequence_parallel: bool = False
    training: bool = False
    """Whether dropout masks are made, and all inputs kept."""
    adds_gradients: bool = False
    """Whether kernels of their own add gradients of weights to those of earlier micro-batches."""

    @property
    def tokens(self) -> int:
        """Rows of every GEMM."""
        return self.sequences * self.new

    @property
    def own(self) -> int:
        """Rows of what is between the sliced GEMMs on one GPU."""
        return self.tokens // self.tp if self.sequence_parallel else self.tokens


@dataclass(frozen=True)
class LayerKernels:
    """Lists the kernels of one layer of a model for some rows."""

    model: ModelSpec
    rows: Rows
    layer: int = 0
    """Which one, from 0: some have experts, some have lost parts."""

    def forward(self) -> list[Step]:
        """List those of the forward pass."""
        if self._is_parallel:
            return list(self._parallel_forward())
        return [
            step
            for part in ("attention", "mlp")
            if self.model.keeps(self.layer, part)
            for step in self._part_forward(part)
        ]

    def backward(self) -> list[Step]:
        """List those of the backward pass: gradients of inputs and of weights."""
        if self._is_parallel:
            return list(self._parallel_backward())
        return [
            step
            for part in ("mlp", "attention")
            if self.model.keeps(self.layer, part)
            for step in self._part_backward(part)
        ]

    @property
    def parts(self) -> tuple[str, ...]:
        """What is left of the layer: its ``attention`` and ``mlp``, or the ``block`` of both beside each other."""
        kept = tuple(part for part in ("attention", "mlp") if self.model.keeps(self.layer, part))
        return ("block",) if self._is_parallel else kept

    def of_part(self, part: str) -> list[Step]:
        """List the kernels of one of ``parts`` in the forward pass."""
        return list(self._parallel_forward() if part == "block" else self._part_forward(part))

    @property
    def _is_parallel(self) -> bool:
        """Whether both parts are there, beside each other."""
        both = all(self.model.keeps(self.layer, part) for part in ("attention", "mlp"))
        return self.model.block == "parallel" and both

    # Parts of a layer, one after the other.

    def _part_forward(self, part: str) -> Iterator[Step]:
        before, after = _norms_of(self.model)
        if before:
            yield self._norm(f"{part} norm")
        yield from self._attention_forward() if part == "attention" else self._mlp_forward()
        if after == "branch":
            yield self._norm(f"{part} norm after")
        yield self._residual(f"{part} residual")
        if after == "sum":
            yield self._norm(f"{part} norm")

    def _part_backward(self, part: str) -> Iterator[Step]:
        before, after = _norms_of(self.model)
        if after == "sum":
            yield self._norm(f"{part} norm", backward=True)
        yield self._residual(f"{part} residual", backward=True)
        if after == "branch":
            yield self._norm(f"{part} norm after", backward=True)
        yield from self._attention_backward() if part == "attention" else self._mlp_backward()
        if before:
            yield self._norm(f"{part} norm", backward=True)

    def _attention_forward(self) -> Iterator[Step]:
        yield from self._entering("ip")
        yield from self._heads()
        yield self._sliced("op", "forward")

    def _heads(self, *, backward: bool = False) -> Iterator[Step]:
        """Positions and norms of queries and keys, and the attention itself; going back in the other order."""
        model, rows = self.model, self.rows
        if model.heads is None:
            return
        heads, kv_heads = self._own_heads
        turned: list[Step] = []
        if model.qk_norm:
            elements = rows.tokens * (heads + kv_heads) * self._head_dims[0]
            turned.append(self._moved("query and key norms", "norm", (3 if backward else 2) * elements))
        if not model.positions:
            latent = model.latent_attention
            width = (heads + kv_heads) * model.head_width if latent is None else (heads + 1) * latent.rope_dim
            turned.append(self._moved("rotary positions", "rotary", 2 * rows.tokens * width))
        attention = Attention(
            "attention",
            sequences=rows.sequences,
            new=rows.new,
            cached=rows.cached,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=self._head_dims[0],
            value_dim=self._head_dims[1],
            dtype=model.dtype,
            backward=backward,
            dropout=rows.training,
        )
        yield from (attention, *reversed(turned)) if backward else (*turned, attention)

    @property
    def _own_heads(self) -> tuple[int, int]:
        """Heads, and heads of keys and values, of the GPU that has most of them."""
        model = self.model
        return -(-(model.heads or 1) // self.rows.tp), -(-model.key_value_heads // self.rows.tp)

    @property
    def _head_dims(self) -> tuple[int, int]:
        latent = self.model.latent_attention
        if latent is None:
            return self.model.head_width, self.model.head_width
        return latent.nope_dim + latent.rope_dim, latent.value_dim

    def _attention_backward(self) -> Iterator[Step]:
        yield from self._back_through("op")
        yield from self._heads(backward=True)
        if self.model.latent_attention is None:
            yield from self._back_through("ip")
        else:
            yield from self._latent_backward()

    def _mlp_forward(self) -> Iterator[Step]:
        if self.model.has_experts(self.layer):
            yield from self._experts_forward()
            return
        yield from self._entering("fc1")
        yield self._activation()
        yield self._sliced("fc2", "forward")

    def _mlp_backward(self) -> Iterator[Step]:
        if self.model.has_experts(self.layer):
            yield from self._experts_backward()
            return
        yield from self._back_through("fc2")
        yield self._activation(backward=True)
        yield from self._back_through("fc1")

    # Attention and MLP beside each other.

    def _parallel_forward(self) -> Iterator[Step]:
        yield self._norm("norm")
        yield from self._entering("in")
        yield from self._heads()
        yield self._activation()
        yield self._sliced("out", "forward")
        yield self._residual("residual")

    def _parallel_backward(self) -> Iterator[Step]:
        yield self._residual("residual", backward=True)
        yield from self._back_through("out")
        yield self._activation(backward=True)
        yield from self._heads(backward=True)
        yield from self._back_through("in")
        yield self._norm("norm", backward=True)

    # Experts: each GPU has its share of every expert. The GEMMs of all experts stand as one of as many FLOP.

    def _experts_forward(self) -> Iterator[Step]:
        experts, rows, model = self._experts, self.rows, self.model
        yield from self._exchanged("forward", before=True)
        yield self._moved("router", "copy", rows.tokens * (model.hidden + experts.count))
        routed = rows.tokens * experts.active
        yield self._moved("dispatch", "copy", 2 * routed * model.hidden)
        ways, width, gate = self._expert_shape
        yield self._gemm("experts fc1", "forward", rows.tokens * ways, gate * width, model.hidden)
        yield self._moved("experts activation", "activation", rows.tokens * ways * width * (gate + 1))
        yield self._gemm("experts fc2", "forward", rows.tokens * ways, model.hidden, width)
        yield self._moved("combine", "copy", (ways + 1) * rows.tokens * model.hidden)
        yield from self._exchanged("forward", before=False)

    def _experts_backward(self) -> Iterator[Step]:
        experts, rows, model = self._experts, self.rows, self.model
        yield from self._exchanged("backward", before=True)
        ways, width, gate = self._expert_shape
        routed = rows.tokens * ways
        # A token's gradient goes to each of its experts, and with what these made gives those of the router's weights.
        yield self._moved("combine", "copy", (ways + 1 + experts.active) * rows.tokens * model.hidden)
        yield self._gemm("experts fc2", "backward", routed, width, model.hidden)
        yield self._gemm("experts fc2.weights", "backward", width, model.hidden, routed)
        yield self._moved("experts activation", "activation", routed * width * (2 * gate + 1))
        yield self._gemm("experts fc1", "backward", routed, model.hidden, gate * width)
        yield self._gemm("experts fc1.weights", "backward", model.hidden, gate * width, routed)
        yield self._moved("dispatch", "copy", (ways + 1) * rows.tokens * model.hidden)
        yield self._moved("router", "copy", 2 * rows.tokens * (model.hidden + experts.count))
        yield from self._exchanged("backward", before=False)

    @property
    def _experts(self) -> ExpertsSpec:
        assert self.model.experts is not None
        return self.model.experts

    @property
    def _expert_shape(self) -> tuple[int, int, int]:
        """Experts that a token goes to, the width of one on a GPU, and matrices that lead into it."""
        experts = self._experts
        return experts.active + experts.shared, experts.intermediate // self.rows.tp, 2 if self.model.gated else 1

    def _exchanged(self, phase: Phase, *, before: bool) -> Iterator[Step]:
        """Sum up what the GPUs' shares of the experts make; with sequence parallelism, gather their input first."""
        rows = self.rows
        if rows.tp > 1 and (rows.sequence_parallel or not before):
            ops: tuple[Literal["all_gather", "reduce_scatter"], ...] = ("reduce_scatter", "all_gather")
            if rows.sequence_parallel:
                ops = ("all_gather",) if before else ("reduce_scatter",)
            yield exchange(self.model, "experts", phase, rows.tp, rows.tokens, ops)

    # Kernels.

    def _entering(self, sublayer: str) -> Iterator[Step]:
        """Run the GEMM that is sliced by columns; with sequence parallelism its input is gathered first."""
        if self.model.latent_attention is not None and sublayer == "ip":
            yield from self._latent_projections()
        elif self.rows.sequence_parallel and self.rows.tp > 1:
            yield self._sliced(sublayer, "forward")
        else:
            own = share(self.model, sublayer, self.rows.tp)
            yield self._gemm(sublayer, "forward", self.rows.tokens, own, whole(self.model, sublayer))

    def _latent_projections(self) -> Iterator[Step]:
        """Project down on every GPU its rows, and up on each for its own heads."""
        down, ranks = self._latent_widths
        yield self._gemm("qkv down", "forward", self.rows.own, down, self.model.hidden)
        yield self._moved("rank norms", "norm", 2 * self.rows.own * ranks)
        yield from self._entering("q-up")
        yield from self._entering("kv-up")

    def _latent_backward(self) -> Iterator[Step]:
        """Go back up to the low ranks, where gradients of all GPUs' heads are summed, and down from there."""
        (down, ranks), rows, hidden = self._latent_widths, self.rows, self.model.hidden
        yield from self._back_through("kv-up")
        yield from self._back_through("q-up")
        yield self._moved("rank norms", "norm", 3 * rows.own * ranks)
        yield self._gemm("qkv down", "backward", rows.own, hidden, down)
        yield self._gemm("qkv down.weights", "backward", hidden, down, rows.own)

    @property
    def _latent_widths(self) -> tuple[int, int]:
        """Columns that the projections down make together, and those of them that are normed."""
        latent = self.model.latent_attention
        assert latent is not None
        ranks = latent.query_rank + latent.key_value_rank
        return ranks + latent.rope_dim, ranks

    def _sliced(self, sublayer: str, phase: Phase) -> Step:
        """Give a sublayer with its collectives; where nobody shares it, its GEMM."""
        rows = self.rows
        found = sliced_sublayer(
            self.model, sublayer, phase, rows.tp, rows.tokens, sequence_parallel=rows.sequence_parallel
        )
        return found if rows.tp > 1 else next(each for each in found.operations if isinstance(each, Gemm))

    def _back_through(self, sublayer: str) -> Iterator[Step]:
        """Go back through a GEMM: gradients of its input, then of its weights."""
        rows, hidden = self.rows, whole(self.model, sublayer)
        own, is_leaving = share(self.model, sublayer, rows.tp), sublayer in ("op", "fc2", "out")
        if is_leaving and not (rows.sequence_parallel and rows.tp > 1):
            yield self._gemm(sublayer, "backward", rows.tokens, own, hidden)
        else:
            yield self._sliced(sublayer, "backward")
        shape = (own, hidden) if is_leaving else (hidden, own)
        yield self._gemm(f"{sublayer}.weights", "backward", *shape, rows.tokens)
        if self.model.biases is True or (self.model.biases and sublayer in ("ip", "in")):
            yield self._moved(f"{sublayer} bias", "gradient", rows.tokens * (hidden if is_leaving else own))
        if rows.adds_gradients:
            yield self._moved(f"{sublayer} gradients", "gradient", 3 * own * hidden)

    def _gemm(self, name: str, phase: Phase, m: int, n: int, k: int) -> Gemm:
        name = name.replace(" ", "-")
        return Gemm(id=f"{name}.gemm", phase=phase, sublayer=name, M=m, N=n, K_local=k, dtype=self.model.dtype)

    def _moved(self, name: str, kind: Kind, elements: int, masks: int = 0) -> Kernel:
        return Kernel(name, kind, elements * DTYPE_BYTES[self.model.dtype] + masks * MASK_BYTES)

    def _norm(self, name: str, *, backward: bool = False) -> Kernel:
        """Read rows and write them; going back, read them and their gradients."""
        return self._moved(name, "norm", (3 if backward else 2) * self.rows.own * self.model.hidden)

    def _residual(self, name: str, *, backward: bool = False) -> Kernel:
        """Add a branch, dropped out in training, to what goes past it; going back, pass gradients to both and add."""
        elements, masks = self.rows.own * self.model.hidden, 1 if self.rows.training else 0
        # Going back, the mask is applied on the way in, and the two gradients are added on the way out.
        moved = 3 + 2 * masks if backward else 3
        return self._moved(name, "residual", moved * elements, masks * elements)

    def _activation(self, *, backward: bool = False) -> Kernel:
        """Read what the first matrix has made and write what the second takes; going back, read its gradient, too."""
        model, tp = self.model, self.rows.tp
        made, taken = share(model, "fc1", tp), share(model, "fc2", tp)
        return self._moved(
            "activation", "activation", (2 * made + taken if backward else made + taken) * self.rows.tokens
        )


def _norms_of(model: ModelSpec) -> tuple[bool, Literal["", "branch", "sum"]]:
    """Say whether a part begins with a norm, and what it ends with one of: its branch, or the sum."""
    return {
        "pre-ln": (True, ""),
        "post-ln": (False, "sum"),
        "peri-ln": (True, "branch"),
        "branch-ln": (False, "branch"),
        "no-ln": (False, ""),
        "parallel": (True, ""),
    }[model.block]  # type: ignore[return-value]
