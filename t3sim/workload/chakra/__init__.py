"""Chakra's execution traces (https://github.com/mlcommons/chakra): written for ASTRA-sim, read from it and from others.

The wire format is read and written here (see ``wire``), which is less to depend on than the schema's own package.
"""

from t3sim.workload.chakra.files import find_ranks
from t3sim.workload.chakra.reading import import_chakra
from t3sim.workload.chakra.writing import rank_files

__all__ = ["find_ranks", "import_chakra", "rank_files"]
