"""Measured GEMMs: the table's format, and how a measured time is set beside a simulated one."""

import pytest

from t3sim.config import load
from t3sim.errors import InputError
from t3sim.validation.gemm import band, compare_gemms, gemm_fs
from t3sim.validation.measured_gemms import MEASURED_FORMAT, MeasuredGemm, MeasuredGemms

TABLE = """\
format: t3sim-measured-gemms
version: 1
source: figures made up
sources:
  a: {citation: one source, launch: 25 us}
  b: {citation: another source}
sets:
  - {system: tiny, dtype: fp16, source: a, gemms: [[64, 32, 16, 1.5], [32, 32, 16, 2]]}
  - {system: tiny, dtype: fp16, source: b, gemms: [[64, 32, 16, 1.0]]}
"""


@pytest.fixture
def table(tmp_path):
    """Give a function that loads a table."""

    def read(text):
        path = tmp_path / "table.yaml"
        path.write_text(text, encoding="utf-8")
        return load(MeasuredGemms, path, folder=tmp_path, format_name=MEASURED_FORMAT).spec

    return read


@pytest.fixture
def measured(gemm_op):
    """Give a builder of one figure on the tiny system."""

    def build(launch_fs):
        op = gemm_op("gemm", (64, 32, 16))
        return MeasuredGemm(system="tiny", op=op, time_us=10.0, launch_fs=launch_fs, citation="made up")

    return build


def test_every_figure_has_its_source(table):
    """Figures come in the file's order with the shape, the time and what their source says of launches."""
    found = list(table(TABLE).gemms())
    shapes = [(item.op.M, item.op.N, item.op.K_local, item.time_us) for item in found]
    assert shapes == [(64, 32, 16, 1.5), (32, 32, 16, 2.0), (64, 32, 16, 1.0)]
    assert [item.launch_fs for item in found] == [25 * 10**9, 25 * 10**9, None]


def test_a_set_of_no_source_is_refused(table):
    """The error names the source that does not exist."""
    with pytest.raises(InputError, match="sources that do not exist: c"):
        table(TABLE.replace("source: b", "source: c"))


def test_a_source_may_say_what_its_launches_take(tiny_system, measured):
    """A source's own launch replaces the system's; where it says nothing, the system's stands."""
    system = tiny_system("compute.launch_overhead=3 us")
    own, stated = compare_gemms([measured(None), measured(25 * 10**9)], {"tiny": system})
    assert stated.simulated - own.simulated == pytest.approx(22)
    assert own.simulated == pytest.approx(gemm_fs(system, measured(None).op) / 10**9)


def test_a_gemm_ends_with_its_last_store(tiny_system, gemm_op):
    """Launch, one hit or miss, two slabs of 4 CUs; the output in the LLC is not waited for.

    Four tiles of 16 x 16 on four CUs: a slab is 2 x 16 x 16 x 8 / 256 = 16 cycles at 1.4 GHz.
    """
    system = tiny_system("compute.launch_overhead=3 us", "memory.read_latency=30 ns")
    slabs_us = 2 * 16 / 1400
    loads_us = gemm_fs(system, gemm_op("gemm", (32, 32, 16))) / 10**9 - 3 - slabs_us
    assert 0.030 <= loads_us < 0.060


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        (511, "M < 512"),
        (512, "512 <= M < 1024"),
        (1024, "1024 <= M < 4096"),
        (4095, "1024 <= M < 4096"),
        (4096, "M >= 4096"),
    ],
)
def test_bands(rows, name):
    """A band begins at the rows it names."""
    assert band(rows) == name


def test_split_k_shortens_a_deep_gemm_and_writes_its_output_once(tiny_system, gemm_op):
    """One tile on four CUs in four parts: a fourth of the K loop, at most."""
    deep = gemm_op("gemm", (16, 16, 8192))
    whole = gemm_fs(tiny_system("memory.bandwidth=100 TB/s"), deep)
    parts = gemm_fs(tiny_system("memory.bandwidth=100 TB/s", "gemm.most_split_k=4"), deep)
    assert parts < 0.3 * whole
