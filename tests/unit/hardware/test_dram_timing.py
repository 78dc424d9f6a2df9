"""The shipped DRAMs: organisation and timings."""

import pytest
from pydantic import ValidationError

from t3sim.data import drams_dir
from t3sim.errors import InputError
from t3sim.hardware.memory.banked.dram.spec import load_dram

PEAK_BYTES_PER_S = {
    "hbm2-1760": 16 * 1758 * 10**6,
    "hbm2": 16 * 2 * 10**9,  # 128 bit at 2 Gb/s a pin
    "hbm2-pc64": 8 * 2 * 10**9,
    "hbm2-2pc64": 2 * 8 * 2 * 10**9,
    "hbm2e": 8 * 32 * 10**8,  # 64 bit at 3.2 Gb/s
    "hbm3": 4 * 64 * 10**8,  # 32 bit at 6.4 Gb/s
    "hbm3-5200": 4 * 52 * 10**8,
    "hbm3e-6250": 4 * 625 * 10**7,
    "gddr6-18000": 2 * 18 * 10**9,  # 16 bit at 18 Gb/s a pin
    "gddr6x-21000": 2 * 21 * 10**9,
}
REFRESH_NS = {"gddr6-18000": 1900, "gddr6x-21000": 1900}
"""Between refreshes, where it is not HBM's 3.9 us."""


def test_every_shipped_dram_is_tested():
    """The table above names all of them."""
    assert set(PEAK_BYTES_PER_S) == {path.stem for path in drams_dir().glob("*.yaml")}


@pytest.mark.parametrize("name", PEAK_BYTES_PER_S)
def test_peak_rate_is_that_of_the_pins(name):
    """Accesses back to back move what the pins can."""
    dram = load_dram(name).spec
    assert dram.name == name
    assert dram.peak_bytes_per_s == PEAK_BYTES_PER_S[name]


@pytest.mark.parametrize("name", PEAK_BYTES_PER_S)
def test_timings_fit_each_other(name):
    """A bank cycle holds a row's activation and its precharge, and an update takes two column cycles of a group."""
    dram = load_dram(name).spec
    assert dram.nRC >= dram.nRAS + dram.nRP
    assert dram.nRAS >= dram.nRCDRD
    assert dram.nCCDWL == 2 * dram.nCCDL
    assert dram.nREFI == REFRESH_NS.get(name, 3900) * dram.clock // 10**9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"page": 100}, "no whole number of accesses"),
        ({"nCCDWL": 3}, "an update is no faster than a write"),
        ({"nREFI": 300}, "leaves no time beside a refresh"),
        ({"nCL": 0}, "greater than 0"),
    ],
)
def test_impossible_timings_are_refused(change, message):
    """What no DRAM can do is named."""
    dram = load_dram("hbm2").spec
    with pytest.raises(ValidationError, match=message):
        type(dram)(**{**dram.model_dump(), **change})


def test_a_mistyped_timing_is_named(tmp_path):
    """An unknown key is refused with its file, its line and the nearest known one."""
    path = tmp_path / "mine.yaml"
    path.write_text("format: t3sim-dram\nversion: 1\nextends: hbm2\nname: mine\nnRCDRDX: 12\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"mine\.yaml:5: nRCDRDX: .*nRCDRD"):
        load_dram(path)
