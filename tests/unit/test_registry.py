"""Names and classes: found, listed in order, refused twice, and missed with a suggestion."""

import pickle

import pytest

from t3sim import registry


@pytest.fixture(autouse=True)
def _own_names(monkeypatch):
    monkeypatch.setattr(registry, "_classes", {})


@pytest.fixture
def policies():
    """Two registered classes, by name."""

    @registry.register("policy", "round_robin")
    class RoundRobin:
        pass

    @registry.register("policy", "compute_first")
    class ComputeFirst:
        pass

    return {"round_robin": RoundRobin, "compute_first": ComputeFirst}


def test_a_registered_class_is_found_by_its_name(policies):
    """The decorator hands back the class itself, and the name leads to it."""
    assert {name: registry.get("policy", name) for name in policies} == policies


def test_names_are_sorted(policies):
    """The order of names does not depend on the order of imports."""
    assert registry.names("policy") == tuple(sorted(policies))


def test_a_name_is_given_once(policies):
    """A second class of the same kind and name is refused, naming the first."""
    first = policies["round_robin"]
    with pytest.raises(ValueError, match="already") as refused:
        registry.register("policy", "round_robin")(int)
    assert str(refused.value) == (
        f"policy 'round_robin' is already registered by {first.__module__}.{first.__qualname__}"
    )
    assert registry.get("policy", "round_robin") is first


def test_kinds_have_names_of_their_own(policies):
    """The same name may be given in two kinds."""
    registry.register("other", "round_robin")(int)
    assert registry.get("other", "round_robin") is int
    assert registry.get("policy", "round_robin") is policies["round_robin"]


@pytest.mark.usefixtures("policies")
def test_unknown_name_suggests_the_nearest():
    """A misspelt name is refused with the nearest and all known names."""
    with pytest.raises(LookupError) as refused:
        registry.get("policy", "compute_frist")
    assert str(refused.value) == (
        "unknown policy 'compute_frist' (did you mean compute_first?; known: compute_first, round_robin)"
    )
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)


@pytest.mark.usefixtures("policies")
def test_unknown_kind_is_not_an_empty_one():
    """A misspelt kind is refused, for otherwise nothing would be tested in its name."""
    with pytest.raises(LookupError) as refused:
        registry.names("polcy")
    assert str(refused.value) == "unknown kind of component 'polcy' (did you mean policy?; known: policy)"


def test_nothing_registered():
    """Before any registration the message says that nothing is known."""
    with pytest.raises(LookupError) as refused:
        registry.get("policy", "x")
    assert str(refused.value) == "unknown kind of component 'policy' (known: none)"
