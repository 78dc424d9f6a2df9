"""The ring's step graphs, run with sets of contributions in place of data."""

import pytest

from t3sim.collectives.ring import RingAllGather, RingReduceScatter
from t3sim.collectives.steps import ChunkMapping

RINGS = range(2, 10)


class _Ring:
    """GPUs that hold, for each chunk, who has contributed to it; messages travel to the successor in order."""

    def __init__(self, count, held):
        self.count = count
        self.local = held
        self.received = [{} for _ in range(count)]
        self.kept = [{} for _ in range(count)]

    def run(self, algorithm):
        """Run every GPU's steps, each as soon as what it waits for has arrived."""
        todo = [list(algorithm.steps(self.count)) for _ in range(self.count)]
        while any(todo):
            ready = [gpu for gpu in range(self.count) if todo[gpu] and self._is_ready(gpu, todo[gpu][0])]
            assert ready, f"every GPU waits: {todo}"
            for gpu in ready:
                self._do(gpu, todo[gpu].pop(0))

    def chunk(self, gpu, position):
        """Which chunk a GPU handles at a position."""
        return (position - gpu) % self.count

    def _is_ready(self, gpu, step):
        return not step.after_arrival or self.chunk(gpu, step.position) in self.received[gpu]

    def _do(self, gpu, step):
        chunk = self.chunk(gpu, step.position)
        own, received = self.local[gpu].get(chunk, set()), self.received[gpu].get(chunk, set())
        assert step.reads < 2 or not own & received, "a contribution would be added twice"
        value = own | received if step.reads == 2 else received if step.after_arrival else own
        if step.writes or not step.sends or (step.after_arrival and step.reads == 1):
            self.kept[gpu][chunk] = value
        if step.sends:
            successor = (gpu + 1) % self.count
            assert chunk not in self.received[successor], "a chunk is sent twice"
            self.received[successor][chunk] = value


@pytest.mark.parametrize("count", RINGS)
def test_reduce_scatter_gives_every_gpu_its_share_in_full(count):
    """After a reduce-scatter each GPU keeps one chunk with everyone's contribution, and all chunks are kept."""
    ring = _Ring(count, [{chunk: {gpu} for chunk in range(count)} for gpu in range(count)])
    ring.run(RingReduceScatter())
    everyone = set(range(count))
    for gpu in range(count):
        # The chunk of the last position: GPU 0 keeps the last one, GPU 1 the one before.
        assert ring.kept[gpu] == {count - 1 - gpu: everyone}


@pytest.mark.parametrize("count", RINGS)
def test_all_gather_gives_every_gpu_every_chunk(count):
    """After an all-gather each GPU has its own chunk and has received all others, each from its owner."""
    owner = {count - 1 - gpu: gpu for gpu in range(count)}
    ring = _Ring(count, [{count - 1 - gpu: {gpu}} for gpu in range(count)])
    ring.run(RingAllGather())
    for gpu in range(count):
        got = {**ring.received[gpu], **ring.local[gpu]}
        assert got == {chunk: {owner[chunk]} for chunk in range(count)}
        assert count - 1 - gpu not in ring.received[gpu]


@pytest.mark.parametrize("count", RINGS)
def test_fused_reduce_scatter_gives_every_gpu_its_share_in_full(count):
    """With the address-space mappings too each GPU ends with one chunk that has everyone's contribution once."""
    mappings = RingReduceScatter().mappings(count)
    memory = [{} for _ in range(count)]  # contributions in each GPU's memory, by chunk
    done = [{} for _ in range(count)]
    for position in range(count):  # what is sent at a position arrives at the successor's next one
        for gpu in range(count):
            chunk = (position - gpu) % count
            successor = memory[(gpu + 1) % count].setdefault(chunk, [])
            if mappings[position] is ChunkMapping.REMOTE:
                successor.append(gpu)
                continue
            memory[gpu].setdefault(chunk, []).append(gpu)
            if mappings[position] is ChunkMapping.FORWARD:
                successor.extend(memory[gpu][chunk])
            else:
                done[gpu][chunk] = sorted(memory[gpu][chunk])
    assert done == [{count - 1 - gpu: list(range(count))} for gpu in range(count)]


@pytest.mark.parametrize("count", RINGS)
def test_reads_and_messages_are_as_few_as_a_ring_allows(count):
    """A reduce-scatter reads 2N - 1 chunks, an all-gather N - 1; both send N - 1."""
    scatter, gather = RingReduceScatter().steps(count), RingAllGather().steps(count)
    assert sum(step.reads for step in scatter) == 2 * count - 1
    assert sum(step.reads for step in gather) == count - 1
    assert sum(step.sends for step in scatter) == sum(step.sends for step in gather) == count - 1
    assert sum(step.writes for step in scatter) == 1


def test_mappings_of_small_rings():
    """Two GPUs store one chunk remotely and keep one; with four, two are forwarded in between."""
    remote, forward, keep = ChunkMapping
    assert RingReduceScatter().mappings(2) == (remote, keep)
    assert RingReduceScatter().mappings(4) == (remote, forward, forward, keep)
