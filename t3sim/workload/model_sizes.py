"""Parameters and FLOP of a model, by closed form.

Matrices, biases and norms are counted as the models' papers and published weights have them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from t3sim.workload.models import ModelSpec


def parameters(model: ModelSpec) -> int:
    """Count all parameters: layers, embeddings and the last norm."""
    layers = sum(layer_parameters(model, layer) for layer in range(model.layers))
    return layers + embedding_parameters(model) + head_parameters(model)


def embedding_parameters(model: ModelSpec) -> int:
    """Count the embeddings of tokens and positions."""
    return ((model.vocabulary or 0) + model.positions) * model.hidden


def head_parameters(model: ModelSpec) -> int:
    """Count the last norm, and the LM head if it is not the embedding."""
    last = 0 if model.block in ("post-ln", "no-ln") else _norm(model, model.hidden)
    return last + (0 if model.tied_embeddings else (model.vocabulary or 0) * model.hidden)


def layer_parameters(model: ModelSpec, layer: int = 0) -> int:
    """Count those of a layer, numbered from 0, with what it has lost left out."""
    kept = [part for part in ("attention", "mlp") if model.keeps(layer, part)]
    parts = {"attention": attention_parameters(model), "mlp": mlp_parameters(model, layer)}
    # The norm of a parallel block is there as long as one of its parts is.
    norms = min(1, len(kept)) if model.block == "parallel" else model.norms * len(kept) // 2
    return sum(parts[part] for part in kept) + norms * _norm(model, model.hidden)


def attention_parameters(model: ModelSpec) -> int:
    """Count the projections of queries, keys, values and output, and norms of queries and keys."""
    hidden, latent = model.hidden, model.latent_attention
    biases = (model.qkv_width if model.biases else 0) + (hidden if model.biases is True else 0)
    leaving = model.attention_width * hidden
    if latent is None:
        norms = 2 * _norm(model, model.head_width) if model.qk_norm else 0
        return hidden * model.qkv_width + leaving + biases + norms
    heads = model.heads or 1
    down = hidden * (latent.query_rank + latent.key_value_rank + latent.rope_dim)
    up = latent.query_rank * heads * (latent.nope_dim + latent.rope_dim)
    up += latent.key_value_rank * heads * (latent.nope_dim + latent.value_dim)
    return down + up + leaving + _norm(model, latent.query_rank) + _norm(model, latent.key_value_rank)


def mlp_parameters(model: ModelSpec, layer: int = 0) -> int:
    """Count the MLP of a layer, or its experts and their router."""
    hidden, matrices = model.hidden, 3 if model.gated else 2
    if model.sparse_mlp is not None:
        width = model.sparse_mlp.width
        return 2 * hidden * width + (width + hidden if model.biases is True else 0)
    if model.has_experts(layer):
        experts = model.experts
        assert experts is not None
        return matrices * hidden * experts.intermediate * (experts.count + experts.shared) + hidden * experts.count
    biases = model.entering_width + hidden if model.biases is True else 0
    return matrices * hidden * model.mlp_width + biases


def _norm(model: ModelSpec, width: int) -> int:
    """Count a norm's: a scale, and for `layernorm` a shift."""
    return width * (2 if model.norm == "layernorm" else 1)
