"""Processes at once: each begins when those that it waits for have ended, and not later."""

import simpy

from t3sim.execution.streams import at_once


def test_each_waits_for_those_before_it_and_for_no_others():
    """Two streams: 0 then 1 then 4, 2 then 3; 3 waits for 1 as well. Ends: 5, 12, 3, 12 + 2, 12 + 1."""
    env = simpy.Environment(0)
    seen = {}

    def kernel(number, duration):
        def run():
            begun = env.now
            yield env.timeout(duration)
            seen[number] = (begun, env.now)

        return run

    lasts = (5, 7, 3, 2, 1)
    after = [(), (0,), (), (1, 2), (1,)]
    env.run(until=env.process(at_once(env, [kernel(*each) for each in enumerate(lasts)], after)))
    assert seen == {0: (0, 5), 1: (5, 12), 2: (0, 3), 3: (12, 14), 4: (12, 13)}
    assert env.now == 14
