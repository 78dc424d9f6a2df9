"""How GPUs share a model: what is split over how many, and in what portions an iteration goes through."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from t3sim.errors import InputError, Problem
from t3sim.workload.models import ModelSpec, require

Recompute = Literal["none", "selective", "full"]


@dataclass(frozen=True, kw_only=True)
class Parallelism:
    """Degrees of parallelism and sizes of batches."""

    tp: int = 1
    """GPUs that share each layer."""
    pp: int = 1
    """Stages that the layers are split into."""
    dp: int = 1
    """Copies of the model, each with its own part of the batch."""
    micro_batch: int = 1
    """Sequences that go through a stage at a time."""
    global_batch: int = 1
    """Sequences of an iteration, over all copies."""
    interleave: int = 1
    """Groups of layers of a stage, between which micro-batches go round all stages."""
    sequence_parallel: bool = False
    """Whether GPUs of a tensor-parallel group share the rows between sliced GEMMs."""
    recompute: Recompute = "none"
    """What the backward pass computes again: nothing, attention, or whole layers."""
    adds_gradients: bool = False
    """Whether kernels of their own add gradients to those of earlier micro-batches; Megatron-LM's products add them."""
    overlap_gradients: bool = True
    """Whether gradients are summed beside the last backward pass."""
    sends_block: bool = False
    """Whether a stage waits until what it sends to the next has arrived, as Megatron-LM does unless told to overlap."""
    sharded_optimizer: bool = False
    """Whether copies share the optimizer's state (ZeRO-1, arXiv 1910.02054)."""

    @property
    def gpus(self) -> int:
        """GPUs in all."""
        return self.tp * self.pp * self.dp

    @property
    def micro_batches(self) -> int:
        """Micro-batches that one copy works through in an iteration."""
        return self.global_batch // (self.dp * self.micro_batch)

    def check(self, model: ModelSpec) -> None:
        """Raise ``InputError`` where a model cannot be split like that, with all that is wrong."""
        require(model, "heads")
        if problems := list(self._problems(model)):
            raise InputError(*problems)

    def _problems(self, model: ModelSpec) -> Iterator[Problem]:
        for key in ("tp", "pp", "dp", "micro_batch", "global_batch", "interleave"):
            if (value := getattr(self, key)) < 1:
                yield Problem(message="must be at least 1", key=key, value=value)
                return
        portions = self.dp * self.micro_batch
        if self.global_batch % portions:
            message = f"is no multiple of dp x micro-batch, {self.dp} x {self.micro_batch}"
            yield Problem(message=message, key="global_batch", value=self.global_batch)
        if self.pp * self.interleave > model.layers:
            message = f"{model.layers} layers make no {self.pp} stages of {self.interleave} groups"
            yield Problem(message=message, key="pp", value=self.pp)
        if self.interleave > 1 and self.pp == 1:
            yield Problem(message="needs more than one stage", key="interleave", value=self.interleave)
        elif self.interleave > 1 and self.micro_batches % self.pp:
            message = f"needs a number of micro-batches that {self.pp} stages divide; there are {self.micro_batches}"
            yield Problem(message=message, key="interleave", value=self.interleave)
        if self.sequence_parallel and self.tp == 1:
            yield Problem(message="needs more than one GPU a layer", key="sequence_parallel", value=True)
