"""Programs simulated part by part, where that is exact: what is equal is simulated once.

A *part* is one phase of a program on the GPU that stands for all, or several. What it does follows from the hardware,
from what the phases do (not from what they are called), and from how the machine stands as it begins: which way the
DRAM's bus was last used and when, whose turn it is, which buffer space is on its way back, and which sets of the
tracker come next. All of that is in its key. Between two parts nothing may be under way: a part is one only if its
counters, and how it leaves the machine, do not change any more as what is left in it runs out. Otherwise the phase
after it belongs to it, too. So the parts of a program give the same as the program, to the femtosecond.

What a part cannot feel is left out of its key, so that more of them are the same:

- what is over by the time it is launched;
- credits on their way home, where the receiver has room for them, for all that the wire can carry until they are
  there, and for one more packet;
- turns at links, where in the whole program nothing comes through from other links;
- where only communication uses the memory: the policy of arbitration and whose turn it was, if it never holds
  communication up; and whose write the DRAM served last: what communicates begins with a read.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Protocol, TypeGuard

from t3sim.hardware.compute.cus import Process
from t3sim.hardware.gpu import Gpu, Span
from t3sim.hardware.machine import GpuReport, LinkReport, Machine
from t3sim.hardware.memory.access import Direction, Stream
from t3sim.hardware.memory.arbitration import ArbitrationPolicy, decision_table
from t3sim.hardware.network.wiring import Wiring, link_name
from t3sim.hardware.plane.state import BEFORE_ALL
from t3sim.hardware.standing import BusStanding, Credits, LaneStanding, LinkStanding, Standing
from t3sim.lowering.chunks import Chunks
from t3sim.lowering.work import CollectiveWork
from t3sim.schemes.phases import Described, Phase, program
from t3sim.schemes.scheme import summed_by_key
from t3sim.simulation.content import NotPlainError, digest, name_of
from t3sim.simulation.system import SystemSpec
from t3sim.units import FS_PER_S, ceil_div

_WRITES = 2 * Stream.COMMUNICATION + 1
"""Lane of its writes."""
_Cleared = dict[tuple[str, int], Credits]
"""Credits that a part does not feel, by link and channel."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a part of a program does; times from its beginning."""

    total_fs: int
    gpu: GpuReport
    links: dict[str, LinkReport]
    tracked: int
    """Workgroups that it numbers in the tracker."""
    leaves: Standing | None
    """How the machine stands at its end; ``None`` where something is left under way, or it cannot be told."""


class Store(Protocol):
    """Where parts are remembered."""

    def get(self, key: str) -> Part | None:
        """Return what was put there by this key, if it still is there."""

    def put(self, key: str, part: Part) -> None:
        """Remember a part."""


def are_described(phases: Sequence[Phase]) -> TypeGuard[Sequence[Described]]:
    """Whether all ``phases`` say what they do."""
    return all(isinstance(phase, Described) for phase in phases)


