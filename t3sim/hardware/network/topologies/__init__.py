"""Topologies: which GPU's outgoing link leads where, as networkx graphs; one file each, found by registration."""

import importlib
import pkgutil
from typing import Protocol

import networkx as nx

KIND = "topology"


class Topology(Protocol):
    """How the GPUs of a tensor-parallel group are wired."""

    def graph(self, gpus: int) -> "nx.DiGraph[int]":
        """Nodes are GPUs to simulate, edges are links in the direction they are used."""


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
