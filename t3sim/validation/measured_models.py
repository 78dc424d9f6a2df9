"""Measured iterations of whole models as data: what ran where, what it took, and who says so."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from t3sim.config import Loaded, Spec, load
from t3sim.data import configs_dir
from t3sim.iterations.parallelism import Parallelism, Recompute
from t3sim.workload.models import ModelSpec
from t3sim.workload.operations import Dtype

MEASURED_FORMAT = "t3sim-measured-models"


class MeasuredIteration(Spec):
    """One iteration of a GPT: its model, how GPUs share it, and its time."""

    hidden: PositiveInt
    heads: PositiveInt
    layers: PositiveInt
    sequence: PositiveInt
    """Tokens of a sequence; where more are generated, of the prompt."""
    tp: PositiveInt
    pp: PositiveInt = 1
    dp: PositiveInt = 1
    micro_batch: PositiveInt = 1
    global_batch: PositiveInt = 1
    interleave: PositiveInt = 1
    sequence_parallel: bool = False
    recompute: Recompute = "none"
    output: PositiveInt | None = None
    """Tokens that are generated after ``sequence`` of them; none: a training step."""
    time_ms: PositiveFloat

    @property
    def case(self) -> str:
        """Name it for a reader."""
        split = f"TP{self.tp} DP{self.dp} PP{self.pp}"
        batch = f"batch {self.global_batch} by {self.micro_batch}"
        kept = "" if self.recompute == "none" else f", {self.recompute} recompute"
        tokens = f"{self.sequence} tokens" if self.output is None else f"{self.sequence} and {self.output} tokens"
        return f"h {self.hidden}, {self.layers} layers, {tokens}, {split}, {batch}{kept}"


class MeasuredGroup(Spec):
    """Iterations of one software on one kind of machine."""

    group: str
    system: str
    settings: tuple[str, ...] = ()
    """Overrides of the system, as the software has it."""
    dtype: Dtype
    vocabulary: PositiveInt
    adds_gradients: bool = False
    overlap_gradients: bool = True
    sends_block: bool = False
    sharded_optimizer: bool = False
    band: Literal["tp", "pp", "dp", "recompute", "sequence"] = "tp"
    """What bands are of."""
    source: str
    iterations: Annotated[tuple[MeasuredIteration, ...], Field(min_length=1)]

    def model(self, item: MeasuredIteration) -> ModelSpec:
        """Describe the model of an iteration."""
        return ModelSpec(
            name="gpt",
            hidden=item.hidden,
            heads=item.heads,
            layers=item.layers,
            tokens=item.sequence,
            sequence=item.sequence,
            # The degrees at which a model is studied play no part here.
            tp=(max(2, item.tp),),
            dtype=self.dtype,
            vocabulary=self.vocabulary,
            positions=item.sequence,
        )

    def parallelism(self, item: MeasuredIteration) -> Parallelism:
        """Say how GPUs share an iteration."""
        return Parallelism(
            tp=item.tp,
            pp=item.pp,
            dp=item.dp,
            micro_batch=item.micro_batch,
            global_batch=item.global_batch,
            interleave=item.interleave,
            sequence_parallel=item.sequence_parallel,
            recompute=item.recompute,
            adds_gradients=self.adds_gradients,
            overlap_gradients=self.overlap_gradients,
            sends_block=self.sends_block,
            sharded_optimizer=self.sharded_optimizer,
        )


class MeasuredModels(Spec):
    """All measured iterations of one file."""

    source: str
    groups: Annotated[tuple[MeasuredGroup, ...], Field(min_length=1)]


def load_measured_models(name: str = "models") -> Loaded[MeasuredModels]:
    """Load measured iterations. Raises ``InputError`` as ``t3sim.config.load`` does."""
    return load(MeasuredModels, name, folder=configs_dir() / "measured", format_name=MEASURED_FORMAT)
