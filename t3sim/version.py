"""The version of t3sim, from the installed package, and a hash over its sources."""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

__version__ = version("t3sim")
_HASH_DIGITS = 12


def source_hash(package: Path) -> str:
    """Return 12 hexadecimal digits over the name and every byte of each Python source in a folder or below."""
    digest = hashlib.sha256()
    for place, source in sorted((path.relative_to(package).as_posix(), path) for path in package.rglob("*.py")):
        digest.update(f"{hashlib.sha256(source.read_bytes()).hexdigest()} {place}\n".encode())
    return digest.hexdigest()[:_HASH_DIGITS]


@cache
def code_version() -> str:
    """Return the version of t3sim with the hash over all of its sources: of what it ran as, to the byte."""
    return f"{__version__}+{source_hash(Path(__file__).parent)}"
