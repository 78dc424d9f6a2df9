"""GEMM and all-reduce as kernels that share the CUs: each alone on its share, and both at once (T3, Figure 6)."""

from t3sim.config import Loaded
from t3sim.errors import InputError, Problem, SimulationError
from t3sim.lowering.work import CollectiveWork, Work
from t3sim.results import Row
from t3sim.schemes.kernels import CollectivePhase, GemmPhase
from t3sim.schemes.phases import Phase
from t3sim.schemes.sequential import kernel_phase
from t3sim.schemes.streams import Kernel, StreamsPhase
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
    """Time every operation of ``sublayer`` alone, and GEMM and all-reduce at once, where neither waits for the other.

    Columns ``gemm_us``, ``rs_us``, ``ag_us`` and ``at_once_us``, or status ``failed``.
    """
    row: Row = {name: getattr(sublayer, name) for name in ("model", "tp", "sublayer")}
    row["collective_cus"] = divided.spec.compute.collective_cus
    try:
        spent = _times(divided, sublayer)
        at_once = _at_once(divided, sublayer)
    except SimulationError as error:
        return {**row, "status": "failed", "error_message": str(error)}
    columns = {"gemm_us": "gemm", "rs_us": "reduce_scatter", "ag_us": "all_gather"}
    times = {column: spent[name] / FS_PER_US for column, name in columns.items()}
    return {**row, "status": "ok", **times, "at_once_us": at_once / FS_PER_US}


def _times(divided: Loaded[SystemSpec], sublayer: Sublayer) -> dict[str, int]:
    """Sum the times of the sublayer's operations by kind, fs."""
    lab = SystemLab(divided.spec, sublayer.tp, "mirror")
    spent = {"gemm": 0, "reduce_scatter": 0, "all_gather": 0}
    for work in Point(system=divided, sublayer=sublayer).works:
        name = work.operation if isinstance(work, CollectiveWork) else "gemm"
        spent[name] += lab.alone(kernel_phase(work)).total_fs
    return spent


def _at_once(divided: Loaded[SystemSpec], sublayer: Sublayer) -> int:
    """Run the GEMMs of ``sublayer`` on one stream and its collectives on another, with their shares of all CUs; fs."""
    compute = divided.spec.compute
    rest, taken = compute.cus, compute.collective_cus
    whole = divided.spec.model_copy(update={"compute": compute.model_copy(update={"cus": rest + taken})})
    kernels: list[Kernel] = []
    last: dict[type[Work], int] = {}
    for work in Point(system=divided, sublayer=sublayer).works:
        before = (last[type(work)],) if type(work) in last else ()
        last[type(work)] = len(kernels)
        if isinstance(work, CollectiveWork):
            phase: Phase = CollectivePhase(work, not work.continues, taken)
        else:
            phase = GemmPhase(work, rest)
        kernels.append(Kernel(phase, before))
    alone = next(kernel.phase for kernel in kernels if isinstance(kernel.phase, GemmPhase))
    phases = [StreamsPhase(tuple(kernels), gemm_alone=alone)]
    return SystemLab(whole, sublayer.tp, "mirror").run(phases, "default").total_fs
