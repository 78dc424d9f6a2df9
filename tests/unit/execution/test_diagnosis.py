"""What is said of a wrong number."""

import numpy as np
import pytest

from t3sim.execution.diagnosis import Evidence, diagnosis
from t3sim.hardware.memory.values import EMPTY, contribution

CELLS = 6
WRONG = 2


@pytest.fixture(params=[4, 16])
def told(request):
    """Give a function that explains a number at cell 2 of 6, over 4 or 16 GPUs, two cells a piece."""
    ranks = request.param
    numbers = np.stack([contribution(rank, 0, np.arange(CELLS)).exact for rank in range(ranks)])

    def tell(there, *, is_sum=True, wanted=None):
        total = int(numbers[:, WRONG].sum())
        evidence = Evidence(
            cell=WRONG,
            there=int(there(numbers)) if callable(there) else there,
            wanted=total if wanted is None else wanted,
            contributions=numbers,
            is_sum=is_sum,
        )
        return diagnosis(evidence, lambda cell: divmod(cell, 2))

    return tell


def test_missing_contributions_are_named(told):
    """What is there and what is not, both."""
    said = told(lambda numbers: numbers[1:, WRONG].sum())
    assert said.startswith("misses the contributions of GPU 0; it has those of GPUs 1, 2, 3")


def test_doubled_contributions_are_named(told):
    """One too often, or two in a row."""
    assert told(lambda n: n[:, WRONG].sum() + n[2, WRONG]) == "has the contributions of GPU 2 twice"
    assert told(lambda n: n[:, WRONG].sum() + n[1:3, WRONG].sum()) == "has the contributions of GPUs 1, 2 twice"


def test_misplaced_contributions_are_named(told):
    """Beside those that belong there, or in place of some of them."""
    too = told(lambda n: n[:, WRONG].sum() + n[3, 5])
    assert too == "has the contributions of GPU 3 to part 2, piece 1 too"
    instead = told(lambda n: n[1:, WRONG].sum() + n[0, 5])
    assert instead.startswith("has only those of GPUs 1, 2, 3")
    assert instead.endswith("and the contributions of GPU 0 to part 2, piece 1")


def test_the_sum_of_another_place_is_named(told):
    """All of it belongs elsewhere."""
    assert told(lambda n: n[:2, 0].sum()) == "holds what belongs to part 0, piece 0, from GPUs 0, 1"


def test_a_copy_from_elsewhere_is_named(told):
    """Where nothing is summed, the number of another cell or GPU."""
    assert told(lambda n: n[1, 4], is_sum=False) == "holds what belongs to part 2, piece 0, from GPU 1"


@pytest.mark.parametrize("is_sum", [False, True])
def test_what_cannot_be_explained_is_said(told, is_sum):
    """Nothing, zero, a number out of nowhere, and a result that nobody could have."""
    assert told(EMPTY, is_sum=is_sum) == "nothing is there"
    assert told(0, is_sum=is_sum) == "has no contribution of any GPU"
    assert told(12345, is_sum=is_sum) == "another number is there"
    assert told(12345, is_sum=is_sum, wanted=EMPTY) == "no GPU has what belongs there"
