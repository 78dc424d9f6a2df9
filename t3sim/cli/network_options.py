"""The options that say how the GPUs of a system are wired and what their collectives do, as overrides of the system."""

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from t3sim.collectives.planning import KIND as ALGORITHM
from t3sim.errors import InputError, Problem
from t3sim.hardware.network.topologies import KIND as TOPOLOGY
from t3sim.registry import names
from t3sim.simulation import load_system
from t3sim.simulation.plans import network_settings

_TOPOLOGIES = names(TOPOLOGY)
_ALGORITHMS = names(ALGORITHM)

TopologyOption = Annotated[
    str,
    typer.Option(
        "--topology", help=f"Wire the GPUs otherwise: {', '.join(_TOPOLOGIES)}; more with --set topology.KEY."
    ),
]
AlgorithmOption = Annotated[
    str,
    typer.Option("--algorithm", help=f"Algorithm of every collective that it can do: {', '.join(_ALGORITHMS)}."),
]


def system_overrides(system: str, topology: str, algorithm: str, assignments: Sequence[str] | None) -> tuple[str, ...]:
    """Return the overrides of a system that ``--topology``, ``--algorithm`` and ``--set`` ask for; the last one wins.

    The system's own topology is left as it is described. Raises ``InputError`` naming the known ones.
    """
    for key, name, known in (("--topology", topology, _TOPOLOGIES), ("--algorithm", algorithm, _ALGORITHMS)):
        if name and name not in known:
            raise InputError(Problem(message="unknown name", key=key, value=name, known=known))
    wired = topology and topology != load_system(system).spec.topology.kind
    settings = network_settings(topology if wired else None, algorithm or None)
    return (*(f"{key}={json.dumps(value)}" for key, value in settings.items()), *(assignments or ()))
