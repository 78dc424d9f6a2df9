"""Results as plain data: what a run, an explanation, a timeline or a comparison says, free of what made it."""

from t3sim.results.columns import COLUMN_NAMES, COLUMNS, GLOSSARY, USUAL_OPERATIONS, Column, Row, complete, short_name
from t3sim.results.frame import read_frame
from t3sim.results.run_result import RunResult, geomean, merged

__all__ = [
    "COLUMNS",
    "COLUMN_NAMES",
    "GLOSSARY",
    "USUAL_OPERATIONS",
    "Column",
    "Row",
    "RunResult",
    "complete",
    "geomean",
    "merged",
    "read_frame",
    "short_name",
]
