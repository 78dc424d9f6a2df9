"""FLOP of a model's matrix products, by closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from t3sim.workload.models import ModelSpec


def forward_flop(model: ModelSpec, tokens: int, context: int) -> int:
    """Count the FLOP of a forward pass over ``tokens`` that look at ``context`` tokens each.

    Two for each parameter of a matrix that a token meets, and for attention 4 x context x width of all heads a layer
    (Megatron-LM, arXiv 2104.04473, appendix: all scores, those of later tokens, too).
    """
    layers = sum(_layer(model, layer, context) for layer in range(model.layers))
    return tokens * (layers + 2 * (model.vocabulary or 0) * model.hidden)


def _layer(model: ModelSpec, layer: int, context: int) -> int:
    """FLOP of one token in one layer."""
    flop = 0
    if model.keeps(layer, "attention"):
        flop += 2 * _attention_matrices(model) + 2 * context * _score_width(model)
    if model.keeps(layer, "mlp"):
        flop += 2 * _mlp_matrices(model, layer)
    return flop


def _attention_matrices(model: ModelSpec) -> int:
    leaving, latent = model.attention_width * model.hidden, model.latent_attention
    if latent is None:
        return model.hidden * model.qkv_width + leaving
    heads = model.heads or 1
    down = model.hidden * (latent.query_rank + latent.key_value_rank + latent.rope_dim)
    up = latent.query_rank * (latent.nope_dim + latent.rope_dim) + latent.key_value_rank * (
        latent.nope_dim + latent.value_dim
    )
    return down + heads * up + leaving


def _score_width(model: ModelSpec) -> int:
    """Width of queries and of values over all heads."""
    latent = model.latent_attention
    if latent is None:
        return 2 * model.attention_width
    return (model.heads or 1) * (latent.nope_dim + latent.rope_dim + latent.value_dim)


def _mlp_matrices(model: ModelSpec, layer: int) -> int:
    """Elements of the MLP's matrices that a token meets."""
    matrices = 3 if model.gated else 2
    if model.sparse_mlp is not None:
        return round(model.hidden * model.sparse_mlp.width * (1 + model.sparse_mlp.active))
    if model.has_experts(layer):
        experts = model.experts
        assert experts is not None
        ways = experts.active + experts.shared
        return matrices * model.hidden * experts.intermediate * ways + model.hidden * experts.count
    return matrices * model.hidden * model.mlp_width
