"""What one iteration of a model takes, and where the time goes."""

from dataclasses import dataclass

from t3sim.iterations.kernel_times import COMMUNICATION
from t3sim.iterations.parallelism import Parallelism
from t3sim.units import FS_PER_S


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """An iteration under one scheme: a training step, a prompt, or one generated token."""

    scheme: str
    phase: str
    parallelism: Parallelism
    tokens: int
    """That it works through, over all GPUs."""
    total_fs: int
    by_kind: dict[str, int]
    """Of the busiest stage: time by kind of kernel, fs; what collectives add is ``communication``."""
    communication_fs: int
    """What the collectives of that stage's tensor-parallel group take by themselves, hidden or not."""
    bubble_fs: int
    """Time in which that stage waits for others."""
    gradients_fs: int
    """What summing gradients over the copies of the model adds."""
    optimizer_fs: int
    flop: int
    """Of the matrix products that the model asks for, over all GPUs: nothing is counted twice for recomputing."""
    parameters: int
    """Of the model."""
    peak_flops_per_s: float
    """Of one GPU."""

    @property
    def total_s(self) -> float:
        """Time of the iteration."""
        return self.total_fs / FS_PER_S

    @property
    def tokens_per_s_gpu(self) -> float:
        """Tokens a second and GPU."""
        return self.tokens / self.total_s / self.parallelism.gpus

    @property
    def mfu(self) -> float:
        """Share of the GPUs' peak that goes into the model's own products (PaLM, arXiv 2204.02311, appendix B)."""
        return self.flop / self.total_s / self.parallelism.gpus / self.peak_flops_per_s

    @property
    def communication_share(self) -> float:
        """Share of the time that collectives of the tensor-parallel group add."""
        return self.by_kind.get(COMMUNICATION, 0) / self.total_fs
