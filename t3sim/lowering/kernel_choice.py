"""Which kernel a GEMM runs as: macro-tile and split-K, the fastest by an estimate in closed form.

A library chooses among its kernels by shape. Here the choice is the least of

    launches of the CU array x (load latency + stage overhead + epilogue) + K loops, but not under the DRAM's time,

where a K loop takes the slower of its matrix operations and its operands' way from the LLC, and a last stage that is
partly filled takes as long as its workgroups need (wave quantisation). Equal estimates: the first of the list.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from t3sim.lowering.tiling import GemmKernelSpec, MacroTile, Tiling
from t3sim.units import ceil_div
from t3sim.workload.operations import DTYPE_BYTES, Gemm

PARTIAL_BYTES = 4
"""Bytes of one element of a partial sum: matrix units accumulate in fp32."""


@dataclass(frozen=True, kw_only=True)
class GemmRates:
    """What the estimate has to know of a GPU; times in seconds."""

    cus: int
    flops_per_s: dict[str, float]
    """Matrix rate that one CU sustains, by dtype."""
    llc_bytes_per_s: float
    llc_bytes: int
    dram_bytes_per_s: float
    load_latency_s: float
    stage_overhead_s: float


@dataclass(frozen=True, kw_only=True)
class KernelChoice:
    """A GEMM as one kernel: how its output and its K are divided over workgroups."""

    tiling: Tiling
    """The tile grid; with split-K that of one part: its ``K`` is the part's."""
    workgroups_per_cu: int
    split_k: int = 1
    """Workgroups that share a tile, each summing its part of K."""

    @cached_property
    def workgroups(self) -> int:
        """All workgroups of the kernel."""
        return self.tiling.tiles * self.split_k

    @property
    def stored_bytes(self) -> int:
        """Bytes of an output element as a workgroup stores it: partial sums keep their accumulator's width."""
        return self.tiling.element_bytes if self.split_k == 1 else PARTIAL_BYTES

    @property
    def partial_bytes(self) -> int:
        """Bytes of all partial sums, 0 without split-K."""
        return 0 if self.split_k == 1 else self.split_k * self.tiling.M * self.tiling.N * PARTIAL_BYTES


def tiled(op: Gemm, kernel: GemmKernelSpec, tile: MacroTile, split_k: int = 1) -> KernelChoice:
    """Tile ``op``; ``split_k`` must divide its slabs."""
    tiling = Tiling(
        M=op.M,
        N=op.N,
        K=op.K_local // split_k,
        element_bytes=DTYPE_BYTES[op.dtype],
        tile_m=tile.tile_m,
        tile_n=tile.tile_n,
        slab_k=kernel.slab_k,
    )
    return KernelChoice(tiling=tiling, workgroups_per_cu=tile.workgroups_per_cu, split_k=split_k)


def fastest(op: Gemm, kernel: GemmKernelSpec, tiles: tuple[MacroTile, ...], rates: GemmRates | None) -> KernelChoice:
    """Choose one of ``tiles`` for a kernel with one workgroup a tile.

    Raises ``ValueError`` when there is something to choose and no rates to choose by.
    """
    return _least([tiled(op, kernel, tile) for tile in tiles], op.dtype, rates)


def fastest_split(
    op: Gemm, kernel: GemmKernelSpec, tiles: tuple[MacroTile, ...], rates: GemmRates | None
) -> KernelChoice:
    """Choose one of ``tiles`` and a split of K for a kernel whose workgroups may share a tile. Raises as above."""
    return _least([choice for tile in tiles for choice in _splits(op, kernel, tile, rates)], op.dtype, rates)


def _splits(op: Gemm, kernel: GemmKernelSpec, tile: MacroTile, rates: GemmRates | None) -> Iterator[KernelChoice]:
    """Split K by powers of two while tiles leave CUs idle, slabs divide evenly and partial sums stay in the LLC."""
    whole = tiled(op, kernel, tile)
    yield whole
    split_k = 2
    while rates is not None and split_k <= kernel.most_split_k:
        choice = tiled(op, kernel, tile, split_k)
        if whole.workgroups >= rates.cus or op.K_local % (split_k * kernel.slab_k):
            return
        if choice.partial_bytes > rates.llc_bytes:
            return
        yield choice
        split_k *= 2


def _least(choices: list[KernelChoice], dtype: str, rates: GemmRates | None) -> KernelChoice:
    if len(choices) == 1:
        return choices[0]
    if rates is None:
        raise ValueError("a choice between kernels needs the rates of the GPU")
    return min(choices, key=lambda choice: estimate_s(choice, dtype, rates))


def estimate_s(choice: KernelChoice, dtype: str, rates: GemmRates) -> float:
    """Estimate the time of a kernel alone on a GPU, s, without its launch."""
    tiling = choice.tiling
    resident = rates.cus * choice.workgroups_per_cu
    full, rest = divmod(choice.workgroups, resident)
    busy = full * stage_s(choice, resident, dtype, rates) + (stage_s(choice, rest, dtype, rates) if rest else 0.0)
    operands = (tiling.M + tiling.N) * tiling.K * choice.split_k * tiling.element_bytes
    moved = (operands + tiling.output_bytes) / rates.dram_bytes_per_s
    reduced = (choice.partial_bytes + tiling.output_bytes) / rates.llc_bytes_per_s + rates.stage_overhead_s
    return max(busy, moved) + (reduced if choice.split_k > 1 else 0.0)


def stage_s(choice: KernelChoice, workgroups: int, dtype: str, rates: GemmRates) -> float:
    """Estimate the time of a stage of so many workgroups, s."""
    tiling = choice.tiling
    flops = 2 * tiling.tile_m * tiling.tile_n * tiling.K * ceil_div(workgroups, rates.cus)
    matrix = flops / rates.flops_per_s[dtype]
    operands = workgroups * tiling.operand_bytes(tiling.K) / rates.llc_bytes_per_s
    epilogue = workgroups * tiling.tile_elements * choice.stored_bytes / rates.llc_bytes_per_s
    return max(matrix, operands) + rates.load_latency_s + rates.stage_overhead_s + epilogue
