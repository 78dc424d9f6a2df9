"""Which all-gathers go with the GEMM that reads what they bring."""

import pytest

from t3sim.lowering.work import consumers

SHAPE = (64, 48, 40)
INPUT = 64 * 40 * 2


@pytest.fixture
def found(tiny_system, lowered, sublayer_of):
    """Give a function that says which pairs there are, by names."""

    def of(*operations):
        works = lowered(tiny_system(), sublayer_of(4, *operations))
        return {gather.op.id: gemm.op.id for gather, gemm in consumers(works).items()}

    return of


def test_an_all_gather_of_a_gemm_s_input_is_found(found, gemm_op, collective_op):
    """The GEMM waits for it alone, and nothing else does."""
    assert found(collective_op("a", "all_gather", INPUT), gemm_op("g", SHAPE, "a")) == {"a": "g"}


def test_each_pair_is_found(found, gemm_op, collective_op):
    """Two in a row are two pairs, though the second all-gather waits for the first GEMM."""
    operations = (
        collective_op("a", "all_gather", INPUT),
        gemm_op("g", SHAPE, "a"),
        collective_op("b", "all_gather", INPUT, "g"),
        gemm_op("h", SHAPE, "b"),
    )
    assert found(*operations) == {"a": "g", "b": "h"}


@pytest.mark.parametrize("nbytes", [INPUT - 1, INPUT + 1])
def test_other_sizes_are_no_input(nbytes, found, gemm_op, collective_op):
    """One byte more or less is another buffer."""
    assert found(collective_op("a", "all_gather", nbytes), gemm_op("g", SHAPE, "a")) == {}


def test_what_others_wait_for_has_no_single_consumer(found, gemm_op, collective_op):
    """Two GEMMs that read it, or a GEMM and a collective, are not one."""
    gather = collective_op("a", "all_gather", INPUT)
    assert found(gather, gemm_op("g", SHAPE, "a"), gemm_op("h", SHAPE, "a")) == {}
    assert found(gather, gemm_op("g", SHAPE, "a"), collective_op("b", "all_gather", 4096, "a")) == {}


def test_a_gemm_that_waits_for_more_is_no_consumer(found, gemm_op, collective_op):
    """Its rows alone do not let it start."""
    other = gemm_op("h", SHAPE)
    assert found(other, collective_op("a", "all_gather", INPUT), gemm_op("g", SHAPE, "a", "h")) == {}


@pytest.mark.parametrize("op", ["all_reduce", "all_to_all", "reduce_scatter", "broadcast"])
def test_other_collectives_are_not_gathered(op, found, gemm_op, collective_op):
    """Nor is the second half of an all-reduce, though that is an all-gather."""
    assert found(collective_op("a", op, INPUT), gemm_op("g", SHAPE, "a")) == {}
