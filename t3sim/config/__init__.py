"""Configuration files: read, extended, overridden, checked, and told apart by a hash.

Every mistake in a file or on the command line raises `t3sim.errors.InputError`, which lists all of them.
"""

from t3sim.config.documents import VERSION, may_change_parts
from t3sim.config.loader import Draft, Loaded, config_hash, draft, load
from t3sim.config.quantity import (
    FROM_FILE,
    Bytes,
    BytesPerSecond,
    Femtoseconds,
    Hertz,
    PositiveBytes,
    PositiveBytesPerSecond,
    PositiveFemtoseconds,
    PositiveHertz,
)
from t3sim.config.source import Document, dump_yaml, read_document
from t3sim.config.spec import Spec
from t3sim.config.variants import one_of

__all__ = [
    "FROM_FILE",
    "VERSION",
    "Bytes",
    "BytesPerSecond",
    "Document",
    "Draft",
    "Femtoseconds",
    "Hertz",
    "Loaded",
    "PositiveBytes",
    "PositiveBytesPerSecond",
    "PositiveFemtoseconds",
    "PositiveHertz",
    "Spec",
    "config_hash",
    "draft",
    "dump_yaml",
    "load",
    "may_change_parts",
    "one_of",
    "read_document",
]