class Parts:
    """Runs programs of one GPU that stands for all of a group without conditions, and remembers their parts."""

    def __init__(self, system: SystemSpec, wiring: Wiring, policy: ArbitrationPolicy, store: Store) -> None:
        """``wiring``: over the grid for which one GPU stands for all.

        Raises ``NotPlainError`` where the content of ``system`` is not known.
        """
        self._gpu = system.gpu()
        self._wiring = wiring
        self._policy = policy
        self._store = store
        self._hardware = digest(self._gpu, system.topology, system.link, wiring.gpus, wiring.shape)
        self._links = {link_name(edge): spec for edge, spec in wiring.cabling.links(0).items()}
        self._own_links = [link_name(edge) for edge in wiring.cabling.links(0) if edge[0] == 0]

    def run(self, phases: Sequence[Described]) -> Part:
        """Run ``phases`` in order on a fresh machine: as one part, put together from those that there are.

        Raises ``NotPlainError`` where the content of a phase is not known, ``SimulationError`` when a run
        contradicts itself.
        """
        standing, tracked, found = Standing(), 0, list[Part]()
        forwards = any(map(self._forwards, _collectives(phases)))
        first = 0
        while first < len(phases):
            # Where nothing can go on from what is left, all is one part.
            ends = range(first + 1, len(phases) + 1) if self._gpu.memory.can_resume else [len(phases)]
            for end in ends:
                part = self._part(phases[first:end], standing, tracked, forwards=forwards)
                if part.leaves is not None:
                    break
            found.append(part)
            standing, tracked, first = part.leaves or Standing(), tracked + part.tracked, end
        return found[0] if len(found) == 1 else _joined(found, self._own_links)

    def _part(self, phases: Sequence[Described], standing: Standing, tracked: int, *, forwards: bool) -> Part:
        """Give the part of ``phases`` on a machine that stands so, and has numbered ``tracked`` workgroups."""
        talks = all(phase.accesses <= {Stream.COMMUNICATION} for phase in phases) and self._never_holds
        felt, cleared = self._felt(phases, standing, talks=talks, forwards=forwards)
        first = tracked % self._gpu.tracker.sets if any(phase.tracks for phase in phases) else 0
        contents = [(name_of(type(phase)), *phase.content(self._gpu, self._rate_to)) for phase in phases]
        key = digest(self._hardware, None if talks else self._policy, contents, felt, first)
        part = self._store.get(key)
        if part is None:
            part = self._simulated(phases, felt, first)
            if talks:
                part = _of_talk(part)
            self._store.put(key, part)
        if part.leaves is None:
            return part
        return replace(part, leaves=_restored(part.leaves, cleared, part.total_fs))

    def _simulated(self, phases: Sequence[Described], standing: Standing, tracked: int) -> Part:
        machine = Machine(self._gpu, self._wiring, self._policy, mirrored=True)
        if standing != Standing():
            machine.resume(standing)
        (gpu,) = machine.gpus
        gpu.tracker.skip(tracked)
        at_end: list[tuple[Standing, GpuReport, dict[str, LinkReport]]] = []

        def watched(gpu: Gpu) -> Process:
            yield from program(phases)(gpu)
            leaves = machine.standing()
            if leaves is not None:
                at_end.append((leaves, machine.report(gpu), machine.links()))

        total = machine.run(watched)
        settled, report, links = machine.standing(), machine.report(gpu), machine.links()
        later = int(machine.env.now) - total
        quiet = any((leaves.later(later), *counted) == (settled, report, links) for leaves, *counted in at_end)
        return Part(
            total_fs=total,
            gpu=report,
            links=links,
            tracked=gpu.tracker.reserved - tracked,
            leaves=at_end[0][0] if quiet else None,
        )

    def _felt(
        self, phases: Sequence[Described], standing: Standing, *, talks: bool, forwards: bool
    ) -> tuple[Standing, _Cleared]:
        """Give what of ``standing`` makes a difference to ``phases``, and the credits that make none."""
        launch = phases[0].launch_fs(self._gpu, self._rate_to)
        bus = standing.bus if standing.bus.turning_fs > launch else BusStanding(turns=standing.bus.turns)
        if talks:
            wrote = bus.last_lane >= 0 and bus.last_lane % 2
            bus = replace(bus, turns=(), last_lane=_WRITES if wrote else bus.last_lane)
        packet = max(map(self._largest_packet, _collectives(phases)), default=0)
        links: list[tuple[str, LinkStanding]] = []
        cleared: _Cleared = {}
        for name, link in standing.links:
            lanes = []
            for lane in link.lanes:
                left = tuple(credit for credit in lane.returning if credit[0] > launch)
                if left and self._has_room(name, left, launch, packet):
                    cleared[name, lane.number] = left
                    left = ()
                lanes.append(replace(lane, returning=left))
            if forwards or any(lane.returning for lane in lanes):
                links.append((name, replace(link, lanes=tuple(lanes))))
        return Standing(bus, tuple(links)), cleared

    def _has_room(self, name: str, returning: Credits, launch: int, packet: int) -> bool:
        """Whether no packet ever waits for these credits: with them away there is room for all that may be sent."""
        spec = self._links[name]
        last_fs, _ = returning[-1]
        carried = ceil_div((last_fs - launch) * spec.bytes_per_s, FS_PER_S)
        return sum(nbytes for _, nbytes in returning) + carried + packet <= spec.receive_buffer

    def _largest_packet(self, work: CollectiveWork) -> int:
        tiles = [work.producer.tiles.chunks] if work.producer is not None else []
        group = self._gpu.track_trigger.tiles_per_command
        return max(_largest_piece(work.chunks), *(group * _largest_piece(chunks) for chunks in (work.chunks, *tiles)))

    def _forwards(self, work: CollectiveWork) -> bool:
        """Whether any of its messages goes over several links."""
        ends = {(move.source, end) for move in work.plan.moves for end in move.destinations if end != move.source}
        pieces = range(self._wiring.cabling.spread)
        return any(len(self._wiring.route(*pair, piece)) > 1 for pair in ends for piece in pieces)

    def _rate_to(self, rank: int) -> int:
        return self._wiring.bytes_per_s(0, rank)

    @cached_property
    def _never_holds(self) -> bool:
        """Whether communication enters the DRAM queue whenever nothing else waits."""
        table = decision_table(self._policy.tuned(0.0), self._gpu.memory.queue_entries)
        return bool((table[0, 1] == Stream.COMMUNICATION).all())


