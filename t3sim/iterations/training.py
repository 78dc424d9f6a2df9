"""A training step: micro-batches forward and back through the stages, gradients summed, parameters updated."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from t3sim.iterations.gradients import gradients_fs
from t3sim.iterations.iteration import Iteration
from t3sim.iterations.kernel_times import KernelTimes, Spent, together
from t3sim.iterations.parallelism import Parallelism
from t3sim.iterations.pipeline import PipelineRun, StageTimes, run_pipeline
from t3sim.simulation.system import SystemSpec
from t3sim.units import FS_PER_S
from t3sim.workload.layers import Attention, LayerKernels, Rows, Step
from t3sim.workload.model_ends import embedding_backward, embedding_forward, head_backward, head_forward, optimizer
from t3sim.workload.model_flop import forward_flop
from t3sim.workload.model_sizes import embedding_parameters, head_parameters, layer_parameters, parameters
from t3sim.workload.models import ModelSpec
from t3sim.workload.operations import DTYPE_BYTES

PASSES = 3
"""FLOP of a training step over those of its forward pass: gradients of inputs and of weights take as many each."""


@dataclass(frozen=True)
class Training:
    """One training step of a model on a system."""

    model: ModelSpec
    system: SystemSpec
    parallelism: Parallelism
    sequence: int
    """Tokens of a sequence."""

    def run(self, scheme: str, times: KernelTimes | None = None) -> Iteration:
        """Time it under ``scheme``; ``times``: of its system, scheme and degree, where iterations share them.

        Raises ``InputError`` where the model cannot be split like that.
        """
        self.parallelism.check(self.model)
        times = KernelTimes(self.system, scheme, self.parallelism.tp) if times is None else times
        spent = [self._stage(times, stage) for stage in range(self.parallelism.pp)]
        pipeline = run_pipeline(
            [each.times for each in spent],
            self.parallelism.micro_batches,
            self._send_fs,
            sends_block=self.parallelism.sends_block,
        )
        busiest = max(range(len(spent)), key=lambda stage: pipeline.busy_fs[stage])
        return self._iteration(scheme, times, spent[busiest], busiest, pipeline)

    def _iteration(
        self, scheme: str, times: KernelTimes, spent: "_Stage", stage: int, pipeline: PipelineRun
    ) -> Iteration:
        split, model = self.parallelism, self.model
        of_stage = [self._stage_parameters(each) for each in range(split.pp)]
        last_backward = sum(spent.times.backward)
        summed = max(gradients_fs(self.system, split, each, last_backward) for each in of_stage)
        copies = split.dp if split.sharded_optimizer else 1
        updated = max(times.of(optimizer(-(-each // copies))).total_fs for each in of_stage)
        whole = together([(spent.all, split.micro_batches)])
        tokens = split.global_batch * self.sequence
        return Iteration(
            scheme=scheme,
            phase="training",
            parallelism=split,
            tokens=tokens,
            total_fs=pipeline.total_fs + summed + updated,
            by_kind=whole.by_kind | {"waiting for the host": whole.waiting_fs},
            communication_fs=whole.alone_fs,
            bubble_fs=pipeline.total_fs - pipeline.busy_fs[stage],
            gradients_fs=summed,
            optimizer_fs=updated,
            flop=PASSES * forward_flop(model, tokens, self.sequence),
            parameters=parameters(model),
            peak_flops_per_s=self.system.compute.peak_flops_per_s(model.dtype),
        )

    @cached_property
    def _rows(self) -> Rows:
        split = self.parallelism
        return Rows(
            sequences=split.micro_batch,
            new=self.sequence,
            tp=split.tp,
            sequence_parallel=split.sequence_parallel,
            training=True,
            adds_gradients=split.adds_gradients,
        )

    @property
    def _send_fs(self) -> int:
        """Time of a micro-batch's way to the next stage: each GPU of a group sends its part."""
        rows, link = self._rows, self.system.link
        nbytes = rows.tokens * self.model.hidden * DTYPE_BYTES[self.model.dtype] // rows.tp
        cluster, split = self.system.cluster, self.parallelism
        if split.tp * split.dp >= cluster.node_gpus:
            return cluster.nic_latency + int(nbytes * FS_PER_S / cluster.nic_bandwidth)
        return link.latency + int(nbytes * FS_PER_S / link.bytes_per_s)

    def _layers(self, stage: int, group: int) -> range:
        """Give the layers of a group; the first groups have one more where they do not divide evenly."""
        groups = self.parallelism.pp * self.parallelism.interleave
        place = group * self.parallelism.pp + stage
        each, more = divmod(self.model.layers, groups)
        first = place * each + min(place, more)
        return range(first, first + each + (place < more))

    def _stage(self, times: KernelTimes, stage: int) -> "_Stage":
        groups = range(self.parallelism.interleave)
        forward = [times.spent_all(self._forward(stage, group)) for group in groups]
        backward = [self._spent_backward(times, stage, group) for group in groups]
        return _Stage(
            StageTimes(
                forward=tuple(each.total_fs for each in forward), backward=tuple(each.total_fs for each in backward)
            ),
            together([(each, 1) for each in (*forward, *backward)]),
        )

    def _forward(self, stage: int, group: int) -> Counter[tuple[Step, ...]]:
        """Count lists of kernels of a group's forward pass: equal layers are one list."""
        found = Counter(tuple(self._layer(layer).forward()) for layer in self._layers(stage, group))
        if self._is_first(stage, group):
            found[tuple(embedding_forward(self.model, self._rows))] += 1
        if self._is_last(stage, group):
            found[tuple(head_forward(self.model, self._rows, self._rows.tokens))] += 1
        return found

    def _backward(self, stage: int, group: int) -> Counter[tuple[Step, ...]]:
        found = Counter(tuple(self._layer(layer).backward()) for layer in self._layers(stage, group))
        if self._is_first(stage, group):
            found[tuple(embedding_backward(self.model, self._rows))] += 1
        if self._is_last(stage, group):
            found[tuple(head_backward(self.model, self._rows))] += 1
        return found

    def _spent_backward(self, times: KernelTimes, stage: int, group: int) -> Spent:
        """Time a group's way back: what was not kept is computed again, layer by layer."""
        again = times.spent_all(Counter(tuple(self._again(layer)) for layer in self._layers(stage, group)))
        return together([(again, 1), (times.spent_all(self._backward(stage, group), backward=True), 1)])

    def _again(self, layer: int) -> Iterator[Step]:
        """Compute again what was not kept."""
        for step in self._layer(layer).forward() if self.parallelism.recompute != "none" else ():
            if self.parallelism.recompute == "full" or isinstance(step, Attention):
                yield step

    def _layer(self, layer: int) -> LayerKernels:
        return LayerKernels(self.model, self._rows, layer)

    def _is_first(self, stage: int, group: int) -> bool:
        return stage == group == 0

    def _is_last(self, stage: int, group: int) -> bool:
        return (stage, group) == (self.parallelism.pp - 1, self.parallelism.interleave - 1)

    def _stage_parameters(self, stage: int) -> int:
        """Count the parameters on each GPU of a stage."""
        groups = range(self.parallelism.interleave)
        layers: Sequence[int] = [layer for group in groups for layer in self._layers(stage, group)]
        count = sum(layer_parameters(self.model, layer) for layer in layers)
        count += embedding_parameters(self.model) if stage == 0 else 0
        if stage == self.parallelism.pp - 1:
            count += head_parameters(self.model)
            # The last stage has a copy of an embedding that is the LM head as well.
            is_copy = self.model.tied_embeddings and self.parallelism.pp > 1
            count += (self.model.vocabulary or 0) * self.model.hidden if is_copy else 0
        return -(-count // self.parallelism.tp)


@dataclass(frozen=True)
class _Stage:
    times: StageTimes
    all: Spent
    """Of one micro-batch, forward and back."""
