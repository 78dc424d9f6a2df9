"""The base of every spec: frozen, strict, and able to say which keys it would have known."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, InitErrorDetails, PydanticCustomError

from t3sim.config.meanings import meanings

UNKNOWN_KEY: Final = "unknown_key"
"""Type of the validation error for a key that a spec does not have; its context holds `known` and `elsewhere`."""

_RESERVED: Final = frozenset({"value", "class"})  # mark a value that is written with its source


class Spec(BaseModel):
    """What a component is configured with: immutable, every key checked, values in base units.

    Lists of a file arrive as tuples; text becomes an enum only in a field with `strict=False`.
    Raises pydantic's ValidationError for an unknown key, a missing one or an impossible value.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", strict=True)
    elsewhere: ClassVar[Mapping[str, str]] = {}
    """Keys that one may look for here in vain, and what says the same."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if taken := _RESERVED & set(_keys(cls)):
            raise TypeError(f"{cls.__name__}: a field must not be called {', '.join(sorted(taken))}")

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Describe each field by the docstring under it."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in meanings(cls, Spec).items():
            if name in cls.model_fields:  # and no class variable
                properties[cls.model_fields[name].alias or name]["description"] = text
        return schema

    @model_validator(mode="wrap")
    @classmethod
    def _name_the_known_keys(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Add to the error of an unknown key what is known: only here is it certain which spec it missed."""
        try:
            return handler(data)
        except ValidationError as error:
            details = error.errors(include_url=False)
            if not any(map(_is_own_unknown_key, details)):
                raise
            raise ValidationError.from_exception_data(cls.__name__, [_rebuilt(cls, d) for d in details]) from None


def _keys(cls: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in cls.model_fields.items())


def _is_own_unknown_key(detail: ErrorDetails) -> bool:
    return detail["type"] == "extra_forbidden" and len(detail["loc"]) == 1


def _rebuilt(cls: type[BaseModel], detail: ErrorDetails) -> InitErrorDetails:
    """Return the same error, in the form that a new ValidationError is made from."""
    kind, context = detail["type"], detail.get("ctx", {})
    if _is_own_unknown_key(detail):
        spec: Any = cls
        kind, context = UNKNOWN_KEY, {"known": _keys(cls), "elsewhere": spec.elsewhere.get(detail["loc"][0], "")}
    # The message is passed as context, since braces in the message itself would be filled in.
    error = PydanticCustomError(kind, "{message}", {**context, "message": detail["msg"]})
    return InitErrorDetails(type=error, loc=detail["loc"], input=detail["input"])
