"""Published results as data: which experiment, which figure of it, and what was reported."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from t3sim.config import Loaded, Spec, load
from t3sim.data import configs_dir
from t3sim.studies.end_to_end import WholePhase

PUBLISHED_FORMAT = "t3sim-published"


class Target(Spec):
    """One reported figure; without a metric it is of something t3sim does not model."""

    id: str
    set: str
    metric: str | None = None
    """Name of a function in ``t3sim.studies.metrics``."""
    scheme: str | None = None
    tp: int | None = None
    """Only sublayers of this tensor-parallel degree."""
    stat: Literal["geomean", "max"] = "geomean"
    collective_cus: PositiveInt | None = None
    """CUs that the collectives have to themselves while the GEMM has the others; none: each has all of them."""
    phases: tuple[WholePhase, ...] = ()
    """Iterations of whole models that it is of; none: it is of sublayers."""
    published: PositiveFloat
    use: Literal["predict", "calibrate"]
    figure: str = ""
    """What it is, in words for a table."""


class Published(Spec):
    """The reported figures of one paper."""

    source: str
    system: str | None = None
    """The shipped system that is calibrated on these figures."""
    sets: dict[str, tuple[str, ...]]
    """Traces of each set of experiments."""
    targets: Annotated[tuple[Target, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _targets_name_sets(self) -> "Published":
        unknown = sorted({target.set for target in self.targets} - self.sets.keys())
        if unknown:
            raise ValueError(f"targets name sets that do not exist: {', '.join(unknown)}")
        return self

    def speedups(self, name: str) -> dict[tuple[str, str], float]:
        """Pick the reported speedups of the set ``name``, by (scheme, stat)."""
        return {
            (target.scheme, target.stat): target.published
            for target in self.targets
            if target.set == name and target.metric == "speedup" and target.scheme is not None
        }


def load_published(name: str = "t3") -> Loaded[Published]:
    """Load the reported figures of a paper. Raises ``InputError`` as ``t3sim.config.load`` does."""
    return load(Published, name, folder=configs_dir() / "published", format_name=PUBLISHED_FORMAT)
