"""What simulating a sublayer takes, counted: where this grows, simulation has become slower.

Times differ from machine to machine, counts do not. T-NLG FC-2 at TP=8; each bound is what it takes now and a
twentieth.
"""

import pytest

from t3sim.hardware.plane import plane as module
from t3sim.simulation import simulate

# scheme: frames done, events among them, calls from Python to compiled code and back, KiB of tables
BOUNDS = {
    "t3-paper-published": {
        "sequential": (234_000, 73_000, 215, 1_790),
        "t3": (358_000, 100_000, 380, 2_530),
        "t3-mca": (355_000, 100_000, 388, 3_070),
        "ideal-overlap-nmc": (311_000, 89_000, 231, 2_480),
    },
    "t3-paper": {"sequential": (270_000, 94_000, 334, 1_770), "t3": (430_000, 137_000, 498, 2_730)},
}


@pytest.fixture
def planes(monkeypatch):
    """Let all planes count how often they are called; give them."""
    made = []

    class Counted(module.Plane):
        def __init__(self, env):
            super().__init__(env)
            self.calls = 0
            made.append(self)

        def do(self, *call):
            self.calls += 1
            return super().do(*call)

        def _step(self, *limits):
            self.calls += 1
            return super()._step(*limits)

    monkeypatch.setattr(module, "Plane", Counted)
    return made


@pytest.mark.parametrize(("system", "scheme"), [(system, scheme) for system in BOUNDS for scheme in BOUNDS[system]])
def test_a_sublayer_takes_no_more_than_it_did(system, scheme, planes):
    """Frames, events, calls across the border to Python and memory of one sublayer stay within their bounds.

    And all that is counted is counted: none is far below its bound.
    """
    simulate("t-nlg-tp8", sublayers=["fc2"], schemes=[scheme], system=system)
    clocks = [plane.rows("clock")[0] for plane in planes]
    taken = (
        sum(int(clock["handled"]) for clock in clocks),
        sum(int(clock["sequence"]) for clock in clocks),
        sum(plane.calls for plane in planes),
        sum(table.nbytes for plane in planes for table in plane._arrays.values()) >> 10,
    )
    for what, bound in zip(taken, BOUNDS[system][scheme], strict=True):
        assert 0.8 * bound < what <= bound, (taken, BOUNDS[system][scheme])
