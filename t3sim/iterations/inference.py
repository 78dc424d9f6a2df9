"""Inference: a prompt to its first token, or one generated token with keys and values kept."""

from collections import Counter
from dataclasses import dataclass

from t3sim.iterations.iteration import Iteration
from t3sim.iterations.kernel_times import KernelTimes
from t3sim.iterations.parallelism import Parallelism
from t3sim.simulation.system import SystemSpec
from t3sim.units import FS_PER_S
from t3sim.workload.layers import LayerKernels, Rows, Step
from t3sim.workload.model_ends import embedding_forward, head_forward
from t3sim.workload.model_flop import forward_flop
from t3sim.workload.model_sizes import parameters
from t3sim.workload.models import ModelSpec
from t3sim.workload.operations import DTYPE_BYTES


@dataclass(frozen=True, kw_only=True)
class Inference:
    """A forward pass over new tokens of some sequences; stages follow one another."""

    model: ModelSpec
    system: SystemSpec
    parallelism: Parallelism
    new: int
    """New tokens of each sequence: those of the prompt, or one."""
    cached: int = 0
    """Tokens before them, of which keys and values are kept."""

    def run(self, scheme: str, times: KernelTimes | None = None) -> Iteration:
        """Time it under ``scheme``; ``times``: of its system, scheme and degree, where iterations share them.

        Raises ``InputError`` where the model cannot be split like that.
        """
        split, model = self.parallelism, self.model
        split.check(model)
        times = KernelTimes(self.system, scheme, split.tp) if times is None else times
        spent = times.spent_all(self._kernels())
        sends = (split.pp - 1) * self._send_fs
        sequences = split.global_batch // split.dp
        tokens = split.global_batch * self.new
        return Iteration(
            scheme=scheme,
            phase="generation" if self.new == 1 else "prompt",
            parallelism=split,
            tokens=tokens,
            total_fs=spent.total_fs + sends,
            by_kind=spent.by_kind | {"waiting for the host": spent.waiting_fs},
            communication_fs=spent.alone_fs,
            bubble_fs=sends,
            gradients_fs=0,
            optimizer_fs=0,
            flop=forward_flop(model, split.dp * sequences * self.new, self.new + self.cached),
            parameters=parameters(model),
            peak_flops_per_s=self.system.compute.peak_flops_per_s(model.dtype),
        )

    def _kernels(self) -> Counter[tuple[Step, ...]]:
        rows = self._rows
        found = Counter(tuple(LayerKernels(self.model, rows, layer).forward()) for layer in range(self.model.layers))
        found[tuple(embedding_forward(self.model, rows))] += 1
        # Only the last token of each sequence is asked for.
        found[tuple(head_forward(self.model, rows, rows.sequences))] += 1
        return found

    @property
    def _rows(self) -> Rows:
        split = self.parallelism
        return Rows(
            sequences=split.global_batch // split.dp,
            new=self.new,
            cached=self.cached,
            tp=split.tp,
            sequence_parallel=split.sequence_parallel,
        )

    @property
    def _send_fs(self) -> int:
        link, rows = self.system.link, self._rows
        nbytes = rows.tokens * self.model.hidden * DTYPE_BYTES[self.model.dtype] // rows.tp
        return link.latency + int(nbytes * FS_PER_S / link.bytes_per_s)
