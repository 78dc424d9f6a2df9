"""An iteration under several schemes, as rows of a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from t3sim.config import Loaded
from t3sim.errors import InputError, Problem
from t3sim.iterations.inference import Inference
from t3sim.iterations.iteration import Iteration
from t3sim.iterations.latency import latency_table
from t3sim.iterations.parallelism import Parallelism
from t3sim.iterations.training import Training
from t3sim.results import Row
from t3sim.results.schemes import baseline
from t3sim.simulation.system import SystemSpec
from t3sim.units import FS_PER_S
from t3sim.workload.layers import Rows
from t3sim.workload.models import ModelSpec

Phase = Literal["training", "prompt", "generation"]
PHASES: tuple[Phase, ...] = ("training", "prompt", "generation")
_MS = FS_PER_S // 1000


@dataclass(frozen=True, kw_only=True)
class IterationStudy:
    """What is asked of a model on a system."""

    model: ModelSpec
    system: Loaded[SystemSpec]
    phase: Phase
    parallelism: Parallelism
    sequence: int
    """Tokens of a sequence; for generation, of which keys and values are kept."""

    def run(self, schemes: Sequence[str]) -> list[Row]:
        """Time one iteration under each scheme, and under ``sequential``, which speedups are over.

        Raises ``InputError`` for a model, a split or a scheme that does not fit.
        """
        self._check()
        names = list(dict.fromkeys([baseline(), *schemes]))
        found = {name: self._iteration(name) for name in names}
        base = found[baseline()]
        return [self._row(found[name], base) for name in dict.fromkeys(schemes)]

    def latencies(self, schemes: Sequence[str]) -> list[Row]:
        """Time every part of every layer forward, alone and with its collectives; as ``run`` for what does not fit."""
        self._check()
        self.parallelism.check(self.model)
        split, is_one = self.parallelism, self.phase == "generation"
        rows = Rows(
            sequences=split.micro_batch if self.phase == "training" else split.global_batch // split.dp,
            new=1 if is_one else self.sequence,
            cached=self.sequence if is_one else 0,
            tp=split.tp,
            sequence_parallel=split.sequence_parallel,
            training=self.phase == "training",
        )
        return latency_table(self.model, self.system.spec, rows, schemes)

    def _check(self) -> None:
        if self.sequence < 1:
            raise InputError(Problem(message="must be at least 1", key="seq", value=self.sequence))
        dtypes = self.system.spec.compute.matrix_flops_per_cycle
        if self.model.dtype not in dtypes:
            message = f"{self.system.spec.name} has no matrix rate for the dtype of {self.model.name}"
            raise InputError(Problem(message=message, key="dtype", value=self.model.dtype, known=tuple(dtypes)))

    def _iteration(self, scheme: str) -> Iteration:
        system, split = self.system.spec, self.parallelism
        if self.phase == "training":
            return Training(self.model, system, split, self.sequence).run(scheme)
        new, cached = (self.sequence, 0) if self.phase == "prompt" else (1, self.sequence)
        asked = Inference(model=self.model, system=system, parallelism=split, new=new, cached=cached)
        return asked.run(scheme)

    def _row(self, found: Iteration, base: Iteration) -> Row:
        split = self.parallelism
        described: dict[str, Any] = {
            "model": self.model.name,
            "system": self.system.spec.name,
            "phase": self.phase,
            "gpus": split.gpus,
            **{name: getattr(split, name) for name in ("tp", "pp", "dp", "micro_batch", "global_batch", "interleave")},
            "sequence": self.sequence,
            "scheme": found.scheme,
            "total_ms": found.total_fs / _MS,
            "speedup": base.total_fs / found.total_fs,
            "tokens_per_s_gpu": found.tokens_per_s_gpu,
            "mfu": found.mfu,
            "communication_share": found.communication_share,
            "communication_alone_ms": found.communication_fs / _MS,
            "bubble_ms": found.bubble_fs / _MS,
            "gradients_ms": found.gradients_fs / _MS,
            "optimizer_ms": found.optimizer_fs / _MS,
        }
        kinds = {f"{kind.replace(' ', '_')}_ms": fs / _MS for kind, fs in found.by_kind.items()}
        return described | kinds
