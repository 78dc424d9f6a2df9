"""Specs by themselves: built in Python, and described by their schema."""

import pytest
from pydantic import Field, ValidationError

from t3sim.config import Spec


def test_specs_in_python(specs):
    """In Python whole numbers are base units, text has a unit, and everything else is refused."""
    assert specs.Memory(bandwidth=5, capacity="1 KiB").capacity == 1024
    for wrong in ({"capacity": True}, {"capacity": 1.5}, {"capacity": -1}, {"bandwidth": 0}, {"capcity": 1}):
        with pytest.raises(ValidationError):
            specs.Memory(**{"bandwidth": 5, "capacity": 1, **wrong})
    with pytest.raises(ValidationError, match="frozen"):
        specs.Memory(bandwidth=5, capacity=1).capacity = 2
    memory = specs.Memory(bandwidth=5, capacity=1)
    assert specs.Memory.model_validate_json(memory.model_dump_json()) == memory


def test_fields_leave_the_words_of_sources_alone():
    """A field called value or class could not be told from a value with its source."""
    with pytest.raises(TypeError, match="Reserved: a field must not be called value"):
        type("Reserved", (Spec,), {"__annotations__": {"value": int}, "__module__": __name__})


def test_schema_says_that_quantities_have_units(specs):
    """The JSON schema shows a quantity as text, with an example."""
    schema = specs.Memory.model_json_schema()["properties"]
    assert schema["capacity"]["type"] == schema["bandwidth"]["type"] == "string"
    assert schema["latency"]["examples"] == ["500 ns"]


class Base(Spec):
    """Has a field that others inherit."""

    depth: int
    """How deep,
    in rows."""
    plain: int = 0


class Derived(Base):
    """Has one more, under another name, and something else after it."""

    kind_: str = Field("x", alias="kind")
    """Which kind."""

    def _unused(self) -> None:
        """Say nothing of a field."""


def test_schema_says_what_fields_mean():
    """The docstring under a field, its own or inherited, is the description of its key; there is none without."""
    properties = Derived.model_json_schema()["properties"]
    described = {key: schema.get("description") for key, schema in properties.items()}
    assert described == {"depth": "How deep,\nin rows.", "plain": None, "kind": "Which kind."}


def test_a_spec_without_a_file_has_a_schema():
    """A spec that is made at run time has no source to read, and is described without it."""
    made = type("Made", (Base,), {"__annotations__": {"width": int}, "__module__": "nowhere"})
    properties = made.model_json_schema()["properties"]
    assert set(properties) == {"depth", "plain", "width"}
    assert properties["depth"]["description"] == "How deep,\nin rows."