def _joined(parts: Sequence[Part], own_links: Collection[str]) -> Part:
    """Put parts that follow one another into one; ``own_links``: those that lead out of the GPU."""
    links = summed_by_key([part.links for part in parts])
    starts = accumulate((part.total_fs for part in parts), initial=0)
    reports = [part.gpu for part in parts]
    spans = (_shifted(span, start) for part, start in zip(parts, starts, strict=False) for span in part.gpu.spans)
    return Part(
        total_fs=sum(part.total_fs for part in parts),
        gpu=GpuReport(
            served_bytes=summed_by_key([report.served_bytes for report in reports]),
            link_bytes=sum(report.link_bytes for report in reports),
            dram_busy_fs=sum(report.dram_busy_fs for report in reports),
            link_busy_fs=max((links[name].busy_fs for name in own_links if name in links), default=0),
            dram_commands=summed_by_key([report.dram_commands for report in reports]),
            llc_asked_bytes=sum(report.llc_asked_bytes for report in reports),
            llc_missed_bytes=sum(report.llc_missed_bytes for report in reports),
            cu_busy_fs=summed_by_key([report.cu_busy_fs for report in reports]),
            operand_stall_fs=sum(report.operand_stall_fs for report in reports),
            tracker_peak_entries=max((report.tracker_peak_entries for report in reports), default=0),
            tracker_waits=sum(report.tracker_waits for report in reports),
            spans=tuple(spans),
        ),
        links=links,
        tracked=sum(part.tracked for part in parts),
        leaves=parts[-1].leaves if parts else Standing(),
    )


def _of_talk(part: Part) -> Part:
    """Check a part that was told nothing of turns, and of the last write only that there was one.

    Raises ``NotPlainError`` where it begins with a write. One without any access leaves both as they were before,
    which is not known here.
    """
    first = next((cause for cause, nbytes in part.gpu.served_bytes.items() if nbytes), None)
    if first is None:
        return replace(part, leaves=None)
    if first.direction is not Direction.READ:
        raise NotPlainError(f"{first.operation} begins with a write")
    return part


def _shifted(span: Span, by_fs: int) -> Span:
    return replace(span, start_fs=span.start_fs + by_fs, end_fs=span.end_fs + by_fs)


def _collectives(phases: Sequence[Described]) -> list[CollectiveWork]:
    return [work for phase in phases for work in phase.works if isinstance(work, CollectiveWork)]


def _largest_piece(chunks: Chunks) -> int:
    return max((max(pieces) for pieces in chunks.piece_bytes if pieces), default=0)


def _restored(leaves: Standing, cleared: _Cleared, after_fs: int) -> Standing:
    """Put credits that a part did not feel back, as far as they are still on their way after it."""
    links = dict(leaves.links)
    for (name, number), credits_ in cleared.items():
        left = tuple((at - after_fs, nbytes) for at, nbytes in credits_ if at > after_fs)
        if left:
            link = links.get(name, LinkStanding(shared=False, last_channel=-1, lanes=()))
            lanes = {lane.number: lane for lane in link.lanes}
            lane = lanes.get(number, LaneStanding(number, BEFORE_ALL, ()))
            # What was given back earlier is home earlier.
            lanes[number] = replace(lane, returning=(*left, *lane.returning))
            links[name] = replace(link, lanes=tuple(lanes[each] for each in sorted(lanes)))
    return replace(leaves, links=tuple(links.items()))
