"""Request streams are those that the reference simulator was fed with."""

import hashlib

import numpy as np
import pytest

from t3sim.hardware.memory.banked.dram.tables import READ, WRITE
from t3sim.validation.dram_patterns import family, request_stream

# By name and cycles of 64 B at the peak rate: SHA-256 (16 digits) of (address, is write, arrival) triples of 64-bit
# little-endian integers, 262,144 requests, as the generator of the reference runs writes them.
DIGESTS = {
    ("sequential", 2): "e51b85860aed8410",
    ("random", 2): "14582346ef972e9c",
    ("segments", 2): "a37a89a31b2f4cf3",
    ("writes", 2): "d7ee65bf592e2f89",
    ("mixed-1", 2): "38181b27d72767ab",
    ("mixed-16", 2): "d9934c3af067ac58",
    ("mixed-64", 2): "4b0c1c51ea3b09ef",
    ("mixed-256", 2): "41fb5b184e29c771",
    ("mixed-1024", 2): "9c2c043ba863b130",
    ("mixed-all", 2): "585e225163dbb4ef",
    ("split-1", 2): "78a4e8589bcce2b7",
    ("split-16", 2): "309aa5981c36db7a",
    ("split-64", 2): "502468200383e8c6",
    ("split-256", 2): "2dc60a6c8d7225be",
    ("split-1024", 2): "7154cfe199b11564",
    ("split-all", 2): "9825f9839e961327",
    ("slab", 2): "a0357833c3b9752a",
    ("tiles", 2): "dd8cd83db4dc5c33",
    ("slab-tiles-1", 2): "d392ed5561136131",
    ("slab-tiles-16", 2): "1aedc66a54a7a442",
    ("slab-tiles-64", 2): "a6b4a1d66531c28c",
    ("slab-tiles-256", 2): "4e73ed11812edeb8",
    ("slab-tiles-1024", 2): "de4a46ef93e54045",
    ("slab-tiles-all", 2): "175a84e05189f13d",
    ("paced-25", 2): "f4d9d52b15957009",
    ("paced-50", 2): "7b5d36a237e08060",
    ("paced-75", 2): "32ca8fb826a3522a",
    ("paced-90", 2): "9dcc33ad3f7888f7",
    ("paced-random-10", 2): "a3333c86a0b6fd43",
    ("paced-random-20", 2): "09c539ec8056a3c8",
    ("paced-random-30", 2): "16a9487b2c5b35a6",
    ("paced-random-40", 2): "223f6c30afd07d5c",
    ("paced-25", 4): "0536f775f41fb2ef",
    ("paced-50", 4): "f4d9d52b15957009",
    ("paced-75", 4): "5f5369689fd68753",
    ("paced-90", 4): "ef50a4d3e3f1894a",
    ("paced-random-10", 4): "ed61691c7eac7abb",
    ("paced-random-20", 4): "a3333c86a0b6fd43",
    ("paced-random-30", 4): "cf6a8f7ff2598e23",
    ("paced-random-40", 4): "09c539ec8056a3c8",
}


@pytest.mark.parametrize(("name", "peak_cycles"), DIGESTS)
def test_stream_is_the_one_of_the_reference_runs(name, peak_cycles):
    """Addresses, kinds and arrivals are the same, request by request."""
    triples = np.stack(request_stream(name, 2**18, peak_cycles), 1).astype("<i8")
    assert hashlib.sha256(triples.tobytes()).hexdigest()[:16] == DIGESTS[name, peak_cycles]


def test_turns_alternate():
    """Two reads, two writes, and so on, each in order."""
    stream = request_stream("mixed-2", 8, 2)
    assert stream.kind.tolist() == [READ, READ, WRITE, WRITE] * 2
    reads = stream.address[stream.kind == READ]
    assert reads.tolist() == [0, 64, 128, 192]
    assert (stream.address[stream.kind == WRITE] - reads).tolist() == [2**29 + 2**11] * 4


def test_pace_is_a_share_of_the_peak():
    """At a quarter of the peak a request comes every four times the cycles that it takes."""
    assert request_stream("paced-25", 4, 2).arrival.tolist() == [0, 8, 16, 24]


def test_split_streams_share_no_bank():
    """Reads have bit 11 of the address clear, writes have it set."""
    stream = request_stream("split-1", 2**12, 2)
    assert ((stream.address >> 11 & 1) == (stream.kind == WRITE)).all()


@pytest.mark.parametrize("name", ["mixed", "mixed-0", "paced-x", "P5", "sequential-2"])
def test_unknown_streams_are_refused(name):
    """The error lists what is known."""
    with pytest.raises(ValueError, match="known: sequential"):
        family(name)


def test_a_turn_longer_than_the_stream_is_refused():
    """There is no stream without a whole turn."""
    with pytest.raises(ValueError, match="hold no two turns of 64"):
        request_stream("mixed-64", 100, 2)
