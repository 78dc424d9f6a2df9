"""Where parts of programs are remembered: in this process."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from t3sim.simulation.parts import Part

_MOST: Final = 4096
"""Parts kept in a process: some kilobytes each."""


class PartStore:
    """Parts by their keys; those that were asked for longest ago go first."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._parts: OrderedDict[str, Part] = OrderedDict()

    def get(self, key: str) -> Part | None:
        """Return the part that was put there by this key, if it still is there."""
        part = self._parts.get(key)
        if part is not None:
            self._parts.move_to_end(key)
        return part

    def put(self, key: str, part: Part) -> None:
        """Remember a part."""
        self._parts[key] = part
        if len(self._parts) > self._most:
            self._parts.popitem(last=False)

    def __len__(self) -> int:
        """Count the parts that are remembered."""
        return len(self._parts)

    def __iter__(self) -> Iterator[Part]:
        """Go through them, the one that was asked for longest ago first."""
        return iter(self._parts.values())

    def forget(self) -> None:
        """Remember nothing."""
        self._parts.clear()


REMEMBERED: Final = PartStore()
"""Of this process: what a part does depends on its key alone."""
