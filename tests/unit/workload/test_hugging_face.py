"""Models from config.json files: what each family's keys mean, by parameters that were published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from t3sim.errors import InputError
from t3sim.workload import ModelSpec, load_model, transformer_trace
from t3sim.workload.hugging_face import from_hugging_face, load_hugging_face
from t3sim.workload.hugging_face_families import FAMILIES
from t3sim.workload.model_sizes import parameters

# Sizes of the published weights (safetensors on Hugging Face; GPT-NeoX: arXiv 2204.06745, Table 1), and what of them is
# no part of our models, counted by hand.
PUBLISHED = {
    "gpt2": (124_439_808, 0),
    "opt-6.7b": (6_658_473_984, 0),
    "gpt-neox-20b": (20_554_567_680, 44 * 2 * 6144),  # a second norm in each layer
    "gpt-j-6b": (6_050_882_784, 28 * (16_384 + 4096) + 50_400),  # biases of the MLPs and of the LM head
    "falcon-7b": (6_921_720_704, 0),
    "llama-2-7b": (6_738_415_616, 0),
    "mistral-7b": (7_241_732_096, 0),
    "qwen2.5-7b": (7_615_616_512, 0),
    "qwen3-8b": (8_190_735_360, 0),
    "gemma-2-9b": (9_241_705_984, 0),
    "gemma-3-1b": (999_885_952, 0),
    "olmo-2-7b": (7_298_617_344, 32 * 2 * (4096 - 128)),  # norms of queries and keys that go over all heads
    "phi-2": (2_779_683_840, 51_200),  # bias of the LM head
    "command-r": (34_980_831_232, -41 * 8192),  # shifts that its norms do not have
    "mixtral-8x7b": (46_702_792_704, 0),
    "qwen1.5-moe-a2.7b": (14_315_784_192, 24 * 2048),  # gates of the shared experts
    "qwen3-30b-a3b": (30_532_122_624, 0),
    "deepseek-v3": (671_026_419_200, 58 * 256),  # biases of the routers
}
BLOCKS = {
    "gpt2": "pre-ln",
    "opt-6.7b": "pre-ln",
    "gpt-neox-20b": "parallel",
    "gpt-j-6b": "parallel",
    "falcon-7b": "parallel",
    "llama-2-7b": "pre-ln",
    "gemma-2-9b": "peri-ln",
    "gemma-3-1b": "peri-ln",
    "olmo-2-7b": "branch-ln",
    "phi-2": "parallel",
    "command-r": "parallel",
    "deepseek-v3": "pre-ln",
}
LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "hidden_act": "silu",
    "vocab_size": 100,
    "rms_norm_eps": 1e-5,
    "torch_dtype": "bfloat16",
}
MOE = LLAMA | {
    "model_type": "qwen2_moe",
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 32,
}
LATENT = LLAMA | {
    "model_type": "deepseek_v2",
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "n_shared_experts": 2,
    "first_k_dense_replace": 1,
    "q_lora_rank": 24,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
}


def config(name):
    return Path(__file__).parent / "hugging_face" / f"{name}.json"


def made(document):
    return from_hugging_face(document)[0]


def notes(document):
    return from_hugging_face(document)[1]


def faults(document):
    with pytest.raises(InputError) as refused:
        from_hugging_face(document)
    return refused.value.problems


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_of_the_published_weights(name):
    """Every family's config makes a model with as many parameters as its weights, but for what a note says."""
    converted = load_hugging_face(config(name))
    published, left_out = PUBLISHED[name]
    assert parameters(converted.spec) == published - left_out
    said = [
        note
        for note in converted.notes
        if any(word in note for word in ("are left out", "is left out", "here one for", "counted"))
    ]
    assert bool(said) == bool(left_out)


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_of_families(name):
    """Where norms stand, and whether attention is beside the MLP, follows from the type."""
    assert load_hugging_face(config(name)).spec.block == BLOCKS[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_model_file_is_the_same_model(name, tmp_path):
    """What is written as YAML loads to the model that was made, with a source at each number."""
    converted = load_hugging_face(config(name), tp=2)
    path = tmp_path / "model.yaml"
    path.write_text(converted.text, encoding="utf-8")
    loaded = load_model(path, folder=tmp_path)
    assert loaded.spec == converted.spec
    assert loaded.resolved["layers"]["class"] == "datasheet"
    assert loaded.resolved["layers"]["source"].startswith(f"{name}.json, n")
    assert loaded.resolved["tokens"]["class"] == "assumed"
    assert transformer_trace(loaded.spec, 2).tp == 2


def test_keys_of_llama():
    """The keys that most models have, one by one; what a file does not say is said to be assumed."""
    fields, said = from_hugging_face(LLAMA | {"max_position_embeddings": 512}, name="org/my model")
    assert ModelSpec(**fields) == ModelSpec(
        name="org-my-model",
        hidden=64,
        layers=2,
        tokens=8192,
        tp=(8,),
        dtype="bf16",
        sequence=512,
        heads=8,
        kv_heads=2,
        intermediate=96,
        activation="swiglu",
        norm="rmsnorm",
        vocabulary=100,
        tied_embeddings=False,
        biases=False,
    )
    assert said == (
        "assumed: 8192 tokens (--tokens)",
        "assumed: 8 GPUs share a layer (--tp)",
        "ignored, which change no kernel: rms_norm_eps",
    )


def test_what_is_given_is_not_assumed():
    """Degree, tokens and dtype from outside replace what would be assumed, or the file's."""
    fields, said = from_hugging_face(LLAMA | {"max_position_embeddings": 512}, tp=4, tokens=300, dtype="fp8")
    assert (fields["tp"], fields["tokens"], fields["dtype"]) == ((4,), 300, "fp8")
    assert "sequence" not in fields
    assert not [note for note in said if note.startswith("assumed")]


def test_heads_of_keys_and_values_of_falcon():
    """One for all heads, some of the newer architecture, or one each."""
    falcon = {"model_type": "falcon", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 8}
    falcon |= {"vocab_size": 10, "torch_dtype": "bfloat16", "activation": "gelu"}
    assert made(falcon | {"multi_query": True})["kv_heads"] == 1
    assert "kv_heads" not in made(falcon | {"multi_query": False})
    newer = made(falcon | {"new_decoder_architecture": True, "num_kv_heads": 4, "parallel_attn": False, "bias": True})
    assert (newer["kv_heads"], newer["block"], newer["biases"]) == (4, "pre-ln", True)
    assert (made(falcon)["intermediate"], made(falcon)["biases"]) == (256, False)


def test_switches_of_blocks_and_biases():
    """Keys that say where norms stand, whether parts are parallel, and where biases are."""
    neox = LLAMA | {"model_type": "gpt_neox", "hidden_act": "gelu"}
    assert made(neox)["block"] == "parallel"
    assert made(neox | {"use_parallel_residual": False})["block"] == "pre-ln"
    opt = LLAMA | {"model_type": "opt", "max_position_embeddings": 30, "do_layer_norm_before": False}
    assert (made(opt)["block"], made(opt)["positions"], made(opt)["activation"]) == ("post-ln", 32, "silu")
    assert made(LLAMA | {"attention_bias": True})["biases"] == "qkv"
    assert made(LLAMA | {"model_type": "qwen2"})["biases"] == "qkv"
    assert made(LLAMA | {"model_type": "cohere", "use_qk_norm": True})["qk_norm"] is True
    assert made(LLAMA | {"tie_word_embeddings": True})["tied_embeddings"] is True


def test_widths_of_heads():
    """A width of heads is taken from the file, or as the family has it, which is said; else it follows."""
    assert made(LLAMA | {"head_dim": 16})["head_dim"] == 16
    assert "head_dim" not in made(LLAMA | {"head_dim": 8})
    gemma = LLAMA | {"model_type": "gemma2", "hidden_act": "gelu_pytorch_tanh"}
    assert (made(gemma)["head_dim"], made(gemma)["activation"]) == (256, "geglu")
    assert "assumed: head_dim is 256, which gemma2 takes where its file says none" in notes(gemma)


def test_experts_of_each_family():
    """Mixtral's are as wide as its MLP; Qwen's shared one counts as several; DeepSeek's first layers have none."""
    mixtral = LLAMA | {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
    assert made(mixtral)["experts"] == {"count": 4, "active": 2, "intermediate": 96}
    qwen = {"count": 8, "active": 2, "intermediate": 16, "shared": 2, "dense_layers": 0}
    assert made(MOE)["experts"] == qwen
    assert made(MOE | {"mlp_only_layers": [0]})["experts"] == qwen | {"dense_layers": 1}
    assert made(LATENT)["experts"] == qwen | {"dense_layers": 1}
    assert made(LATENT)["latent_attention"] == {
        "query_rank": 24,
        "key_value_rank": 16,
        "nope_dim": 8,
        "rope_dim": 4,
        "value_dim": 8,
    }
    assert not {"kv_heads", "head_dim"} & set(made(LATENT))
    assert "experts" not in made({key: value for key, value in LATENT.items() if key != "n_routed_experts"})


def test_text_of_a_model_that_sees():
    """Gemma 3's text is read from the section that it has there."""
    text = LLAMA | {"model_type": "gemma3_text", "hidden_act": "gelu_pytorch_tanh", "head_dim": 32}
    assert made({"model_type": "gemma3", "text_config": text, "vision_config": {}}) == made(text)


def test_keys_that_matter_and_are_not_modelled_are_named():
    """A window, a quantisation and unknown keys are named; a window that is switched off is none."""
    said = notes(LLAMA | {"sliding_window": 4096, "quantization_config": {"bits": 8}, "nonsense": 1, "bos_token_id": 0})
    assert "not modelled: sliding_window: attention goes over all tokens here, in every layer" in said
    assert "not modelled: quantization_config: matrices have the model's dtype here" in said
    assert "unknown keys, left out: nonsense" in said
    assert "ignored, which change no kernel: rms_norm_eps, bos_token_id" in said
    assert not [n for n in notes(LLAMA | {"sliding_window": 9, "use_sliding_window": False}) if n.startswith("not")]


def test_an_unknown_type_with_llamas_keys_is_built_like_it():
    """With all keys of a Llama an unknown type is one, which is said; with experts, or fewer keys, it is refused."""
    other = LLAMA | {"model_type": "newlm"}
    assert made(other) | {"name": "llama"} == made(LLAMA)
    assert "assumed: newlm, which is unknown, is built as llama is, whose keys it has" in notes(other)
    fewer = {key: value for key, value in other.items() if key != "rms_norm_eps"}
    for document in (fewer, other | {"num_experts": 8}):
        (problem,) = faults(document)
        assert (problem.message, problem.key, problem.value) == ("unknown model type", "model_type", "newlm")
        assert problem.known == tuple(FAMILIES)


@pytest.mark.parametrize(
    ("keys", "key", "value"),
    [
        ({"hidden_size": "wide"}, "hidden_size", "wide"),
        ({"hidden_size": 0}, "hidden_size", 0),
        ({"num_hidden_layers": True}, "num_hidden_layers", True),
        ({"num_attention_heads": 2.5}, "num_attention_heads", 2.5),
        ({"num_key_value_heads": -2}, "num_key_value_heads", -2),
        ({"hidden_act": "sin"}, "hidden_act", "sin"),
        ({"hidden_act": "relu"}, "hidden_act", "relu"),
        ({"torch_dtype": "int8"}, "torch_dtype", "int8"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings", "no"),
        ({"mlp_bias": True}, "mlp_bias", True),
        ({"model_type": 3}, "model_type", 3),
        ({"model_type": "opt", "max_position_embeddings": 9, "word_embed_proj_dim": 32}, "word_embed_proj_dim", 32),
        (MOE | {"decoder_sparse_step": 2}, "decoder_sparse_step", 2),
        (MOE | {"mlp_only_layers": [1]}, "mlp_only_layers", [1]),
        (MOE | {"shared_expert_intermediate_size": 24}, "shared_expert_intermediate_size", 24),
        (LATENT | {"q_lora_rank": None}, "q_lora_rank", None),
    ],
)
def test_impossible_values_are_refused(keys, key, value):
    """A value that no model of ours can have is one problem, with its key."""
    (problem,) = faults(LLAMA | keys)
    assert (problem.key, problem.value) == (key, value)


def test_missing_keys_are_named_all_at_once():
    """What there has to be is named, with the other names that it may have."""
    assert [str(problem) for problem in faults({"model_type": "gpt2", "n_embd": 64})] == [
        "num_hidden_layers: missing key (or n_layer)",
        "num_attention_heads: missing key (or n_head)",
        "vocab_size: missing key",
        "max_position_embeddings: missing key (or n_positions)",
    ]
    assert [problem.key for problem in faults({})] == ["model_type"]


@pytest.mark.parametrize(
    ("keys", "key", "message"),
    [
        ({"num_attention_heads": 6}, "num_attention_heads", "6 heads cannot share the hidden size 64"),
        ({"num_key_value_heads": 3}, "num_key_value_heads", "8 heads cannot share 3 heads of keys and values"),
        ({"num_hidden_layers": 0}, "num_hidden_layers", "whole number of at least 1"),
        (MOE | {"num_experts_per_tok": 9}, "num_experts_per_tok", "a token goes to 9 of 8 experts"),
    ],
)
def test_faults_are_at_their_line(tmp_path, keys, key, message):
    """A fault of a file is named with the file, the line of the key and its name there."""
    path = tmp_path / "config.json"
    document = LLAMA | keys
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    with pytest.raises(InputError) as refused:
        load_hugging_face(path)
    problem = next(each for each in refused.value.problems if message in each.message)
    assert (problem.file, problem.line, problem.key) == (str(path), list(document).index(key) + 2, key)


@pytest.mark.parametrize(("text", "line"), [('{"model_type": "llama",\n "hidden_size": 64,,}', 2), ("a: 1\n", 1)])
def test_files_that_are_no_json(tmp_path, text, line):
    """A file that is no JSON is refused with the line, YAML that is none too."""
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        load_hugging_face(path)
    assert [(problem.file, problem.line) for problem in refused.value.problems] == [(str(path), line)]
    with pytest.raises(InputError, match="no such file"):
        load_hugging_face(tmp_path / "none.json")


def test_a_degree_that_does_not_divide():
    """A degree of the command line is no fault of the file."""
    with pytest.raises(InputError) as refused:
        load_hugging_face(config("gpt2"), tp=7)
    (problem,) = refused.value.problems
    assert (problem.file, problem.line, problem.key) == (None, None, "--tp")
    assert "7 GPUs cannot share the hidden size 768" in problem.message


@pytest.mark.parametrize(("option", "value"), [("tp", 0), ("tokens", 0), ("dtype", "fp61")])
def test_options_that_mean_nothing(option, value):
    """Nothing is not taken for an option that was not given, and an unknown dtype is the option's fault."""
    with pytest.raises(InputError) as refused:
        load_hugging_face(config("gpt2"), **{option: value})
    (problem,) = refused.value.problems
    assert (problem.file, problem.key, problem.value) == (None, f"--{option}", value)
