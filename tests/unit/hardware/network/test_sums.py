"""Switches that add up messages and multiply them: exact times, finite entries, every value once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t3sim.collectives.grid import rotated, turn
from t3sim.hardware.network.conditions import Conditions
from t3sim.hardware.network.switch import SwitchSpec

BYTE, LATENCY = 1_000, 5_000
# 4 x 10^12 B/s: four contributions go through the adder in the time that one takes on a link.
ADDER = 4 * 10**12


def switch(entries=16, rate=ADDER):
    return SwitchSpec(reduces=True, multicasts=True, adder_rate=rate, entries=entries)


def test_a_slow_adder_sets_the_pace(traffic, star):
    """Through an adder of twice a link's rate, four contributions of 40 B take 80 byte times, then the sum is out."""
    rig = traffic(star(4, rate=2 * 10**12, latency=6_000))
    for source in range(4):
        rig.send(source, 2, 40, merges=4, home=2)
    # From 3 to 83 in the adder; the sum is on its link from 43 on.
    assert rig.run().times() == [86_000]
    assert rig.network.links["Link[Switch[0]->2]"].busy_fs == 40_000


def test_the_last_contribution_completes_the_sum(traffic, star):
    """A contribution that comes later than the others goes on as the sum at once, as a message would."""
    rig = traffic(star(3, latency=6_000))
    for source, at in ((0, 0), (1, 200_000), (2, 10_000)):
        rig.send(source, 2, 40, merges=3, home=2, at=at)
    assert rig.run().times() == [246_000]


def test_a_sum_ends_no_earlier_than_its_slowest_contribution(traffic, star):
    """With one link to the switch at a quarter of its rate, the sum leaves with that contribution's last byte."""
    conditions = Conditions.model_validate({"links": {"Link[0->Switch[0]]": {"rate": 0.25}}})
    rig = traffic(star(3, latency=6_000), conditions=conditions)
    for source in range(3):
        rig.send(source, 2, 40, merges=3, home=2)
    # GPU 0's last byte is at the switch at 163.
    assert rig.run().times() == [166_000]


@pytest.fixture
def star(wired, link):
    """Give a builder of switches that add and multiply; entries for each output and links as asked."""
    return lambda gpus, entries=16, rate=ADDER, **changes: wired(
        "switch", gpus, link(**changes), switch=switch(entries, rate)
    )


def test_a_switch_that_reduces_says_how():
    """An adder has a rate and entries, or there is none."""
    with pytest.raises(ValueError, match="a switch that reduces needs adder_rate and entries"):
        SwitchSpec(reduces=True)


def test_one_sum_arrives_for_all_contributions(traffic, star):
    """Four contributions of 40 B that come together: one message arrives, when one of them would, with the sum."""
    rig = traffic(star(4, latency=6_000))
    for source in range(4):
        rig.send(source, 2, 40, merges=4, home=2, move=7 - source, value=np.array([1.0, 10.0]) * source)
    rig.run()
    ((time, gpu, message),) = rig.arrived
    # The first bytes are there at 3, and by 43, when the last ones are, the adder has taken all four: no time is lost.
    assert (time, gpu) == (46_000, 2)
    assert message.value.tolist() == [6.0, 60.0]
    # The sum goes on as the contribution that is the first move of its plan.
    assert (message.source, message.move, message.destinations) == (3, 4, (2,))
    assert {name: lnk.sent_bytes for name, lnk in rig.network.links.items()} == {
        **{f"Link[{source}->Switch[0]]": 40 for source in range(4)},
        **{f"Link[Switch[0]->{gpu}]": 40 * (gpu == 2) for gpu in range(4)},
    }


