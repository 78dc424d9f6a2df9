"""Every algorithm on the networks that it is made for, on free memory, against closed forms.

``S`` bytes of buffer, ``n`` GPUs, ``B`` bytes/s of one direction of a link, ``L`` seconds from GPU to GPU, slices of
``s`` bytes. The forms are those of the algorithms' own descriptions, where these give a time; where they give a bound,
the steps are counted here:

- torus of ``D`` sides of ``d``, each of the ``n - 1`` chunks of ``S/(n D)`` longer on the wire than ``L``: the links
  stop only while the last, or first, dimension hands on one chunk at a time, which shows ``d - 1`` latencies. With
  sides of 2 a reduce-scatter waits once more, for the last chunk of a step.
- ``g`` nodes of ``p``, ``a = (p-1) S/(n B)`` for what a rank exchanges in its node for one other node, ``h = S/(n R) +
  K`` for a hop over its NIC: both go on at once, so the slower decides: ``L + max(g a, a + (g-1) h)``. Of an all-to-all
  the NIC sends ``(g-1) p`` chunks; after its own it waits for those of the others, which arrive side by side.
- double tree: with a link for each pair some rank is the child of one in one tree and its parent in the other, and
  sends it two halves: ``S/B + L``. Through one port each an inner node sends ``2 S``: a bound only.
- in the switch an all-reduce sends ``(1 + 1/n) S``, if little is queued in front of the sums: with slices of 16 KiB.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from operator import attrgetter

from t3sim.collectives.plan import Operation
from t3sim.processes import Progress, each
from t3sim.registry import register
from t3sim.results.comparison import Comparison
from t3sim.simulation import load_system
from t3sim.simulation.collective import FREE_MEMORY, collective_point, run_collective
from t3sim.units import FS_PER_US
from t3sim.validation.comparison import KIND

_MIB = 2**20
_B, _L = 75e9, 500e-9
_R, _K = 25e9, 2e-6
"""Of a NIC."""
_SLICE = 2**16
LINKS = ("link.bandwidth=75 GB/s", "link.direction=per_direction", "link.latency=500 ns")
_NIC = "nic: {bandwidth: 25 GB/s, direction: per_direction, latency: 2 us, send_buffer: 1 MiB, receive_buffer: 1 MiB}"
_ADDING = "switch: {reduces: true, multicasts: true, adder_rate: 2 TB/s, entries: 4096}"
_SHALLOW = (
    "compute.collective_slice=16 KiB",
    "compute.collective_outstanding_per_cu=2 KiB",
    "link.send_buffer=64 KiB",
)
"""Little of what a switch is to sum is queued before its sums come back."""

_HALVES = (Operation.REDUCE_SCATTER, Operation.ALL_GATHER, Operation.ALL_REDUCE)
_EXCHANGES = (*_HALVES, Operation.ALL_TO_ALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCase:
    """One collective on one network."""

    algorithm: str
    operation: Operation
    topology: str
    """Its kind."""
    details: str = ""
    """The rest of the topology, as YAML."""
    shape: tuple[int, ...]
    nbytes: int
    seconds: float
    """By the closed form."""
    overrides: tuple[str, ...] = ()

    @property
    def gpus(self) -> int:
        """Number of GPUs."""
        return prod(self.shape)

    @property
    def label(self) -> str:
        """Name it for a reader."""
        size = "x".join(map(str, self.shape))
        return f"{self.operation.value} {self.nbytes // _MIB} MiB, {self.algorithm} on {self.topology}, n={size}"

    def simulated_us(self) -> float:
        """Simulate it."""
        more = f", {self.details}" if self.details else ""
        system = load_system(
            overrides=[
                *FREE_MEMORY,
                *LINKS,
                f"topology={{kind: {self.topology}{more}}}",
                f"algorithms={{{self.operation.value}: {self.algorithm}}}",
                *self.overrides,
            ]
        )
        point = collective_point(system, self.operation.value, self.gpus, self.nbytes)
        return run_collective(point).total_fs / FS_PER_US


@register(KIND, "network")
class NetworkClosedForms:
    """Collectives alone, by algorithm; bands by topology."""

    against = "network"

    def compare(self, progress: Progress | None = None, jobs: int = 1) -> list[Comparison]:
        """Simulate every case."""
        return each(_compared, cases(), jobs=jobs, progress=progress, label=attrgetter("label"))


@register(KIND, "network-bound")
class NetworkBounds:
    """Collectives of which only a bound is known: what has to pass the busiest port, and the latencies."""

    against = "network"

    def compare(self, progress: Progress | None = None, jobs: int = 1) -> list[Comparison]:
        """Simulate every case."""
        return each(_compared, bounds(), jobs=jobs, progress=progress, label=attrgetter("label"))


def cases() -> tuple[NetworkCase, ...]:
    """List all cases of which the time is known, by algorithm."""
    found = (*_flat(), *_of_one_port(), *_in_switch(), *_grids(), *_nodes())
    return tuple(sorted(found, key=lambda case: case.algorithm))


def bounds() -> tuple[NetworkCase, ...]:
    """List the cases of which a bound is known: inner nodes of both trees through one port."""
    return tuple(
        NetworkCase(
            algorithm="double-tree",
            operation=Operation.ALL_REDUCE,
            topology="switch",
            shape=(n,),
            nbytes=16 * _MIB,
            seconds=2 * 16 * _MIB / _B + 2 * (n.bit_length() - 1) * (_L + _SLICE / _B),
        )
        for n in (4, 8, 16)
    )


def _compared(case: NetworkCase) -> Comparison:
    return Comparison(
        group=case.algorithm,
        band=case.topology,
        case=case.label,
        quantity="time_us",
        reference=case.seconds * 1e6,
        simulated=case.simulated_us(),
        source="closed form (t3sim/validation/network.py)",
    )


Form = Callable[[int, int], float]
"""Seconds of GPUs and bytes."""


def _once(seconds: Form, operation: Operation) -> Form:
    """Take an all-reduce for a reduce-scatter and an all-gather, each of which takes ``seconds``."""
    return lambda n, size: (2 if operation is Operation.ALL_REDUCE else 1) * seconds(n, size)


def _shared(n: int, size: int) -> float:
    """All bytes that a rank has to send, through one port."""
    return (n - 1) / n * size / _B


def _each(
    algorithm: str,
    topologies: Sequence[str],
    operations: Sequence[Operation],
    seconds: Form,
    gpus: Sequence[int] = (4, 8, 16),
    sizes: Sequence[int] = (_MIB, 16 * _MIB),
) -> Iterator[NetworkCase]:
    for topology, operation, n, size in product(topologies, operations, gpus, sizes):
        yield NetworkCase(
            algorithm=algorithm,
            operation=operation,
            topology=topology,
            shape=(n,),
            nbytes=size,
            seconds=_once(seconds, operation)(n, size),
        )


def _flat() -> Iterator[NetworkCase]:
    """List what takes as long on any network that has the links it uses."""
    everywhere = ("ring", "switch", "fully-connected")
    yield from _each("ring", everywhere, _HALVES, lambda n, size: _shared(n, size) + (n - 1) * _L)
    yield from _each(
        "ring", everywhere, (Operation.BROADCAST,), lambda n, size: (size + (n - 2) * _SLICE) / _B + (n - 1) * _L
    )
    yield from _each("direct", everywhere, (Operation.SEND,), lambda _, size: size / _B + _L)
    yield from _each("bidirectional-ring", ("ring",), _HALVES, lambda n, size: _shared(n, size) / 2 + (n - 1) * _L)
    yield from _each(
        "halving-doubling",
        ("switch", "fully-connected"),
        _HALVES,
        lambda n, size: _shared(n, size) + (n.bit_length() - 1) * _L,
    )


def _of_one_port() -> Iterator[NetworkCase]:
    """List what talks to all others at once: over a link to each, and through one port."""
    full, switch = ("fully-connected",), ("switch",)
    yield from _each("direct", full, _EXCHANGES, lambda n, size: size / n / _B + _L)
    yield from _each("direct", switch, _EXCHANGES, lambda n, size: _shared(n, size) + _L)
    few = (4, 8)
    for algorithm, operation in (("direct", Operation.BROADCAST), ("one-shot", Operation.ALL_REDUCE)):
        for topology, n, size in product((*full, *switch), few, (_MIB, 16 * _MIB)):
            copies = 1 if topology == "fully-connected" else n - 1
            yield NetworkCase(
                algorithm=algorithm,
                operation=operation,
                topology=topology,
                shape=(n,),
                nbytes=size,
                seconds=copies * size / _B + _L,
            )
    for n, size in product((4, 8, 16), (16 * _MIB, 64 * _MIB)):
        # Large enough that the way of the first slices through the trees takes no time of its own.
        yield NetworkCase(
            algorithm="double-tree",
            operation=Operation.ALL_REDUCE,
            topology="fully-connected",
            shape=(n,),
            nbytes=size,
            seconds=size / _B + _L,
        )


def _in_switch() -> Iterator[NetworkCase]:
    for operation, n in product(_HALVES, (4, 8, 16)):
        whole = operation is Operation.ALL_REDUCE
        for size in (256 * _MIB,) if whole else (_MIB, 16 * _MIB):
            yield NetworkCase(
                algorithm="in-switch",
                operation=operation,
                topology="switch",
                details=_ADDING,
                shape=(n,),
                nbytes=size,
                seconds=(1 + 1 / n) * size / _B + 2 * _L if whole else size / _B + _L,
                overrides=_SHALLOW if whole else (),
            )


def _grids() -> Iterator[NetworkCase]:
    for shape, size in product(((2, 2), (4, 4), (2, 2, 2), (4, 4, 4)), (16 * _MIB, 64 * _MIB)):
        n, side, dimensions = prod(shape), shape[0], len(shape)
        gather = _shared(n, size) / dimensions + (side - 1) * _L
        scatter = gather + (_L if side == 2 else 0)  # noqa: PLR2004 - see above
        for operation, seconds in zip(_HALVES, (scatter, gather, scatter + gather), strict=True):
            yield NetworkCase(
                algorithm="torus",
                operation=operation,
                topology="torus",
                details=f"shape: {list(shape)}",
                shape=shape,
                nbytes=size,
                seconds=seconds,
            )


def _nodes() -> Iterator[NetworkCase]:
    for (nodes, per_node), size in product(((2, 8), (4, 4), (4, 8)), (_MIB, 16 * _MIB)):
        chunk = size / (nodes * per_node)
        inside, hop = (per_node - 1) * chunk / _B, chunk / _R + _K
        once = _L + max(nodes * inside, inside + (nodes - 1) * hop)
        # The first of the chunks from the others is there when all but a slice of each of the rest is.
        others = inside - min(per_node - 2, inside * _B / _SLICE - 1) * _SLICE / _B + _L
        rails = _K + max((nodes - 1) * per_node * chunk / _R, others + (nodes - 1) * (per_node - 1) * chunk / _R)
        for operation in _EXCHANGES:
            personal = operation is Operation.ALL_TO_ALL
            yield NetworkCase(
                algorithm="two-level" if personal else "hierarchical",
                operation=operation,
                topology="multi-node",
                details=f"nodes: {nodes}, {_NIC}",
                shape=(nodes, per_node),
                nbytes=size,
                seconds=rails if personal else _once(lambda *_, once=once: once, operation)(1, size),
            )
