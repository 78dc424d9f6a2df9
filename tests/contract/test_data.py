"""With real numbers in memory, everything that is registered puts the right ones where they belong.

Schemes, algorithms and topologies come from their registries: a new one is tested here without editing this file.
"""

import pytest
from pydantic import ValidationError

from t3sim.collectives.plan import Operation
from t3sim.collectives.planning import NetworkFacts, algorithms_for, make_plan
from t3sim.errors import InputError, PlanError
from t3sim.execution.data import DataMode
from t3sim.hardware.memory.values import Precision
from t3sim.hardware.network.switch import SwitchSpec
from t3sim.hardware.network.topologies import KIND as TOPOLOGY
from t3sim.lowering.chunks import even_chunks
from t3sim.lowering.work import CollectiveWork, fusable, lower
from t3sim.registry import get, names
from t3sim.schemes.fused import FusedPhase, NearMemoryPhase
from t3sim.schemes.kernels import CollectivePhase
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.simulation.lab import ALL, SystemLab
from t3sim.simulation.plans import facts_of, plans_of, wiring_of

SWITCH = SwitchSpec(reduces=True, multicasts=True, adder_rate=10**12, entries=64)
SKEWED = """conditions={
    gpus: {'0': {start: 40 us}, '2': {speed: 0.3}},
    links: {all: {loss: 0.03, retry: 3 us}},
    kernel_start_jitter: {distribution: exponential, scale: 5 us}}"""
SIZES = {"uneven": 9_998, "tiny": 6}
"""Bytes of a buffer: in parts and pieces of different sizes; fewer elements than GPUs."""


