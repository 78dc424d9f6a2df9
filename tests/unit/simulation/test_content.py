"""Hashes over content: what is equal has one, whatever object it is, and what differs has another."""

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import pytest

from t3sim.collectives.plan import Kind
from t3sim.hardware.memory.arbitration.mca import Mca
from t3sim.lowering.chunks import Chunks
from t3sim.lowering.tiling import Tiling
from t3sim.simulation.content import NotPlainError, digest, name_of

TILING = Tiling(M=64, N=64, K=32, element_bytes=2, tile_m=16, tile_n=16, slab_k=8)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (1, "1"),
        (0, None),
        ((1, 2), (2, 1)),
        ((1, (2,)), (1, 2)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (np.arange(4), np.arange(4, dtype=np.int32)),
        (np.arange(4), np.arange(4).reshape(2, 2)),
        (np.arange(2000), np.append(np.arange(1999), 7)),
        (Kind.COPY, Kind.REDUCE),
        (TILING, replace(TILING, slab_k=4)),
        (Chunks(piece_bytes=((1, 2), (3,))), Chunks(piece_bytes=((1,), (2, 3)))),
        (Mca(starvation_limit=3), Mca(starvation_limit=4)),
    ],
)
def test_what_differs_has_another_hash(one, other):
    """Numbers of other types, other orders, shapes and fields: none is taken for another."""
    assert digest(one) != digest(other)


def test_things_are_told_apart_by_their_places():
    """Two things are not one that holds both."""
    assert len({digest(1, 2), digest((1, 2)), digest(2, 1), digest((1,), 2)}) == 4


def test_what_is_equal_has_one_hash():
    """Made anew, and with values that were worked out and kept, it is the same content."""
    again = replace(TILING)
    assert again.tile_bytes.sum() > 0
    assert digest(again, {"x": np.arange(9)}) == digest(TILING, {"x": np.arange(9)})


@dataclass(frozen=True)
class Foreign:
    """What is defined outside of t3sim."""

    value: int = 1


class ForeignKind(Enum):
    """The same, as an enum."""

    ONE = 1


@pytest.mark.parametrize("thing", [Foreign(), ForeignKind.ONE, object(), np.array([object()]), {1, 2}, b"x", Foreign])
def test_what_others_define_has_none(thing):
    """Its code may change without the sources of t3sim changing, and of sets there is no order."""
    with pytest.raises(NotPlainError):
        digest([thing])


def test_names_say_where():
    """Types of one name in two modules are two."""
    assert name_of(Tiling) == "t3sim.lowering.tiling.Tiling"
