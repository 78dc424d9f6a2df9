"""Chakra's execution traces (https://github.com/mlcommons/chakra): written for ASTRA-sim.

The wire format is written here (see ``wire``), which is less to depend on than the schema's own package.
"""

from t3sim.workload.chakra.writing import rank_files

__all__ = ["rank_files"]