def topologies(system, gpus):
    """Give each registered topology as it can be configured for so many GPUs, with switches that can do all."""
    nic = system.link
    for name in names(TOPOLOGY):
        found = 0
        for fields in (
            {"switch": SWITCH},
            {"switch": SWITCH, "planes": 2},
            *({"shape": (rows, gpus // rows)} for rows in (1, 2) if gpus % rows == 0),
            {"nodes": 2, "nic": nic, "switch": SWITCH},
            {},
        ):
            try:
                spec = get(TOPOLOGY, name)(**fields)
                spec.wire(system.link, gpus)
            except (ValidationError, ValueError):
                continue
            found += 1
            yield system.model_copy(update={"topology": spec})
        assert found or gpus % 2, f"no configuration of {name} is known here"


def planned(system, gpus):
    """Give every plan of every operation by every algorithm that works there."""
    wiring = wiring_of(system, gpus)
    able = bool(wiring.switches) and all(switch.reduces for switch in wiring.switches.values())
    facts = NetworkFacts(ranks=gpus, shape=wiring.shape, switch_reduces=able, switch_multicasts=able)
    for operation in Operation:
        for algorithm in algorithms_for(operation):
            try:
                yield make_plan(operation, algorithm, facts)
            except PlanError:
                continue


def works_of(system, plan, nbytes, collective_op):
    """Give the work of one collective alone."""
    op = collective_op("alone", "all_reduce", nbytes)
    return CollectiveWork(op=op, plan=plan, chunks=even_chunks(nbytes, plan.parts, system.compute.collective_slice))


def run(system, gpus, phase):
    """Run one phase on all GPUs and give what data mode found."""
    return SystemLab(system, gpus, ALL, data=DataMode(precision=Precision.FP32)).run([phase], "default").data


@pytest.mark.parametrize(("gpus", "size"), [(2, "uneven"), (3, "uneven"), (4, "tiny"), (8, "uneven")])
def test_every_collective_puts_the_right_numbers_everywhere(gpus, size, tiny_system, collective_op):
    """Each operation by each algorithm over each topology, as a kernel: every element is where numpy has it, once."""
    done = 0
    for system in topologies(tiny_system(), gpus):
        for plan in planned(system, gpus):
            found = run(system, gpus, CollectivePhase(works_of(system, plan, SIZES[size], collective_op)))
            assert found.errors == 0, f"{plan.algorithm} over {system.topology}: {found}"
            assert found.spread <= gpus * 2**-24
            done += 1
    assert done > 20


@pytest.mark.parametrize("gpus", [2, 3, 4])
def test_every_near_memory_collective_puts_the_right_numbers_everywhere(gpus, tiny_system, collective_op):
    """By DMA and near-memory updates, the same; or the plan is refused before anything runs."""
    done = set()
    for system in topologies(tiny_system(), gpus):
        for plan in planned(system, gpus):
            phase = NearMemoryPhase(works_of(system, plan, SIZES["uneven"], collective_op))
            try:
                found = run(system, gpus, phase)
            except PlanError:
                continue
            assert found.errors == 0, f"{plan.algorithm} over {system.topology}: {found}"
            done.add(plan.operation)
    assert done == set(Operation)


@pytest.mark.parametrize("near_memory", ["true", "false"])
@pytest.mark.parametrize("gpus", [3, 4])
def test_every_fused_collective_puts_the_right_numbers_everywhere(
    gpus, near_memory, tiny_system, gemm_op, collective_op, sublayer_of
):
    """Fused with a GEMM, with and without memory that adds: each plan that a producer's tiles can follow."""
    base = tiny_system(f"track_trigger.near_memory={near_memory}")
    sublayer = sublayer_of(gpus, gemm_op("g", (100, 50, 25)), collective_op("c", "reduce_scatter", 100 * 50 * 2, "g"))
    done = 0
    for system in topologies(base, gpus):
        for plan in planned(system, gpus):
            works = lower(sublayer, system.gemm, system.compute.collective_slice, lambda *_, plan=plan: (plan,))
            for work in fusable(works):
                try:
                    found = run(system, gpus, FusedPhase(work))
                except PlanError:
                    continue
                assert found.errors == 0, f"{plan.algorithm} over {system.topology}: {found}"
                done += 1
    assert done > 2


@pytest.mark.parametrize("scheme", names(SCHEME))
@pytest.mark.parametrize(
    "changes",
    [
        ("track_trigger.gathers=true",),
        ("track_trigger.near_memory=false",),
        ("track_trigger.staggered=false", "track_trigger.tiles_per_command=3"),
        ("software={overlap_cus: 1, cu_sharing: collective-first, collectives_displace: true, event_overhead: 1 us}",),
        ("software={overlap_cus: 1, cu_sharing: gemm-first}",),
    ],
    ids=["gathering", "without near-memory compute", "coarse", "collective first", "GEMM first"],
)
def test_every_scheme_puts_the_right_numbers_everywhere(scheme, changes, tiny_system, pair):
    """A GEMM and the all-reduce of its output, over each topology, by each algorithm that does it."""
    done, gpus, sublayer = 0, 4, pair(4, (100, 50, 25))
    for system in topologies(tiny_system(*changes), gpus):
        for algorithm in algorithms_for(Operation.ALL_REDUCE):
            chosen = system.model_copy(update={"algorithms": {"all_reduce": algorithm}})
            if get(SCHEME, scheme)().misfit(facts_of(chosen, gpus)):
                continue
            try:
                works = lower(sublayer, chosen.gemm, chosen.compute.collective_slice, plans_of(chosen, gpus))
                outcome = get(SCHEME, scheme)().simulate(SystemLab(chosen, gpus, ALL, data=DataMode()), works)
            except (PlanError, InputError):
                continue
            assert outcome.data.errors == 0, f"{algorithm} over {system.topology}: {outcome.data}"
            done += 1
    assert done > 1


@pytest.mark.parametrize("algorithm", algorithms_for(Operation.ALL_REDUCE))
def test_gpus_that_are_far_apart_do_not_disturb_each_other(algorithm, tiny_system, gemm_op, collective_op, sublayer_of):
    """Late, slow and jittery GPUs on lossy links: nothing is overwritten before it is used, nothing used too early."""
    gpus, operations = 4, []
    for number in range(2):
        after = [f"r{number - 1}"] if number else []
        operations.append(gemm_op(f"g{number}", (100, 50, 25), *after))
        operations.append(collective_op(f"r{number}", "all_reduce", 100 * 50 * 2, f"g{number}"))
    sublayer, done = sublayer_of(gpus, *operations), 0
    for system in topologies(tiny_system(SKEWED), gpus):
        chosen = system.model_copy(update={"algorithms": {"all_reduce": algorithm}})
        for scheme in ("sequential", "t3"):
            try:
                works = lower(sublayer, chosen.gemm, chosen.compute.collective_slice, plans_of(chosen, gpus))
                outcome = get(SCHEME, scheme)().simulate(SystemLab(chosen, gpus, ALL, data=DataMode()), works)
            except (PlanError, InputError):
                continue
            assert outcome.data.errors == 0, f"{scheme} over {system.topology}: {outcome.data}"
            done += 1
    assert done
