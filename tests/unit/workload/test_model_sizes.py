"""Parameters of models by closed form, against those that were published."""

from __future__ import annotations

import pytest

from t3sim import data
from t3sim.workload import ModelSpec, load_model
from t3sim.workload.model_sizes import layer_parameters, parameters
from t3sim.workload.models import SparseMlpSpec

# As the published weights have them (sizes of the tensors of model.safetensors.index.json on Hugging Face, which are
# two bytes an element; GPT-2's and PaLM's by name in the papers).
PUBLISHED = {
    "gpt-2-xl": 1_557_611_200,  # openai-community/gpt2-xl
    "llama-3-8b": 8_030_261_248,  # meta-llama/Meta-Llama-3-8B
    "llama-3-70b": 70_553_706_496,  # meta-llama/Meta-Llama-3-70B
    "llama-3.1-405b": 405_853_388_800,  # meta-llama/Llama-3.1-405B
    "qwen3-32b": 32_762_123_264,  # Qwen/Qwen3-32B
    "mixtral-8x22b": 140_620_634_112,  # mistralai/Mixtral-8x22B-v0.1
}
# What the names and papers round.
ROUNDED = {
    "palm-540b": (540.35e9, 1e-4),  # arXiv 2204.02311, Table 1
    "gpt-3": (175e9, 0.02),  # arXiv 2005.14165, Table 2.1
    "mt-nlg": (530e9, 0.02),  # arXiv 2201.11990, section 3
    "t-nlg": (17e9, 0.02),  # Microsoft Research blog, Turing-NLG, 2020
}
GPT = {"hidden": 8, "layers": 3, "tokens": 8, "tp": (2,), "dtype": "fp16", "heads": 2}


def toy(**keys):
    return ModelSpec(name="toy", **(GPT | keys))


def shipped(name):
    return load_model(name, folder=data.models_dir()).spec


@pytest.mark.parametrize("name", PUBLISHED)
def test_shipped_models_have_their_published_parameters(name):
    """A shipped model has as many parameters, to the last one, as its published weights."""
    assert parameters(shipped(name)) == PUBLISHED[name]


@pytest.mark.parametrize("name", ROUNDED)
def test_shipped_models_have_about_the_parameters_of_their_papers(name):
    """Where only a rounded number was published, a shipped model has about as many."""
    published, tolerance = ROUNDED[name]
    assert parameters(shipped(name)) == pytest.approx(published, rel=tolerance)


def test_deepseek_v3_without_the_biases_of_its_routers():
    """DeepSeek-V3 has 671,026,419,200 parameters, of which 58 layers' biases of 256 experts steer the balance."""
    assert parameters(shipped("deepseek-v3")) == 671_026_419_200 - 58 * 256


def test_a_model_without_norms_has_fewer_by_those():
    """Of GPT-2 XL's norms, two a layer and the last, each has a scale and a shift of 1,600."""
    assert parameters(shipped("gpt-2-xl")) - parameters(shipped("gpt-2-xl-no-ln")) == (2 * 48 + 1) * 2 * 1600


# A layer of width 8: QKV 8 x 24 + 24, output 8 x 8 + 8, MLP 2 x 8 x 32 + 32 + 8; a norm has 16.
ATTENTION, MLP, NORM = 216 + 72, 552, 16


@pytest.mark.parametrize(
    ("block", "norms"),
    [("pre-ln", 2), ("post-ln", 2), ("peri-ln", 4), ("branch-ln", 2), ("no-ln", 0), ("parallel", 1)],
)
def test_norms_of_each_block(block, norms):
    """Where norms stand says how many there are."""
    assert layer_parameters(toy(block=block)) == ATTENTION + MLP + norms * NORM


@pytest.mark.parametrize(("block", "norms"), [("pre-ln", 1), ("peri-ln", 2), ("parallel", 1)])
def test_a_pruned_part_takes_its_norms_along(block, norms):
    """A layer that lost its MLP keeps attention and that part's norms; the one norm of a parallel block stays."""
    pruned = toy(block=block, pruned={"1": ("mlp",), "2": ("attention", "mlp")})
    assert layer_parameters(pruned, 1) == ATTENTION + norms * NORM
    assert layer_parameters(pruned, 2) == 0


def test_parameters_of_keys_and_values_and_gates():
    """Fewer heads of keys and values, a gate, norms of queries and keys, and biases of QKV alone, counted by hand.

    Width 8, four heads of 4, two of keys and values: QKV 8 x 32 + 32, output 16 x 8; MLP 3 x 8 x 10; norms of 8 and 4.
    """
    model = toy(
        heads=4,
        kv_heads=2,
        head_dim=4,
        intermediate=10,
        activation="swiglu",
        norm="rmsnorm",
        biases="qkv",
        qk_norm=True,
    )
    assert layer_parameters(model) == 288 + 128 + 240 + 2 * 8 + 2 * 4


def test_parameters_of_a_sparse_mlp():
    """An encoder and a decoder of 100 rows with biases stand for the MLP, whatever share of them is active."""
    model = toy(sparse_mlp=SparseMlpSpec(width=100, active=0.1))
    assert layer_parameters(model) == ATTENTION + 2 * NORM + 2 * 8 * 100 + 100 + 8
