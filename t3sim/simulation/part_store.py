"""Where parts of programs are remembered: in this process, and in a cache on disk that processes share.

The cache is in ``T3SIM_CACHE``, or else in the user's cache, where that folder is this user's alone. It is kept apart
by the sources of t3sim, Python and the libraries, so that nothing is taken from another version. What it holds is
plain data, which is checked when it is read.
"""

import hashlib
import json
import os
import platform
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from t3sim.disk_cache import DiskCache
from t3sim.hardware.memory.access import Cause, Direction
from t3sim.own_folder import is_own, user_cache
from t3sim.simulation.parts import Part
from t3sim.version import code_version

FOLDER: Final = "T3SIM_CACHE"
"""Environment variable: the folder of the cache on disk, or ``off``."""
OFF: Final = "off"
_MOST: Final = 4096
"""Parts kept in a process: some kilobytes each."""
_MOST_BYTES: Final = 256 * 2**20
"""Bytes on disk."""
_LIBRARIES: Final = ("networkx", "numba", "numpy", "pydantic", "simpy")
"""Those that a result may depend on."""


class PartStore:
    """Parts by their keys; those that were asked for longest ago go first."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._parts: OrderedDict[str, Part] = OrderedDict()
        self._disk: DiskCache | None = None
        self._opened = False

    def get(self, key: str) -> Part | None:
        """Return the part that was put there by this key, if it still is there."""
        part = self._parts.get(key)
        if part is not None:
            self._parts.move_to_end(key)
            return part
        disk = self.disk
        text = disk.get(key) if disk is not None else None
        part = read_part(text) if text is not None else None
        if part is not None:
            self._keep(key, part)
        return part

    def put(self, key: str, part: Part) -> None:
        """Remember a part."""
        self._keep(key, part)
        if (disk := self.disk) is not None:
            disk.put(key, written_part(part))

    def __len__(self) -> int:
        """Count the parts that this process remembers."""
        return len(self._parts)

    def __iter__(self) -> Iterator[Part]:
        """Go through them, the one that was asked for longest ago first."""
        return iter(self._parts.values())

    def forget(self) -> None:
        """Remember nothing in this process, and look for the cache on disk anew."""
        self._parts.clear()
        self._opened = False

    @property
    def disk(self) -> DiskCache | None:
        """The cache on disk; ``None`` where there is to be none, or no folder is this user's alone."""
        if not self._opened:
            self._disk, self._opened = open_disk(), True
        return self._disk

    def _keep(self, key: str, part: Part) -> None:
        self._parts[key] = part
        if len(self._parts) > self._most:
            self._parts.popitem(last=False)


REMEMBERED: Final = PartStore()
"""Of this process: what a part does depends on its key alone."""


def without_disk() -> None:
    """Let this process, and those that it starts, use no cache on disk."""
    os.environ[FOLDER] = OFF
    REMEMBERED.forget()


def open_disk() -> DiskCache | None:
    """Open the cache on disk, as the environment says; ``None`` where there is none."""
    asked = os.environ.get(FOLDER)
    if asked == OFF:
        return None
    home = user_cache()
    root = Path(asked).absolute() if asked else home / "parts" if home is not None else None
    return DiskCache(root, _version(), _MOST_BYTES) if root is not None and is_own(root) else None


def written_part(part: Part) -> str:
    """Write a part as text."""
    document = asdict(part)
    served = part.gpu.served_bytes
    document["gpu"]["served_bytes"] = [[cause.operation, cause.direction, count] for cause, count in served.items()]
    return json.dumps(document, separators=(",", ":"))


def read_part(text: str) -> Part | None:
    """Read what ``written_part`` has written; ``None`` for any other text."""
    try:
        document = json.loads(text)
        served = document["gpu"]["served_bytes"]
        document["gpu"]["served_bytes"] = {Cause(name, Direction(way)): count for name, way, count in served}
        return _adapter().validate_python(document)
    except (ValueError, TypeError, KeyError):
        return None


@cache
def _adapter() -> TypeAdapter[Part]:
    return TypeAdapter(Part)


@cache
def _version() -> str:
    """Name the version of all that a part may depend on beside its key."""
    parts: list[Any] = [code_version(), platform.python_version(), *((name, version(name)) for name in _LIBRARIES)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
