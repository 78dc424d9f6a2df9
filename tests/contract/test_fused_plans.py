"""What every plan must keep that a GEMM is fused with; a new algorithm is tested here without editing this file.

The address-space configurations of all GPUs are carried out with lists of who has contributed in place of data.
"""

from collections import defaultdict
from itertools import chain
from math import prod
from random import Random

import networkx as nx
import pytest

from t3sim.collectives.plan import Kind, Operation, part_of
from t3sim.collectives.planning import NetworkFacts, algorithms_for, make_plan
from t3sim.errors import PlanError
from t3sim.execution.address_space import dispatch, stations
from t3sim.lowering.work import FUSABLE

SHAPES = (*((ranks,) for ranks in (1, 2, 3, 4, 5, 8)), (2, 2), (2, 3), (4, 2), (3, 3), (2, 2, 2))


def planned():
    """Make every plan that there is over the grids above."""
    for shape in SHAPES:
        facts = NetworkFacts(ranks=prod(shape), shape=shape, switch_reduces=True, switch_multicasts=True)
        for operation in FUSABLE:
            for algorithm in algorithms_for(operation):
                try:
                    yield make_plan(operation, algorithm, facts)
                except PlanError:
                    continue


@pytest.fixture(
    scope="module", params=planned(), ids=lambda plan: f"{plan.algorithm} {plan.operation.value} over {plan.shape}"
)
def plan(request):
    """Give each plan."""
    return request.param


class Gpus:
    """GPUs that send a chunk on as soon as all it waits for is there."""

    def __init__(self, plan, random):
        self.plan, self.random = plan, random
        self.stations = [stations(plan, rank) for rank in range(plan.ranks)]
        self.at = [
            {move: found for found in self.stations[rank] for move in found.arrivals} for rank in range(plan.ranks)
        ]
        self.held = defaultdict(list)
        self.missing = {
            (rank, found): len(found.arrivals) + found.own
            for rank in range(plan.ranks)
            for found in self.stations[rank]
        }
        self.switch = defaultdict(list)
        self.kept = defaultdict(list)
        self.mail = []

    def run(self):
        """Let all GPUs produce their chunks, and messages arrive, in any order."""
        todo = [
            (rank, found, [(rank, found.part)])
            for rank in range(self.plan.ranks)
            for found in self.stations[rank]
            if found.own
        ]
        while todo or self.mail:
            pool = self.random.choice([pool for pool in (todo, self.mail) if pool])
            self.add(*pool.pop(self.random.randrange(len(pool))))
        assert not any(self.missing.values())
        assert not self.switch

    def add(self, rank, found, value):
        """Add what one contribution brings to a chunk at a GPU."""
        self.held[rank, found] += value
        self.missing[rank, found] -= 1
        assert self.missing[rank, found] >= 0, "more arrives than was expected"
        if self.missing[rank, found]:
            return
        whole = self.held[rank, found]
        if found.is_kept:
            self.kept[rank].append((found.part, sorted(whole)))
        for fire in found.fires:
            self.send(fire, whole)

    def send(self, fire, value):
        """Put what a chunk fires on its way; a switch waits for all that it is to add up."""
        move = fire.move
        if fire.kind is Kind.MERGE:
            first, *_ = group = self.plan.merged[move.number]
            sums = self.switch[move.home, first]
            sums.append(value)
            if len(sums) < len(group):
                return
            move, value = move._replace(number=first), [*chain(*self.switch.pop((move.home, first)))]
        for destination in fire.destinations:
            self.mail.append((destination, self.at[destination][move], list(value)))


@pytest.fixture(scope="module", params=range(3))
def ended(request, plan):
    """Give GPUs that have run, in one of several orders."""
    gpus = Gpus(plan, Random(request.param))
    gpus.run()
    return gpus


def test_results_are_whole_and_in_one_place(plan, ended):
    """At the end each GPU keeps what is its own: the sum of all contributions, each once, or a part from everyone."""
    everyone = range(plan.ranks)
    for rank in everyone:
        kept = sorted(ended.kept[rank])
        if plan.operation is Operation.ALL_TO_ALL:
            # The other parts are on their way through this GPU.
            assert sorted(value for part, value in kept if part == rank) == [[(other, rank)] for other in everyone]
        else:
            chunks = [part_of(plan, chunk) for chunk in range(rank * plan.subs, (rank + 1) * plan.subs)]
            assert kept == [(part, [(other, part) for other in everyone]) for part in sorted(chunks)]


def test_every_tile_is_produced_once(plan):
    """A GPU produces each tile of its output once, those of a part in order; what it keeps comes last."""
    counts = tuple(1 + part % 3 for part in range(plan.parts))
    everything = [(part, piece) for part in range(plan.parts) for piece in range(counts[part])]
    for rank in range(plan.ranks):
        kept = {found.part for found in stations(plan, rank) if found.own and found.is_kept}
        for staggered in (True, False):
            made = dispatch(plan, rank, counts, staggered=staggered)
            tiles = list(zip(made.parts.tolist(), made.pieces.tolist(), strict=True))
            assert sorted(tiles) == everything
            for part, count in enumerate(counts):
                assert [piece for each, piece in tiles if each == part] == list(range(count))
            stays = [part in kept for part, _ in tiles]
            assert stays == sorted(stays) or not staggered


def test_remote_chunks_wait_for_nothing(plan):
    """Stores that leave for another GPU at once have one destination and no contribution to wait for."""
    for rank in range(plan.ranks):
        for found in stations(plan, rank):
            if found.is_remote:
                assert found.own
                assert not found.arrivals
                assert not found.is_kept
                assert len(found.fires[0].destinations) == 1


@pytest.mark.parametrize("staggered", [True, False])
@pytest.mark.parametrize("whole", [False, True], ids=["a tile a command", "a chunk a command"])
def test_tiles_can_be_completed_in_the_order_they_are_produced(plan, staggered, whole):
    """No tile waits for one that is after it on its GPU: a tracker that lets the first through never has to stop."""
    counts = tuple(2 + part % 3 for part in range(plan.parts))
    graph = nx.DiGraph()
    at = {}
    for rank in range(plan.ranks):
        made = dispatch(plan, rank, counts, staggered=staggered)
        found = {each.part: each for each in stations(plan, rank) if each.own}
        tiles = [(found[part], piece) for part, piece in zip(made.parts.tolist(), made.pieces.tolist(), strict=True)]
        passed = [each for each in stations(plan, rank) if not each.own]
        tiles += [(each, piece) for each in passed for piece in range(counts[each.part])]
        nx.add_path(graph, [(rank, *tile) for tile in tiles if tile[0].arrivals])
        at |= {(rank, move): each for each in stations(plan, rank) for move in each.arrivals}
    for rank in range(plan.ranks):
        for each in stations(plan, rank):
            for fire, destination in ((fired, other) for fired in each.fires for other in fired.destinations):
                merged = plan.merged.get(fire.move.number, (fire.move.number,))
                arrives = at[destination, fire.move._replace(number=merged[0])]
                for piece in range(counts[each.part]):
                    command = range(counts[each.part]) if whole else [piece]
                    graph.add_edges_from(((rank, each, other), (destination, arrives, piece)) for other in command)
    assert nx.is_directed_acyclic_graph(graph)
