"""``t3sim trace new`` from other things than a shipped model: config.json files, lists of GEMMs."""

import json

import pytest

from t3sim.workload import load_model, load_trace

CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "hidden_act": "silu",
    "vocab_size": 100,
    "torch_dtype": "bfloat16",
    "sliding_window": 5,
    "curious": 1,
    "use_cache": True,
}


@pytest.fixture
def config(tmp_path):
    """Give a config.json as Hugging Face has it."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG, indent=1), encoding="utf-8")
    return path


@pytest.fixture
def shapes(tmp_path):
    """Give a list of GEMMs."""
    path = tmp_path / "shapes.csv"
    path.write_text("M,N,K,dtype,count\n256,128,64,fp16,3\n", encoding="utf-8")
    return path


def test_a_trace_of_a_hugging_face_model(t3sim, config, tmp_path):
    """The trace has the model's shapes, and notes say what was assumed, left out and ignored."""
    out = tmp_path / "trace.yaml"
    result = t3sim("trace", "new", "--hf", config, "--tp", 4, "--tokens", 16, "--out", out)
    assert (result.code, result.out) == (0, "")
    made = load_trace(out, folder=tmp_path).spec
    assert [(o.M, o.N, o.K_local, o.dtype) for o in made.operations if o.op == "gemm"] == [
        (16, 64, 16, "bf16"),
        (16, 64, 24, "bf16"),
        (16, 64, 48, "bf16"),
        (16, 64, 48, "bf16"),
    ]
    assert result.err.splitlines() == [
        "note: not modelled: sliding_window: attention goes over all tokens here, in every layer",
        "note: unknown keys, left out: curious",
        "note: ignored, which change no kernel: use_cache",
        f"wrote {out}",
    ]
    first = out.read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# Made by: t3sim trace new --hf {config} --tp 4 --tokens 16"


def test_the_model_of_a_hugging_face_model(t3sim, config, tmp_path):
    """Without a degree the model is written, and no trace made; it then makes the same trace as the file did."""
    model = tmp_path / "models" / "mine.yaml"
    result = t3sim("trace", "new", "--hf", config, "--model-out", model)
    assert (result.code, result.out) == (0, "")
    assert "note: assumed: 8 GPUs share a layer (--tp)" in result.err
    assert f"wrote {model}" in result.err
    assert load_model(model, folder=tmp_path).resolved["hidden"] == {
        "value": 64,
        "source": "config.json, hidden_size",
        "class": "datasheet",
    }
    again = t3sim("trace", "new", model, "--tp", 4)
    both = t3sim("trace", "new", "--hf", config, "--tp", 4, "--model-out", model)
    assert again.out.splitlines()[1:] == both.out.splitlines()[1:] != []


def test_a_bad_config_says_where(t3sim, config):
    """A fault of a config.json is one line with file, line, key and value, and exit code 2."""
    config.write_text(json.dumps(CONFIG | {"hidden_act": "sin"}, indent=1), encoding="utf-8")
    result = t3sim("trace", "new", "--hf", config, "--tp", 4)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"error: {config}:7: hidden_act: unknown name, got 'sin' (known: relu, silu, ")


def test_a_trace_of_listed_gemms_runs(t3sim, shapes, tmp_path):
    """A list of GEMMs makes a trace that can be run, one sublayer a row."""
    out = tmp_path / "trace.yaml"
    result = t3sim("trace", "new", "--gemms", shapes, "--tp", 2, "--out", out)
    assert result.code == 0
    assert "note: gemm1-256x128x64 is there once: its count of 3 is yours to multiply by" in result.err
    run = t3sim("run", out, "--scheme", "sequential,t3", "--format", "json")
    assert run.code == 0, run.err
    assert [row["sublayer"] for row in json.loads(run.out)["rows"]] == ["gemm1-256x128x64"] * 2


def test_one_thing_to_make_a_trace_of(t3sim, config, shapes):
    """A model, a config.json or a list: not none, not two, and options only where they mean something."""
    refusals = {
        (): "MODEL: needs a model, or --hf or --gemms in its place",
        ("t-nlg", "--hf", config): "--hf: not together with MODEL",
        ("--gemms", shapes, "--hf", config): "--gemms: not together with --hf",
        ("t-nlg",): "--tp: missing option",
        ("--hf", config): "--tp: missing option",
        ("--gemms", shapes): "--tp: missing option",
        ("t-nlg", "--tp", 4, "--model-out", "m.yaml"): "--model-out: writes the model that --hf names",
        ("--gemms", shapes, "--tp", 2, "--tokens", 8): "--tokens: not with --gemms",
        ("--gemms", shapes, "--tp", 2, "--sequence-parallel"): "--sequence-parallel: not with --gemms",
        ("--hf", config, "--tp", 3): "--tp: 3 GPUs cannot share the hidden size 64 evenly",
    }
    for arguments, message in refusals.items():
        result = t3sim("trace", "new", *arguments)
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith(f"error: {message}")
