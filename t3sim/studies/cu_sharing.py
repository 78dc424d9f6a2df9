"""GEMM and all-reduce as kernels that share the CUs: each alone on its share (T3, Figure 6)."""

from collections.abc import Sequence

from t3sim.config import Loaded
from t3sim.errors import InputError, Problem, SimulationError
from t3sim.lowering.chunks import Chunks
from t3sim.lowering.work import CollectiveWork
from t3sim.results import Row
from t3sim.schemes.sequential import kernel_phase
from t3sim.simulation import Point, SystemSpec, load_system
from t3sim.simulation.lab import SystemLab
from t3sim.units import FS_PER_US
from t3sim.workload.operations import Sublayer


class SharedCus:
    """A system whose collective kernels have some CUs to themselves, and its GEMMs the others."""

    def __init__(self, system: Loaded[SystemSpec], collective_cus: int) -> None:
        """Divide the CUs. Raises ``InputError`` if collectives would leave none."""
        rest = system.spec.compute.cus - collective_cus
        if rest < 1:
            message = f"leaves the GEMM none of the system's {system.spec.compute.cus} CUs"
            raise InputError(Problem(message=message, key="collective_cus", value=collective_cus))
        divided = [f"compute.collective_cus={collective_cus}", f"compute.cus={rest}"]
        self.system = load_system(system.path, divided)
        self.collective_cus = collective_cus
        self._collective_fs: dict[tuple[int, str, Chunks], int] = {}

    def row(self, sublayer: Sublayer) -> Row:
        """Time every operation of ``sublayer`` alone: ``gemm_us``, ``rs_us``, ``ag_us``, or status ``failed``."""
        row: Row = {name: getattr(sublayer, name) for name in ("model", "tp", "sublayer")}
        row["collective_cus"] = self.collective_cus
        try:
            spent = self._times(sublayer)
        except SimulationError as error:
            return {**row, "status": "failed", "error_message": str(error)}
        columns = {"gemm_us": "gemm", "rs_us": "reduce_scatter", "ag_us": "all_gather"}
        return {**row, "status": "ok", **{column: spent[name] / FS_PER_US for column, name in columns.items()}}

    def _times(self, sublayer: Sublayer) -> dict[str, int]:
        """Sum the times of the sublayer's operations by kind, fs; an equal collective is run once."""
        lab = SystemLab(self.system.spec, sublayer.tp, "mirror")
        spent = {"gemm": 0, "reduce_scatter": 0, "all_gather": 0}
        for work in Point(system=self.system, sublayer=sublayer).works:
            if not isinstance(work, CollectiveWork):
                spent["gemm"] += lab.alone(kernel_phase(work)).total_fs
                continue
            key = (sublayer.tp, work.operation, work.chunks)
            if key not in self._collective_fs:
                self._collective_fs[key] = lab.alone(kernel_phase(work)).total_fs
            spent[work.operation] += self._collective_fs[key]
        return spent


def rows_with_cus_shared(system: Loaded[SystemSpec], collective_cus: int, sublayers: Sequence[Sublayer]) -> list[Row]:
    """Time all ``sublayers`` with the CUs divided."""
    shared = SharedCus(system, collective_cus)
    return [shared.row(sublayer) for sublayer in sublayers]
