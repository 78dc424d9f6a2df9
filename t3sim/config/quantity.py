"""Types of spec fields that are quantities: in a file, text with a unit; in a spec, whole base units.

`Bytes`, `BytesPerSecond`, `Femtoseconds` and `Hertz` accept zero; the `Positive...` types do not.
In Python a spec may also be built from a plain whole number, which is then already in base units.
"""

from typing import Annotated, Any, Final, TypeAlias

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema

from t3sim import units

FROM_FILE: Final = "t3sim.from_file"
"""In the validation context of data that a person wrote: a number without a unit is refused there."""


def _quantity(dimension: units.Dimension) -> BeforeValidator:
    """Return the validator that turns text with a unit into base units."""

    def parse(value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str):
            return dimension.parse(value)
        if info.context and FROM_FILE in info.context:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            wrong = f"must be a {dimension.name} with a unit, as in {dimension.example!r}"
            raise ValueError(dimension.lacks_unit(repr(value)) if is_number else wrong)
        return value

    return BeforeValidator(parse)


def _schema(dimension: units.Dimension) -> WithJsonSchema:
    text = f"a {dimension.name}: a number and one of {dimension.known()}"
    return WithJsonSchema({"type": "string", "description": text, "examples": [dimension.example]})


Bytes: TypeAlias = Annotated[int, _quantity(units.SIZE), Field(ge=0), _schema(units.SIZE)]
BytesPerSecond: TypeAlias = Annotated[int, _quantity(units.RATE), Field(ge=0), _schema(units.RATE)]
Femtoseconds: TypeAlias = Annotated[int, _quantity(units.DURATION), Field(ge=0), _schema(units.DURATION)]
Hertz: TypeAlias = Annotated[int, _quantity(units.FREQUENCY), Field(ge=0), _schema(units.FREQUENCY)]

PositiveBytes: TypeAlias = Annotated[Bytes, Field(gt=0)]
PositiveBytesPerSecond: TypeAlias = Annotated[BytesPerSecond, Field(gt=0)]
PositiveFemtoseconds: TypeAlias = Annotated[Femtoseconds, Field(gt=0)]
PositiveHertz: TypeAlias = Annotated[Hertz, Field(gt=0)]
