"""Whether the operations of a trace fit a system, asked of all of them before anything runs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from t3sim.config import Draft, Loaded, read_document
from t3sim.config.problems import problems_at
from t3sim.config.sourcing import Fault
from t3sim.errors import InputError, Problem
from t3sim.lowering import work as lowering
from t3sim.simulation.plans import plans_of, wiring_of
from t3sim.simulation.system import SystemSpec
from t3sim.workload.operations import Collective, Gemm, Sublayer, Trace


def misfits(system: SystemSpec, op: Gemm | Collective, sublayer: Sublayer) -> Iterator[Problem]:
    """Say why ``op`` of ``sublayer`` cannot run on ``system``; ``key`` is a field of the operation."""
    plans = plans_of(system, sublayer.tp)
    yield from lowering.misfits(op, sublayer, plans, system.gemm, system.compute.collective_slice)
    rates = system.compute.matrix_flops_per_cycle
    if isinstance(op, Gemm) and op.dtype not in rates:
        message = f"{op.id}: the system {system.name} gives no matrix rate for this dtype"
        yield Problem(message=message, key="dtype", value=op.dtype, known=tuple(rates))


def condition_faults(system: SystemSpec, gpus: int) -> Iterator[Fault]:
    """Say which of a system's conditions are of nothing that a group of ``gpus`` has; at their places in the system."""
    for error in system.conditions.unknown(wiring_of(system, gpus)):
        place = ("conditions", "links" if error.what == "link" else "gpus", error.name)
        yield Fault(place, f"no such {error.what} among {gpus} GPUs", known=error.known)
    for name, condition in system.conditions.gpus.items():
        try:
            system.memory.without_channels(condition.lost_channels)
        except ValueError as error:
            yield Fault(("conditions", "gpus", name, "lost_channels"), str(error), condition.lost_channels)


def check_conditions(system: SystemSpec, gpus: int, described: Draft | None = None) -> None:
    """Raise ``InputError`` with every condition of ``system`` that is of nothing ``gpus`` GPUs have.

    ``described``: what the system was read from; then with their lines.
    """
    faults = list(condition_faults(system, gpus))
    if faults and described is not None:
        raise InputError(*problems_at(faults, described.document))
    if faults:
        of_keys = [(".".join(map(str, fault.path)), fault) for fault in faults]
        raise InputError(*(Problem(message=f.message, key=key, value=f.value, known=f.known) for key, f in of_keys))


def check_fit(trace: Loaded[Trace], sublayers: Sequence[Sublayer], system: SystemSpec) -> None:
    """Raise ``InputError`` with every operation of ``sublayers`` that does not fit, and its line in the trace."""
    chosen = [(op, sublayer) for sublayer in sublayers for op in sublayer.operations]
    found = [(op, problem) for op, sublayer in chosen for problem in misfits(system, op, sublayer)]
    if not found:
        return
    lines = read_document(trace.path).lines
    problems = []
    for op, problem in found:
        place = ("operations", trace.spec.operations.index(op), str(problem.key))
        file, line = lines[place]
        problems.append(replace(problem, file=file, line=line, key=".".join(map(str, place))))
    raise InputError(*problems)
