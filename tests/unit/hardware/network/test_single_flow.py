"""A link with one flow does what the plain link does, event for event."""

import importlib.util
from pathlib import Path

import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from t3sim.hardware.clock import Order, call_at
from t3sim.hardware.network.link import LinkSpec


def _beside(name):
    """Load a module that lies beside this one."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


plain, one_link = _beside("single_flow_link"), _beside("one_link")

STEP = 1_000  # times are multiples of a byte's, so that much happens in one instant
times = st.integers(0, 60).map(lambda steps: steps * STEP)
packets = st.lists(
    st.tuples(times, st.integers(1, 15), st.integers(0, 9).map(lambda n: n * STEP), st.sampled_from(list(Order))),
    min_size=1,
    max_size=20,
)


class _Log:
    """What happens at a link, in order, and between it timers that note when it is their turn."""

    def __init__(self, spec):
        self.env = simpy.Environment(0)
        self.spec = spec
        self.events = []

    def note(self, *what):
        self.events.append((self.env.now, *what))
        # Timers that come in the same instants as the link's own events show which was made first.
        for steps in range(1, 16):
            call_at(self.env, self.env.now + steps * STEP, lambda: self.events.append((self.env.now, "after", *what)))

    def delivered(self, number, hold_fs, consume):
        self.note("delivered", number)
        call_at(self.env, self.env.now + hold_fs, consume)


def old(spec, sends):
    log = _Log(spec)
    link = plain.Link(log.env, spec, "link")
    for number, (time, nbytes, hold, order) in enumerate(sends):

        def send(number=number, nbytes=nbytes, hold=hold):
            link.send(
                nbytes,
                lambda: log.delivered(number, hold, lambda: link.consumed(nbytes)),
                lambda: log.note("accepted", number),
            )
            log.note("sent", number)

        call_at(log.env, time, send, order)
    log.env.run()
    return log.events, link.busy_fs


def new(spec, sends):
    log = _Log(spec)
    one = one_link.OneLink(spec, log.env)
    for number, (time, nbytes, hold, order) in enumerate(sends):

        def send(number=number, nbytes=nbytes, hold=hold):
            def consume():
                one.consumed(nbytes)

            deliver, accepted = lambda: log.delivered(number, hold, consume), lambda: log.note("accepted", number)
            one.send(nbytes, deliver, accepted)
            log.note("sent", number)

        call_at(log.env, time, send, order)
    log.env.run()
    return log.events, one.link.busy_fs


@settings(max_examples=300)
@given(packets, st.integers(0, 5), st.integers(10, 30), st.integers(1, 30))
def test_equals_the_plain_link_event_for_event(sends, latency, receive_buffer, send_buffer):
    """Acceptances, deliveries and what is scheduled between them come at the same times and in the same order."""
    spec = LinkSpec(
        bandwidth=10**12,
        direction="per_direction",
        latency=latency * STEP,
        send_buffer=send_buffer,
        receive_buffer=max(receive_buffer, 2 * latency),
    )
    assert new(spec, sends) == old(spec, sends)
