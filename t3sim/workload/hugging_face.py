"""Models from Hugging Face: a `config.json` as the keys of a `ModelSpec`, with what was assumed and left out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from t3sim.config import VERSION, Document, dump_yaml, read_document
from t3sim.config.problems import problems_of
from t3sim.errors import InputError, Problem
from t3sim.results.provenance import Provenance, sourced
from t3sim.workload.hugging_face_families import (
    ACTIVATIONS,
    DTYPES,
    FAMILIES,
    LIKE_LLAMA,
    LIKE_LLAMA_KEYS,
    UNMODELLED,
    Family,
    never_matters,
)
from t3sim.workload.hugging_face_reader import Reader
from t3sim.workload.models import MODEL_FORMAT, ModelSpec

if TYPE_CHECKING:
    from pathlib import Path

TOKENS: Final = 8192
TP: Final = 8

_HIDDEN = ("hidden_size", "n_embd")
_LAYERS = ("num_hidden_layers", "n_layer")
_HEADS = ("num_attention_heads", "n_head")
_WIDTHS = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
_LONGEST = ("max_position_embeddings", "n_positions")
_ACTIVATION = ("hidden_act", "hidden_activation", "activation_function", "activation")
_DTYPE = ("torch_dtype", "dtype")
_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Converted:
    """A model that was made from a `config.json`."""

    spec: ModelSpec
    notes: tuple[str, ...]
    """What was assumed, ignored, and left out."""
    text: str
    """The model as a YAML file, with a source at each number."""


def from_hugging_face(
    document: Mapping[str, Any],
    *,
    name: str | None = None,
    tp: int | None = None,
    tokens: int | None = None,
    dtype: str | None = None,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the keys of a `ModelSpec` that a `config.json` gives, and what was assumed, ignored and left out.

    A file says nothing of how a model is run: `tp` and `tokens` are assumed if they are not given.

    Raises:
        InputError: a key is missing or has an impossible value, or the model's type is unknown.

    """
    reader = _read(document, name, tp, tokens, dtype)
    return reader.fields, tuple(reader.notes)


def load_hugging_face(
    path: Path,
    *,
    name: str | None = None,
    tp: int | None = None,
    tokens: int | None = None,
    dtype: str | None = None,
) -> Converted:
    """Load a model from a `config.json`.

    Raises:
        InputError: the file cannot be read, or no model can be made of it; it names every fault and its line.

    """
    document = _json_document(path)
    try:
        reader = _read(document.data, name or _name_of(document.data, path), tp, tokens, dtype)
    except InputError as error:
        raise InputError(*(_placed(problem, problem.key, document, path) for problem in error.problems)) from None
    try:
        spec = ModelSpec(**reader.fields)
    except ValidationError as error:
        found = problems_of(error, Document(reader.fields | {"tp": list(reader.fields["tp"])}, {(): (str(path), None)}))
        placed = [_placed(each, reader.origins.get(each.key or "", each.key), document, path) for each in found]
        # A list whose one item is wrong is wrong itself, which is no news.
        raise InputError(*{problem.key: problem for problem in reversed(placed)}.values()) from None
    return Converted(spec, tuple(reader.notes), _as_yaml(reader, path))


def _json_document(path: Path) -> Document:
    """Read JSON with the lines of its keys: all of it is YAML too."""
    document = read_document(path)
    try:
        json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise InputError(Problem(message=f"not valid JSON: {error.msg}", file=str(path), line=error.lineno)) from None
    return document


def _placed(problem: Problem, key: str | None, document: Document, path: Path) -> Problem:
    """Send the reader to the line of a key of the file; options have none."""
    if key in ("--tp", "--tokens", "--dtype"):
        return replace(problem, file=None, line=None, key=key)
    inside = document.lines.get(tuple((key or "").split(".")), (str(path), 1))
    return replace(problem, file=str(path), line=inside[1], key=key)


