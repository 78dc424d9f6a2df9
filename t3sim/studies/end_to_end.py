"""Whole models end to end, as the paper reports them: iterations of the models of a set under T3's schemes."""

from dataclasses import dataclass
from typing import Literal

from t3sim.config import Loaded
from t3sim.data import models_dir, traces_dir
from t3sim.errors import SimulationError
from t3sim.iterations.parallelism import Parallelism
from t3sim.iterations.study import IterationStudy
from t3sim.results import Row
from t3sim.simulation import SystemSpec
from t3sim.workload.models import load_model
from t3sim.workload.trace import load_trace

WholePhase = Literal["training", "prompt"]
SCHEMES = ("sequential", "t3", "t3-mca")


@dataclass(frozen=True)
class WholeModel:
    """A model on as many GPUs as share a layer, with the tokens of its trace."""

    name: str
    tp: int
    phase: WholePhase

    @property
    def label(self) -> str:
        """Name it to people."""
        return f"{self.name} tp{self.tp}, {self.phase}"


def whole_model(trace: str, phase: WholePhase) -> WholeModel:
    """Name the model that a trace has a layer of. Raises ``InputError`` for a trace that does not exist."""
    spec = load_trace(trace, folder=traces_dir()).spec
    return WholeModel(spec.model, spec.tp, phase)


def rows_of(whole: WholeModel, system: Loaded[SystemSpec]) -> list[Row]:
    """Time one iteration under each scheme, one GPU standing for all; rows of status ``ok``, or one that is not."""
    model = load_model(whole.name, folder=models_dir()).spec
    sequence = model.sequence or model.tokens
    sequences = max(1, model.tokens // sequence)
    split = Parallelism(tp=whole.tp, micro_batch=sequences, global_batch=sequences)
    study = IterationStudy(model=model, system=system, phase=whole.phase, parallelism=split, sequence=sequence)
    try:
        return [{**row, "status": "ok"} for row in study.run(SCHEMES)]
    except SimulationError as error:
        place = {"model": whole.name, "tp": whole.tp, "phase": whole.phase, "scheme": SCHEMES[0]}
        return [{**place, "status": "failed", "error_message": str(error)}]
