"""Iterations of whole models, by the scheme that libraries run, against times that others measured."""

from collections import defaultdict

from t3sim.iterations.inference import Inference
from t3sim.iterations.kernel_times import KernelTimes
from t3sim.iterations.training import Training
from t3sim.processes import Progress, each
from t3sim.registry import register
from t3sim.results.comparison import Comparison
from t3sim.results.schemes import baseline
from t3sim.simulation import SystemSpec, load_system
from t3sim.units import FS_PER_US
from t3sim.validation.comparison import KIND
from t3sim.validation.measured_models import MeasuredGroup, MeasuredIteration, load_measured_models

_MS = 1000 * FS_PER_US
_Batch = tuple[MeasuredGroup, tuple[MeasuredIteration, ...]]


@register(KIND, "models")
class MeasuredModelTimes:
    """Times of iterations, by software and machine."""

    against = "models"

    def compare(self, progress: Progress | None = None, jobs: int = 1) -> list[Comparison]:
        """Simulate every measured iteration: those of a group and degree together, which share kernels."""
        batches = [batch for group in load_measured_models().spec.groups for batch in _batches(group)]
        found = each(_compared, batches, jobs=jobs, progress=progress, label=_label)
        return [item for batch in found for item in batch]


def compare_group(group: MeasuredGroup, times: dict[int, KernelTimes] | None = None) -> list[Comparison]:
    """Simulate the iterations of one group; ``times``: of kernels, by degree, that groups share."""
    system = load_system(group.system, group.settings).spec
    shared = {} if times is None else times
    return [_one(group, system, item, shared) for item in group.iterations]


def _batches(group: MeasuredGroup) -> list[_Batch]:
    by_degree: dict[int, list[MeasuredIteration]] = defaultdict(list)
    for item in group.iterations:
        by_degree[item.tp].append(item)
    return [(group, tuple(items)) for items in by_degree.values()]


def _label(batch: _Batch) -> str:
    return f"{batch[0].group}, TP{batch[1][0].tp}"


def _compared(batch: _Batch) -> list[Comparison]:
    group, items = batch
    return compare_group(group.model_copy(update={"iterations": items}))


def _one(
    group: MeasuredGroup, system: SystemSpec, item: MeasuredIteration, shared: dict[int, KernelTimes]
) -> Comparison:
    if item.tp not in shared:
        shared[item.tp] = KernelTimes(system, baseline(), item.tp)
    return Comparison(
        group=group.group,
        band=_band(group, item),
        case=item.case,
        quantity="iteration_ms",
        reference=item.time_ms,
        simulated=iteration_fs(group, system, item, shared[item.tp]) / _MS,
        source=group.source,
    )


def iteration_fs(group: MeasuredGroup, system: SystemSpec, item: MeasuredIteration, times: KernelTimes) -> int:
    """Simulate one iteration: a training step, or a prompt, which makes the first token of the output, and the rest."""
    model, split = group.model(item), group.parallelism(item)
    if item.output is None:
        return Training(model, system, split, item.sequence).run(baseline(), times).total_fs
    prompt = Inference(model=model, system=system, parallelism=split, new=item.sequence)
    total = prompt.run(baseline(), times).total_fs
    if item.output > 1:
        # A token's time is linear in those before it: the one in the middle stands for all.
        middle = item.sequence + (item.output - 1) // 2
        token = Inference(model=model, system=system, parallelism=split, new=1, cached=middle)
        total += (item.output - 1) * token.run(baseline(), times).total_fs
    return total


def _band(group: MeasuredGroup, item: MeasuredIteration) -> str:
    value = getattr(item, group.band)
    if group.band == "sequence":
        return f"{value} tokens"
    return str(value) if isinstance(value, str) else f"{group.band.upper()}{value}"