def _name_of(data: Mapping[str, Any], path: Path) -> str:
    """Name a model by what its file says that it is, else by the file or its folder."""
    said = data.get("_name_or_path")
    if isinstance(said, str) and said.strip("/"):
        return said.rstrip("/").rpartition("/")[2]
    return path.stem if path.stem != "config" else path.resolve().parent.name


def _read(data: Mapping[str, Any], name: str | None, tp: int | None, tokens: int | None, dtype: str | None) -> Reader:
    if data.get("model_type") == "gemma3" and isinstance(data.get("text_config"), dict):
        data = {"model_type": "gemma3_text"} | {key: data[key] for key in _DTYPE if key in data} | data["text_config"]
    family, remarks = _family(data)
    reader = Reader(data, str(data["model_type"]))
    reader.notes += remarks
    reader.fields["name"] = _NO_NAME.sub("-", name or reader.kind).strip("-.") or reader.kind
    _shape(reader, family)
    _run(reader, family, tp, tokens, dtype)
    if family.experts is not None:
        _experts(reader, family.experts)
    if family.latent:
        _latent(reader)
    if reader.problems:
        raise InputError(*reader.problems)
    reader.notes += family.remarks
    reader.notes += _about_others(data, reader.used)
    return reader


def _family(data: Mapping[str, Any]) -> tuple[Family, list[str]]:
    kind = data.get("model_type")
    if not isinstance(kind, str):
        known = tuple(FAMILIES)
        if kind is None:
            raise InputError(Problem(message="missing key", key="model_type", known=known))
        raise InputError(Problem(message="must be text", key="model_type", value=kind, known=known))
    if kind == "RefinedWebModel":  # as Falcon was called before transformers knew it
        kind = "falcon"
    if kind in FAMILIES:
        return FAMILIES[kind], []
    like_llama = all(key in data for key in LIKE_LLAMA_KEYS) and not any("expert" in key for key in data)
    if not like_llama:
        raise InputError(Problem(message="unknown model type", key="model_type", value=kind, known=tuple(FAMILIES)))
    return FAMILIES[LIKE_LLAMA], [f"assumed: {kind}, which is unknown, is built as {LIKE_LLAMA} is, whose keys it has"]


def _shape(reader: Reader, family: Family) -> None:
    """Read what the matrices of a layer are."""
    fields = reader.fields
    hidden = fields["hidden"] = reader.needed("hidden", _HIDDEN)
    fields["layers"] = reader.needed("layers", _LAYERS)
    heads = fields["heads"] = reader.needed("heads", _HEADS)
    kv_heads = _falcon_kv_heads(reader, heads) if family.falcon else reader.whole("kv_heads", ("num_key_value_heads",))
    if kv_heads not in (None, heads):
        fields["kv_heads"] = kv_heads
    default = family.head_dim if family.head_dim != hidden // heads else None
    head_dim = None if family.latent else reader.whole("head_dim", ("head_dim",), default)
    if head_dim is not None and head_dim * heads != hidden:
        fields["head_dim"] = head_dim
    fields["intermediate"] = _width(reader, family, hidden)
    named = reader.word("activation", _ACTIVATION, ACTIVATIONS, family.activation)
    activation = ACTIVATIONS[named][1 if family.gated else 0]
    if activation is None:
        reader.problems.append(
            Problem(message=f"no activation of a gate in {reader.kind}", key=reader.origins["activation"], value=named)
        )
    fields["activation"] = activation
    fields["norm"], fields["block"] = family.norm, _block(reader, family)
    qk_norm = family.qk_norm
    fields["qk_norm"] = reader.flag("qk_norm", family.qk_norm_key, default=qk_norm) if family.qk_norm_key else qk_norm
    fields["vocabulary"] = reader.needed("vocabulary", ("vocab_size",))
    fields["tied_embeddings"] = reader.flag("tied_embeddings", "tie_word_embeddings", default=family.tied)
    fields["biases"] = _biases(reader, family)


def _width(reader: Reader, family: Family, hidden: int) -> int:
    """Read the width of the MLP; families without a gate take 4 H where the file does not say."""
    if family.gated:
        return reader.needed("intermediate", _WIDTHS)
    width = reader.whole("intermediate", _WIDTHS)
    return 4 * hidden if width is None else width


