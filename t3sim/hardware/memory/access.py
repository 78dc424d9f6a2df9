"""What can be asked of the memory: streams, access types, and the causes by which traffic is counted."""

from enum import IntEnum


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


class Cause(IntEnum):
    """Why bytes moved; one traffic counter each, named as the result columns are."""

    GEMM_READ = 0
    GEMM_WRITE = 1
    RS_READ = 2
    RS_WRITE = 3
    AG_READ = 4
    AG_WRITE = 5
