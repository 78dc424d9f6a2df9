"""What Hugging Face's models are beyond what their `config.json` says: by `model_type`, as their code has it.

Norm placement and blocks have no key there; what stands here was read from modeling_<model_type>.py of transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from t3sim.workload.models import Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One `model_type`: what its code fixes, and what it takes where a key is missing."""

    block: Block = "pre-ln"
    parallel_key: str | None = None
    """The key that says whether attention and MLP are beside each other; missing: they are."""
    norm: Literal["layernorm", "rmsnorm"] = "rmsnorm"
    gated: bool = True
    activation: str = "silu"
    """What is taken where the file does not say."""
    biases: bool | Literal["qkv"] = False
    bias_key: str | None = None
    """The key that says whether there are biases; missing: as `biases`."""
    biased: bool | Literal["qkv"] = "qkv"
    """What there are if it says so."""
    tied: bool = False
    qk_norm: bool = False
    qk_norm_key: str | None = None
    head_dim: int | None = None
    """What is taken where the file does not say; none: the width divided by the heads."""
    positions: int | None = None
    """Rows of a learned position embedding beyond the longest sequence; none: rotary positions."""
    experts: Literal["mixtral", "qwen", "deepseek"] | None = None
    latent: bool = False
    falcon: bool = False
    """Whether heads of keys and values are said as Falcon does."""
    remarks: tuple[str, ...] = ()
    """What a model of t3sim's cannot say."""


_LLAMA = Family(bias_key="attention_bias")
_GPT = Family(norm="layernorm", gated=False, activation="gelu", biases=True)
_TWO_NORMS = "its parallel blocks have a norm for each part: here one for both"
_ALL_HEADS = "its norms of queries and keys go over all heads: counted as going over one"
_NO_SHIFT = "its norms have no shift: counted with one"
_HEAD_BIAS = "the bias of its LM head is left out"
_GATE = "the gate of its shared expert is left out"
_ROUTER_BIAS = "the biases of its routers are left out"

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {
        "gpt2": replace(_GPT, tied=True, positions=0),
        "opt": replace(_GPT, tied=True, positions=2, activation="relu", bias_key="enable_bias", biased=True),
        "gpt_neox": replace(
            _GPT, parallel_key="use_parallel_residual", bias_key="attention_bias", biased=True, remarks=(_TWO_NORMS,)
        ),
        "gptj": replace(
            _GPT, block="parallel", biases=False, remarks=("the biases of its MLP are left out", _HEAD_BIAS)
        ),
        "falcon": replace(
            _GPT, parallel_key="parallel_attn", biases=False, bias_key="bias", biased=True, tied=True, falcon=True
        ),
        "llama": _LLAMA,
        "mistral": _LLAMA,
        "mixtral": replace(_LLAMA, experts="mixtral"),
        "qwen2": replace(_LLAMA, biases="qkv", bias_key=None),
        "qwen2_moe": replace(_LLAMA, biases="qkv", bias_key="qkv_bias", experts="qwen", remarks=(_GATE,)),
        "qwen3": replace(_LLAMA, qk_norm=True, head_dim=128),
        "qwen3_moe": replace(_LLAMA, qk_norm=True, head_dim=128, experts="qwen"),
        "gemma": replace(_LLAMA, activation="gelu_pytorch_tanh", tied=True, head_dim=256),
        "gemma2": replace(_LLAMA, activation="gelu_pytorch_tanh", tied=True, head_dim=256, block="peri-ln"),
        "gemma3_text": replace(
            _LLAMA, activation="gelu_pytorch_tanh", tied=True, head_dim=256, block="peri-ln", qk_norm=True
        ),
        "olmo2": replace(_LLAMA, block="branch-ln", qk_norm=True, remarks=(_ALL_HEADS,)),
        "phi": replace(
            _GPT, block="parallel", activation="gelu_new", qk_norm_key="qk_layernorm", remarks=(_HEAD_BIAS,)
        ),
        "phi3": _LLAMA,
        "cohere": replace(
            _LLAMA, block="parallel", norm="layernorm", tied=True, qk_norm_key="use_qk_norm", remarks=(_NO_SHIFT,)
        ),
        "deepseek_v3": replace(_LLAMA, experts="deepseek", latent=True, remarks=(_ROUTER_BIAS,)),
        "deepseek_v2": replace(_LLAMA, experts="deepseek", latent=True),
    }
)
"""The families that are known, by `model_type`."""

LIKE_LLAMA: Final = "llama"
"""What a model of another type is taken for if it has all of `LIKE_LLAMA_KEYS`, and says nothing of experts."""
LIKE_LLAMA_KEYS: Final = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "vocab_size",
    "hidden_act",
    "rms_norm_eps",
)

ACTIVATIONS: Final[Mapping[str, tuple[str, str | None]]] = MappingProxyType(
    {
        "relu": ("relu", None),
        "silu": ("silu", "swiglu"),
        "swish": ("silu", "swiglu"),
        **dict.fromkeys(("gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python"), ("gelu", "geglu")),
    }
)
"""Our names of activations, without a gate and with one."""

DTYPES: Final[Mapping[str, str]] = MappingProxyType({"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"})

UNMODELLED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sliding_window": "attention goes over all tokens here, in every layer",
        "sliding_window_size": "attention goes over all tokens here, in every layer",
        "sliding_window_pattern": "attention goes over all tokens here, in every layer",
        "attention_chunk_size": "attention goes over all tokens here, in every layer",
        "quantization_config": "matrices have the model's dtype here",
        "num_nextn_predict_layers": "layers that predict further tokens are left out",
        "alibi": "positions are timed as rotary ones are",
        "vision_config": "what is no text is left out",
    }
)
"""Keys that would change kernels, and what is done without them."""

_ENDS = ("_token_id", "_token_index", "dropout", "dropout_prob", "_pdrop", "_eps", "_epsilon", "_softcapping")
_STARTS = ("rope_", "rotary_", "summary_", "output_", "router_", "scale_attn", "aux_loss", "_")
# fmt: off
_NAMES = frozenset(
    (
        "architectures", "attention_softmax_in_fp32", "auto_map", "aux_loss_alpha", "cache_implementation",
        "classifier_dropout", "dropatt", "embd_pdrop", "ep_size", "gradient_checkpointing", "id2label", "init_std",
        "initializer_range", "is_decoder", "label2id", "layer_types", "layerdrop", "logit_scale",
        "max_window_layers", "n_ctx", "n_group", "norm_topk_prob",
        "model_max_length", "original_max_position_embeddings",
        "rotary", "partial_rotary_factor", "prefix", "pretraining_tp", "problem_type", "query_pre_attn_scalar",
        "reorder_and_upcast_attn", "return_dict", "rope_local_base_freq", "routed_scaling_factor", "scoring_func",
        "seq_aux", "task_specific_params", "tokenizer_class", "topk_group", "topk_method", "torchscript",
        "transformers_version", "use_bfloat16", "use_cache", "use_return_dict", "use_sliding_window",
    )
)
# fmt: on


def never_matters(key: str) -> bool:
    """Say whether a key changes no kernel: ids of tokens, dropout rates, constants, what libraries keep."""
    return key in _NAMES or key.endswith(_ENDS) or key.startswith(_STARTS)