def _falcon_kv_heads(reader: Reader, heads: int) -> int | None:
    """Read Falcon's: one of all heads, some of the newer architecture, or as many as heads."""
    new = reader.flag("kv_heads", "new_decoder_architecture", default=False)
    if new:
        reader.notes.append("its newer blocks may have a norm for each part: here one for both")
    single = reader.flag("kv_heads", "multi_query", default=True)
    some = reader.whole("kv_heads", ("num_kv_heads", "n_head_kv"), heads if new else None)
    reader.must_be("num_ln_in_parallel_attn", lambda value: value in (1, 2), "must be 1 or 2")
    return some if new else (1 if single else heads)


def _block(reader: Reader, family: Family) -> str:
    if family.parallel_key is not None:
        return "parallel" if reader.flag("block", family.parallel_key, default=True) else "pre-ln"
    if reader.kind == "opt":
        hidden = reader.data.get("hidden_size")
        message = "an embedding of another width than the layers is not modelled"
        reader.must_be("word_embed_proj_dim", lambda value: value == hidden, message)
        return "pre-ln" if reader.flag("block", "do_layer_norm_before", default=True) else "post-ln"
    return family.block


def _biases(reader: Reader, family: Family) -> bool | str:
    if family.gated:
        message = "biases of an MLP with a gate are not modelled"
        reader.must_be("mlp_bias", lambda value: value is False, message)
    if family.bias_key is None:
        return family.biases
    said = reader.flag("biases", family.bias_key, default=bool(family.biases))
    if said and family.bias_key == "attention_bias" and family.gated:
        reader.notes.append("the biases of its output projection are left out")
    return family.biased if said else False


def _run(reader: Reader, family: Family, tp: int | None, tokens: int | None, dtype: str | None) -> None:
    """Say how the model is run: rows, sequences, degree, dtype."""
    fields = reader.fields
    fields["tokens"], fields["tp"] = TOKENS if tokens is None else tokens, (TP if tp is None else tp,)
    reader.origins |= {"tp": "--tp", "tp.0": "--tp", "tokens": "--tokens"}
    if tokens is None:
        reader.notes.append(f"assumed: {TOKENS} tokens (--tokens)")
    if tp is None:
        reader.notes.append(f"assumed: {TP} GPUs share a layer (--tp)")
    if dtype is None:
        fields["dtype"] = DTYPES[reader.word("dtype", _DTYPE, DTYPES, "float16")]
    else:
        fields["dtype"] = dtype
        reader.used.update(_DTYPE)
        reader.origins["dtype"] = "--dtype"
    longest = reader.whole("sequence", _LONGEST)
    if longest is not None and longest < fields["tokens"]:
        fields["sequence"] = longest
    if family.positions is not None:
        fields["positions"] = (longest or 0) + family.positions
        reader.origins["positions"] = reader.origins.get("sequence", _LONGEST[0])
        if longest is None:
            reader.problems.append(Problem(message=f"missing key (or {_LONGEST[1]})", key=_LONGEST[0]))


