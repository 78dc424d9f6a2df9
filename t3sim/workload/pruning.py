"""Models without some parts of some layers, as methods that leave out sublayers make them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from t3sim.errors import InputError, Problem
from t3sim.workload.models import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

Part = Literal["attention", "mlp"]
_PARTS: tuple[Part, ...] = ("attention", "mlp")


def pruned(model: ModelSpec, wanted: str) -> ModelSpec:
    """Take parts away: `wanted` lists them as `LAYER.PART`, by commas, or names a file with one or more a line.

    Layers are counted from 0; `#` begins a comment of the file.

    Raises:
        InputError: a file cannot be read, or something is no part of the model; one problem each.

    """
    found: dict[str, tuple[Part, ...]] = dict(model.pruned)
    problems = []
    for text in _listed(wanted):
        layer, _, name = text.partition(".")
        part = next((part for part in _PARTS if part == name), None)
        if part is None or not layer.isdecimal() or int(layer) >= model.layers:
            message = f"is no LAYER.PART of {model.name}: layers 0 to {model.layers - 1}"
            problems.append(Problem(message=message, key="prune", value=text, known=_PARTS))
        elif part not in found.get(layer, ()):
            found[str(int(layer))] = (*found.get(layer, ()), part)
    if problems:
        raise InputError(*problems)
    return model.model_copy(update={"pruned": found})


def _listed(wanted: str) -> Iterable[str]:
    """Split a list; a file's, where there is one of that name."""
    path = Path(wanted)
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else [wanted]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Problem(message=f"cannot be read: {error}", key="prune", value=wanted)) from None
    return [name.strip() for line in lines for name in line.partition("#")[0].split(",") if name.strip()]
