"""Fields that hold one of several registered specs, told apart by a key."""

from typing import Annotated, Any, Union

from pydantic import Field

from t3sim.registry import get, names


def one_of(kind: str, key: str) -> Any:
    """Return the type of a field that holds a spec registered under ``kind``; its ``key`` says which.

    Raises ``UnknownNameError`` when none is registered: the modules that do must have been imported.
    """
    return Annotated[Union[tuple(get(kind, name) for name in names(kind))], Field(discriminator=key)]  # noqa: UP007
