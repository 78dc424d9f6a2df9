"""GEMM and all-reduce as kernels that share the CUs: each alone on its share (T3, Figure 6)."""

from t3sim.config import Loaded
from t3sim.errors import InputError, Problem, SimulationError
from t3sim.lowering.work import CollectiveWork
from t3sim.results import Row
from t3sim.schemes.sequential import kernel_phase
from t3sim.simulation import Point, SystemSpec, load_system
from t3sim.simulation.lab import SystemLab
from t3sim.units import FS_PER_US
from t3sim.workload.operations import Sublayer


def with_cus_shared(system: Loaded[SystemSpec], collective_cus: int) -> Loaded[SystemSpec]:
    """Give collective kernels some CUs to themselves, and GEMMs the others.

    Raises ``InputError`` if collectives would leave none.
    """
    rest = system.spec.compute.cus - collective_cus
    if rest < 1:
        message = f"leaves the GEMM none of the system's {system.spec.compute.cus} CUs"
        raise InputError(Problem(message=message, key="collective_cus", value=collective_cus))
    return load_system(system.path, [f"compute.collective_cus={collective_cus}", f"compute.cus={rest}"])


def row_with_cus_shared(divided: Loaded[SystemSpec], sublayer: Sublayer) -> Row:
    """Time every operation of ``sublayer`` alone: ``gemm_us``, ``rs_us``, ``ag_us``, or status ``failed``."""
    row: Row = {name: getattr(sublayer, name) for name in ("model", "tp", "sublayer")}
    row["collective_cus"] = divided.spec.compute.collective_cus
    try:
        spent = _times(divided, sublayer)
    except SimulationError as error:
        return {**row, "status": "failed", "error_message": str(error)}
    columns = {"gemm_us": "gemm", "rs_us": "reduce_scatter", "ag_us": "all_gather"}
    return {**row, "status": "ok", **{column: spent[name] / FS_PER_US for column, name in columns.items()}}


def _times(divided: Loaded[SystemSpec], sublayer: Sublayer) -> dict[str, int]:
    """Sum the times of the sublayer's operations by kind, fs."""
    lab = SystemLab(divided.spec, sublayer.tp, "mirror")
    spent = {"gemm": 0, "reduce_scatter": 0, "all_gather": 0}
    for work in Point(system=divided, sublayer=sublayer).works:
        name = work.operation if isinstance(work, CollectiveWork) else "gemm"
        spent[name] += lab.alone(kernel_phase(work)).total_fs
    return spent
