"""What can be asked of the memory: streams, access types, and the causes by which traffic is counted."""

from enum import IntEnum, StrEnum
from typing import NamedTuple


class Stream(IntEnum):
    """The two inputs of the memory controller that T3's arbitration tells apart."""

    COMPUTE = 0
    """The GEMM's operand reads, its write-backs and local updates."""
    COMMUNICATION = 1
    """DMA reads, incoming updates and stores, and the collective kernels' accesses."""


class Access(IntEnum):
    """How a burst uses the DRAM."""

    READ = 0
    WRITE = 1
    UPDATE = 2
    """Near-memory op-and-store: adds into memory without a read by the GPU."""


class Direction(StrEnum):
    """Which way bytes move between a GPU and its memory; an update moves them in."""

    READ = "read"
    WRITE = "write"


class Cause(NamedTuple):
    """Why bytes moved: what traffic is counted by."""

    operation: str
    """``gemm``, or the name of a collective."""
    direction: Direction
