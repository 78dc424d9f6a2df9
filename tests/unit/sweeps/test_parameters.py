"""Numbers of a system, half as much and half as much again."""

from fractions import Fraction

import pytest

from t3sim.simulation import load_system
from t3sim.sweeps.parameters import parameters
from t3sim.sweeps.resolve import Resolver


@pytest.fixture(scope="module")
def found():
    """Give the parameters of a system with a whole number of one and of zero, by key."""
    changes = {"system.memory.stream_switch": "0 ns", "system.gemm.workgroups_per_cu": 1, "system.dma.outstanding": 5}
    resolver = Resolver()
    system = resolver.system({"system": "t3-paper-published", **changes})
    valid = lambda key, value: resolver.system({"system": "t3-paper-published", **changes, f"system.{key}": value})  # noqa: E731
    return {parameter.key: parameter for parameter in parameters(system, valid)}


def test_quantities_keep_their_unit(found):
    """1.4 GHz is 0.7 and 2.1 GHz."""
    assert found["compute.clock"].changed == {"-50%": "0.7 GHz", "+50%": "2.1 GHz"}
    assert found["llc.capacity"].changed == {"-50%": "8 MiB", "+50%": "24 MiB"}


def test_whole_numbers_stay_whole(found):
    """Halves round up: 5 is 3 and 8; 1 becomes 2, and half of it is 1 again, which is no change."""
    assert found["dma.outstanding"].changed == {"-50%": 3, "+50%": 8}
    assert found["gemm.workgroups_per_cu"].changed == {"+50%": 2}
    assert found["gemm.workgroups_per_cu"].refused == {"-50%": "rounds to the value itself"}


def test_what_is_not_valid_says_why(found):
    """An efficiency of 1.38 is none, 384 entries in sets of 6 are, half of nothing is nothing."""
    assert found["memory.efficiency"].changed == {"-50%": 0.46}
    assert found["memory.efficiency"].refused["+50%"].startswith("1.38 is not valid: ")
    assert "256 entries are not whole sets of 6 ways" in found["tracker.ways"].refused["+50%"]
    assert found["memory.stream_switch"].refused == {"-50%": "is zero", "+50%": "is zero"}


def test_numbers_inside_lists_are_found(found):
    """Thresholds are parameters too; their 'no limit' is none, and neither are names and switches."""
    assert found["arbitration.t3-mca.thresholds.1.occupancy"].changed == {"-50%": 5, "+50%": 15}
    assert "arbitration.t3-mca.thresholds.3.occupancy" not in found
    assert not {"name", "link.direction", "track_trigger.staggered", "version"} & set(found)


def test_every_number_of_the_system_is_there(found):
    """As many parameters as numbers and quantities in the spec that the file sets."""
    leaves = load_system("t3-paper-published").spec.model_dump(mode="json")
    for section in ("compute", "memory", "link", "dma", "tracker", "llc", "gemm"):
        for key, value in leaves[section].items():
            if isinstance(value, int | float) and f"{section}.{key}" not in found:
                default = type(getattr(load_system("t3-paper-published").spec, section)).model_fields[key].default
                assert value == default, key


def test_a_change_is_half_of_the_value(found):
    """Where nothing is rounded, the two changes are the value times 1/2 and 3/2."""
    half, more = (Fraction(str(found["memory.update_cost"].changed[name])) for name in ("-50%", "+50%"))
    assert (half, more) == (1, 3)
