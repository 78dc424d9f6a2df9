"""What each part of each layer takes: the table that a method which leaves parts out chooses by."""

from collections.abc import Sequence

from t3sim.iterations.kernel_times import KernelTimes
from t3sim.results import Row
from t3sim.simulation.system import SystemSpec
from t3sim.units import FS_PER_US
from t3sim.workload.layers import LayerKernels, Rows
from t3sim.workload.models import ModelSpec


def latency_table(model: ModelSpec, system: SystemSpec, rows: Rows, schemes: Sequence[str]) -> list[Row]:
    """List the forward time of every part that is left, by layer.

    ``alone_us`` without its collectives, and a column ``SCHEME_us`` with them under each scheme. Equal parts are timed
    once. Raises ``InputError`` where a scheme cannot run.
    """
    times = {scheme: KernelTimes(system, scheme, rows.tp) for scheme in schemes}
    found: list[Row] = []
    for layer in range(model.layers):
        kernels = LayerKernels(model, rows, layer)
        for part in kernels.parts:
            row: Row = {"layer": layer, "part": part}
            for scheme, of_scheme in times.items():
                spent = of_scheme.spent(kernels.of_part(part))
                row.setdefault("alone_us", (spent.total_fs - spent.by_kind.get("communication", 0)) / FS_PER_US)
                row[f"{scheme}_us"] = spent.total_fs / FS_PER_US
            found.append(row)
    return found