def test_a_lone_contribution_passes_as_if_through_a_wire(traffic, star):
    """Through an adder no slower than the links, a sum of one is not held up; through one of half the rate, it is."""
    for rate, expected in ((ADDER, 45_000), (10**12, 45_000), (10**12 // 2, 85_000)):
        rig = traffic(star(3, rate=rate))
        rig.send(0, 1, 40, merges=1)
        assert rig.run().times() == [expected]


def test_sums_are_told_apart(traffic, star):
    """Contributions meet those of their operation, home, chunk, piece and destination only."""
    rig = traffic(star(3))
    for fields in ({}, {"operation": 1}, {"home": 1}, {"key": 1}, {"piece": 1}):
        for source in (0, 1):
            rig.send(source, 2, 10, **{"merges": 2, "home": 0, "value": np.array([2**source]), **fields})
    for source in (0, 1):
        rig.send(source, 0, 10, merges=2, home=0, value=np.array([2**source]))
    rig.run()
    assert [message.value.tolist() for _, _, message in rig.arrived] == [[3]] * 6
    assert sorted(gpu for _, gpu, _ in rig.arrived) == [0, 2, 2, 2, 2, 2]


def test_without_an_entry_a_contribution_stays_where_it_is(traffic, star):
    """With one entry at an output, the second sum waits until the first has left, and holds its input buffer."""
    rig = traffic(star(3, entries=1, latency=6_000, receive_buffer=40))
    for piece in (0, 1, 2):
        rig.send(0, 2, 40, merges=2, home=2, piece=piece)
        rig.send(1, 2, 40, merges=2, home=2, piece=piece, at=100 * BYTE)
    rig.run()
    # From 100 on GPU 1's first is on its link, from 103 at the switch, in full at 143. It goes out from 103 on (its
    # adding ends at 143) and leaves at 143: there at 146. Only then can the second sum have the entry: GPU 0's second
    # goes through the adder from 143 to 153. GPU 1's second starts when its first left the switch, 143, one latency
    # later: from 146 to 186 on the link, there at 189; and so on, 46 for each.
    assert rig.times() == [146_000, 192_000, 238_000]
    stuck = traffic(star(3, entries=1))
    for piece in (0, 1, 2):
        stuck.send(0, 2, 40, merges=2, home=2, piece=piece)
    stuck.env.run()
    assert stuck.network.waiting() == [
        "Switch[0] output 2: 1 sums miss contributions; the first 1 of 2: operation 0, piece 0 of 9 from 0 to 2",
        "Switch[0] output 2: 2 contributions wait for one of 1 entries; first: operation 0, piece 1 of 9 from 0 to 2",
    ]
    assert "Switch[0] output 2: 1 of 1 entries are still taken" in stuck.network.faults(int(stuck.env.now))


@pytest.mark.parametrize("moves", [(3, 5), (5, 3)])
def test_the_first_move_gets_the_entry_of_an_instant(traffic, star, moves):
    """Of two contributions that come in one instant for one entry, the earlier move has it, whoever sent first."""
    rig = traffic(star(3, entries=1))
    for source, move in zip((0, 1), moves, strict=True):
        rig.send(source, 2, 40, merges=1, home=2, piece=source, move=move)
    rig.run()
    assert [message.move for _, _, message in rig.arrived] == [3, 5]


def test_sums_that_wait_for_each_other_are_named(traffic, star):
    """Two GPUs that each are ahead at another output, with one entry and room for one message: the report says so."""
    rig = traffic(star(4, entries=1, receive_buffer=10))
    for source, order in ((0, ((2, 0), (2, 1), (3, 0))), (1, ((3, 0), (3, 1), (2, 0)))):
        for destination, piece in order:
            rig.send(source, destination, 10, merges=2, home=destination, piece=piece)
    rig.env.run()
    *_, circle = rig.network.waiting()
    head, *rest = circle.split(" waits for ")
    assert head.startswith("a circle: ")
    assert sorted(rest) == [
        "Link[0->Switch[0]] channel 0",
        "Link[1->Switch[0]] channel 0",
        "Switch[0] output 2",
        "Switch[0] output 3",
    ]


def test_a_switch_multiplies_a_message(traffic, star):
    """One copy goes up, one down to each destination, at the same time; what is done to one does not change another."""
    rig = traffic(star(5))
    value = np.array([1.0, 2.0])
    rig.send(1, (0, 2, 4), 40, value=value)
    rig.run()
    assert [(time, gpu, message.destinations) for time, gpu, message in rig.arrived] == [
        (45_000, gpu, (gpu,)) for gpu in (0, 2, 4)
    ]
    value[0] = 5
    rig.arrived[0][2].value[1] = 6
    assert [message.value.tolist() for _, _, message in rig.arrived] == [[1, 6], [1, 2], [1, 2]]
    assert rig.network.links["Link[1->Switch[0]]"].sent_bytes == 40
    assert sum(lnk.sent_bytes for lnk in rig.network.links.values()) == 160


def test_room_at_the_switch_is_free_when_the_last_copy_has_left(traffic, star):
    """With GPU 2 busy until 100, the copy for it leaves last, and the next message starts a latency after that."""
    rig = traffic(star(4, latency=6_000, receive_buffer=40))
    rig.send(3, 2, 40)
    rig.send(0, (1, 2), 40, at=10 * BYTE)
    rig.send(0, 1, 40, at=11 * BYTE)
    rig.run()
    # GPU 3's is on GPU 2's link from 3 to 43 and consumed at 46: room for the copy is known at 49, it leaves at 89.
    # GPU 0's next starts at 92, is at the switch at 95 and at GPU 1 at 138.
    assert rig.times(2) == [46_000, 92_000]
    assert rig.times(1) == [56_000, 138_000]


def test_a_sum_for_several_is_multiplied(traffic, star):
    """All-reduce in the switch: contributions of all ranks, one sum to each of them."""
    rig = traffic(star(4, latency=6_000))
    for source in range(4):
        rig.send(source, (0, 1, 2, 3), 40, merges=4, home=1, value=np.array([source]))
    rig.run()
    assert [(gpu, message.value.tolist()) for _, gpu, message in rig.arrived] == [(gpu, [6]) for gpu in range(4)]
    assert set(rig.times()) == {46_000}


def see(rig, rank):
    """Give what a rank saw: what came when, sources and homes as offsets from it."""
    shape = rig.network.wiring.shape
    return [
        (time, *(turn(rank, each, shape) for each in (message.source, message.home)), message.piece)
        for time, gpu, message in rig.arrived
        if gpu == rank
    ]


def send_alike(rig, rank, each, actions, offsets, nbytes):
    """Let a rank contribute to sums at the ranks of its node, and send to several and to one elsewhere."""
    shape = rig.network.wiring.shape
    node = range(rank - rank % each, rank - rank % each + each)
    for piece, action in enumerate(actions):
        for offset in offsets:
            peer = node[(rank + offset) % each]
            contribution = {"piece": piece, "home": peer, "move": offset, "merges": each}
            if action == "sum":
                rig.send(rank, peer, nbytes, **contribution)
            elif action == "sum to all":
                rig.send(rank, tuple(node), nbytes, **contribution)
            elif action == "copies":
                rig.send(rank, tuple(node), nbytes, piece=piece)
            else:
                rig.send(rank, rotated(rank, rig.network.wiring.gpus // 2, shape), nbytes, piece=piece)


@pytest.mark.parametrize(
    ("gpus", "fields"),
    [
        *((gpus, {"planes": planes}) for gpus in (2, 3, 4, 6, 9) for planes in (1, 3)),
        *((gpus, {"nodes": 3}) for gpus in (3, 6, 9)),
    ],
)
@settings(max_examples=12)
@given(data=st.data())
def test_mirrored_sums_and_copies_equal_full_ones(traffic, wired, link, gpus, fields, data):
    """Where all ranks send alike to be summed and copied in their node's switch, rank 0 alone sees what each sees."""
    small = link(
        latency=4_000,
        receive_buffer=data.draw(st.integers(32, 60)),
        send_buffer=data.draw(st.integers(1, 30)),
    )
    kind, more = ("multi-node", {"nic": small}) if "nodes" in fields else ("switch", {})
    made = wired(kind, gpus, small, switch=switch(data.draw(st.integers(1, 3))), **fields, **more)
    each = gpus // fields.get("nodes", 1)
    offsets = data.draw(st.permutations(range(each)))
    actions = data.draw(st.lists(st.sampled_from(["sum", "sum to all", "copies", "plain"]), min_size=1, max_size=5))
    nbytes = data.draw(st.integers(1, 12))
    hold_fs = data.draw(st.integers(0, 8)) * BYTE

    def run(*, mirrored):
        rig = traffic(made, mirrored=mirrored, hold_fs=hold_fs)
        for rank in [0] if mirrored else range(gpus):
            send_alike(rig, rank, each, actions, offsets, nbytes)
        return rig.run()

    full, mirrored = run(mirrored=False), run(mirrored=True)
    for rank in range(gpus):
        assert see(full, rank) == see(mirrored, 0), f"rank {rank}"


@settings(max_examples=25)
@given(st.integers(2, 6), st.integers(1, 2), st.integers(8, 40), st.integers(1, 4), st.integers(1, 30))
def test_few_entries_never_deadlock_where_all_send_piece_by_piece(
    traffic, wired, link, gpus, entries, buffer, pieces, send_buffer
):
    """Every GPU sends piece by piece to all, nearest first: with one entry and tiny buffers all sums still arrive."""
    made = wired(
        "switch", gpus, link(latency=4_000, receive_buffer=buffer, send_buffer=send_buffer), switch=switch(entries)
    )
    rig = traffic(made)
    for rank in range(gpus):
        for piece in range(pieces):
            for offset in range(gpus):
                to = (rank + offset) % gpus
                rig.send(rank, to, 20, merges=gpus, home=to, piece=piece, value=np.array([2**rank]))
    rig.run()
    assert len(rig.arrived) == gpus * pieces
    assert all(message.value.tolist() == [2**gpus - 1] for _, _, message in rig.arrived)