def _experts(reader: Reader, kind: str) -> None:
    """Read the experts: their number and width, those for all tokens, and layers without."""
    active = ("num_experts_per_tok",)
    if kind == "mixtral":
        reader.fields["experts"] = {
            "count": reader.needed("experts.count", ("num_local_experts",)),
            "active": reader.needed("experts.active", active),
            "intermediate": reader.needed("experts.intermediate", _WIDTHS),
        }
        return
    counted = ("n_routed_experts",) if kind == "deepseek" else ("num_experts",)
    if kind == "deepseek" and reader.whole("", counted) is None:
        reader.notes.append("assumed: all layers have an MLP, since the file names no experts")
        return
    width = reader.needed("experts.intermediate", ("moe_intermediate_size",))
    experts = {
        "count": reader.needed("experts.count", counted),
        "active": reader.needed("experts.active", active),
        "intermediate": width,
    }
    every = "decoder_sparse_step" if kind == "qwen" else "moe_layer_freq"
    reader.must_be(every, lambda value: value == 1, "layers with experts between ones without are not modelled")
    if kind == "qwen":
        message = "an MLP for all tokens whose width is no multiple of an expert's is not modelled"
        reader.must_be(_SHARED_WIDTH, lambda value: isinstance(value, int) and value % width == 0, message)
        experts["shared"] = (reader.whole("experts.shared", (_SHARED_WIDTH,), least=0) or 0) // width
        reader.must_be("mlp_only_layers", _are_first, "layers without experts that are not the first are not modelled")
        experts["dense_layers"] = len(reader.data.get("mlp_only_layers") or ())
        reader.origins["experts.dense_layers"] = "mlp_only_layers"
    else:
        experts["shared"] = reader.whole("experts.shared", ("n_shared_experts",), least=0) or 0
        experts["dense_layers"] = reader.whole("experts.dense_layers", ("first_k_dense_replace",), least=0) or 0
    reader.fields["experts"] = experts


_SHARED_WIDTH = "shared_expert_intermediate_size"


def _are_first(layers: Any) -> bool:
    return isinstance(layers, list) and layers == list(range(len(layers)))


def _latent(reader: Reader) -> None:
    """Read the low ranks of attention; its heads have keys and values of their own."""
    if "q_lora_rank" in reader.data and reader.data["q_lora_rank"] is None:
        message = "queries that come by way of no low rank are not modelled"
        reader.problems.append(Problem(message=message, key="q_lora_rank", value=None))
        return
    names = {
        "query_rank": "q_lora_rank",
        "key_value_rank": "kv_lora_rank",
        "nope_dim": "qk_nope_head_dim",
        "rope_dim": "qk_rope_head_dim",
        "value_dim": "v_head_dim",
    }
    latent = {name: reader.needed(f"latent_attention.{name}", (key,)) for name, key in names.items()}
    reader.fields.pop("kv_heads", None)
    reader.fields["latent_attention"] = latent
    reader.used.update(key for key in ("head_dim", "qk_head_dim") if key in reader.data)


def _about_others(data: Mapping[str, Any], used: set[str]) -> list[str]:
    """Say which keys were not used: those that would matter, those that never do, those that nobody knows."""
    others = [key for key in data if key not in used]
    whole_window = data.get("use_sliding_window") is False
    left_out = [
        f"not modelled: {key}: {UNMODELLED[key]}"
        for key in others
        if key in UNMODELLED and data[key] and not (whole_window and key.startswith("sliding_window"))
    ]
    others = [key for key in others if key not in UNMODELLED]
    ignored = [key for key in others if never_matters(key)]
    unknown = [key for key in others if not never_matters(key)]
    return [
        *left_out,
        *([f"unknown keys, left out: {', '.join(unknown)}"] if unknown else []),
        *([f"ignored, which change no kernel: {', '.join(ignored)}"] if ignored else []),
    ]


def _as_yaml(reader: Reader, path: Path) -> str:
    """Write the model as a file of `configs/models` is written: each value with where it comes from."""
    header = {"format": MODEL_FORMAT, "version": VERSION, "name": reader.fields["name"]}
    body = {name: _sourced(reader, name, value, path) for name, value in reader.fields.items() if name != "name"}
    return f"# Made from {path.name} (model_type {reader.kind}).\n{dump_yaml(header | body)}"


def _sourced(reader: Reader, name: str, value: Any, path: Path) -> Any:
    if isinstance(value, dict):
        return {key: _sourced(reader, f"{name}.{key}", item, path) for key, item in value.items()}
    key = reader.origins.get(name)
    value = list(value) if isinstance(value, tuple) else value
    if key is None:
        return sourced(value, Provenance(f"assumed: as Hugging Face's {reader.kind} has it", "assumed"))
    if key.startswith("--"):
        return sourced(value, Provenance(f"assumed: {key}, or what stands for it", "assumed"))
    return sourced(value, Provenance(f"{path.name}, {key}", "datasheet"))
