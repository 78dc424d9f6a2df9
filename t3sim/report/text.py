"""Results as text: CSV and JSON."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from t3sim.results import COLUMN_NAMES, Row


def rows_csv(rows: Sequence[Row], columns: Sequence[str] = COLUMN_NAMES) -> str:
    """Rows as CSV with a header line; ``None`` is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_json(document: Mapping[str, Any]) -> str:
    """Render one JSON document, keys in the order of the data."""
    return json.dumps(document, indent=1, allow_nan=False) + "\n"
