"""Reference figures beside simulated ones: one comparison a figure, and the columns of their summary."""

from dataclasses import dataclass

from t3sim.results.columns import Row

SPEEDUP = "speedup"
"""A quantity of which it matters on which side of 1 it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One figure from elsewhere and what the model says in its place."""

    group: str
    """What the summary is made for: a GPU, a memory organisation, a collective."""
    band: str
    """Size band within the group."""
    case: str
    """What was measured, for a reader."""
    quantity: str
    """Name with its unit: ``time_us``, ``bandwidth_gbps``."""
    reference: float
    simulated: float
    source: str
    """Where the reference figure comes from."""

    @property
    def error(self) -> float:
        """Relative error, signed: simulated / reference - 1."""
        return self.simulated / self.reference - 1

    @property
    def same_side(self) -> bool:
        """Whether both figures are gains, or neither is."""
        return (self.simulated > 1) == (self.reference > 1)

    def row(self) -> Row:
        """As a row of the table of comparisons."""
        return {name: getattr(self, name) for name in COMPARISON_COLUMNS}


COMPARISON_COLUMNS = ("group", "band", "case", "quantity", "reference", "simulated", "error", "source")
SUMMARY_COLUMNS = (
    "against",
    "group",
    "quantity",
    "band",
    "n",
    "mean_error",
    "geomean_error",
    "bias",
    "worst_error",
    "worst_case",
    "same_side",
)
