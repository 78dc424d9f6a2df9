"""The fluid memory against the banked one that it follows, phase by phase, on some of the cases of the benchmark."""

import pytest

from t3sim.validation.memories import PHASES, cases, phase_times

NEAR = 0.03
FAR = 0.08
"""On links that take as much as the DRAM gives, where rows and bank groups decide; the benchmark says how much."""
CASES = {case.name: case for case in cases()}


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("t-nlg tp8 op 75 GB/s", NEAR),
        ("mega-gpt-2 tp16 fc2 37.5 GB/s", NEAR),
        ("t-nlg tp16 op 600 GB/s", FAR),
        ("gpt-3 tp32 op 300 GB/s", FAR),
    ],
)
def test_phases_take_what_they_take_on_banks(name, most):
    """GEMM, collectives alone and fused phases are as long as behind the banks, nearly."""
    fluid, banked = (phase_times(CASES[name], system) for system in ("t3-paper-fluid", "t3-paper-banked"))
    assert tuple(fluid) == tuple(banked) == PHASES
    errors = {phase: fluid[phase] / banked[phase] - 1 for phase in PHASES}
    assert max(map(abs, errors.values())) < most, errors


def test_cases_are_the_shipped_sublayers_and_random_shapes():
    """36 sublayers on links of five rates, and 30 random shapes; every case has a name of its own."""
    everything = list(cases())
    shipped = {case.sublayer.label for case in everything if not case.sublayer.model.startswith("random")}
    assert (len(shipped), len(everything), len(CASES)) == (36, 36 * 5 + 30, 36 * 5 + 30)
