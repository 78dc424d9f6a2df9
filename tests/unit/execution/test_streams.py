"""Processes at once: each begins when those that it waits for have ended, and not later."""

import pytest
import simpy

from t3sim.execution.streams import Before, at_once


@pytest.mark.parametrize("event", [0, 4])
def test_each_waits_for_those_before_it_and_for_no_others(event):
    """Two streams: 0 then 1 then 4, 2 then 3; 3 waits for the event of 1 as well. Ends: 5, 12, 3, 12 + 2, 12 + 1.

    An event is seen later, by the other stream alone.
    """
    env = simpy.Environment(0)
    seen = {}

    def kernel(number, duration):
        def run():
            begun = env.now
            yield env.timeout(duration)
            seen[number] = (begun, env.now)

        return run

    lasts = (5, 7, 3, 2, 1)
    before = [Before(), Before((0,)), Before(), Before((2,), (1,)), Before((1,))]
    env.run(until=env.process(at_once(env, [kernel(*each) for each in enumerate(lasts)], before, event)))
    assert seen == {0: (0, 5), 1: (5, 12), 2: (0, 3), 3: (12 + event, 14 + event), 4: (12, 13)}
    assert env.now == 14 + event
