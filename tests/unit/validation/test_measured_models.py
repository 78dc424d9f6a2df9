"""Measured iterations and attention: their formats, and how a measured time is set beside a simulated one."""

import pytest

from t3sim.config import load
from t3sim.errors import InputError
from t3sim.iterations.inference import Inference
from t3sim.iterations.kernel_times import KernelTimes
from t3sim.lowering.other_kernels import OtherKernelsSpec, Rates
from t3sim.validation.attention import Gpu, MeasuredAttention, load_measured_attention
from t3sim.validation.measured_models import MEASURED_FORMAT, MeasuredModels, load_measured_models
from t3sim.validation.models import iteration_fs

TABLE = """\
format: t3sim-measured-models
version: 1
source: figures made up
groups:
  - group: made up
    system: tiny
    dtype: fp16
    vocabulary: 128
    source: somebody
    iterations:
      - {hidden: 64, heads: 4, layers: 2, sequence: 32, output: 3, tp: 1, time_ms: 2}
"""
NS = 10**6
# 1 GB/s of DRAM, 4 GB/s of LLC.
GPU = Gpu(Rates(cus=4, dram_bytes_per_s=1e9, llc_bytes_per_s=4e9, flops_per_s={"fp16": 1e12}), llc_bytes=4096)
EXACT = OtherKernelsSpec(start=7 * NS, attention_start=0, other_share=1.0, generation_share=1.0)


@pytest.fixture
def table(tmp_path):
    """Give a function that loads a table."""

    def read(text):
        path = tmp_path / "table.yaml"
        path.write_text(text, encoding="utf-8")
        return load(MeasuredModels, path, folder=tmp_path, format_name=MEASURED_FORMAT).spec

    return read


def generation(cached, time_us):
    return MeasuredAttention(
        system="tiny",
        phase="generation",
        dtype="fp16",
        batch=1,
        new_tokens=1,
        cached_tokens=cached,
        heads=1,
        kv_heads=1,
        head_dim=4,
        time_us=time_us,
        use="fit",
        source="somebody",
    )


def test_an_output_is_a_prompt_and_the_tokens_after_its_first(table, tiny_system):
    """Three tokens: the prompt's, and two with 33 tokens before them on average."""
    (group,) = table(TABLE).groups
    (item,) = group.iterations
    system = tiny_system()
    model, split = group.model(item), group.parallelism(item)

    def passed(new, cached):
        asked = Inference(model=model, system=system, parallelism=split, new=new, cached=cached)
        return asked.run("sequential").total_fs

    found = iteration_fs(group, system, item, KernelTimes(system, "sequential", 1))
    assert found == passed(32, 0) + 2 * passed(1, 33)
    assert item.case == "h 64, 2 layers, 32 and 3 tokens, TP1 DP1 PP1, batch 1 by 1"


def test_a_row_without_a_time_is_refused(table):
    """With the key that is missing."""
    with pytest.raises(InputError, match="time_ms"):
        table(TABLE.replace(", time_ms: 2", ""))


def test_keys_and_values_that_fit_are_in_the_llc():
    """100 tokens of 16 B, query and output: 1,616 B at 4 GB/s; 1,000 at 1 GB/s."""
    assert GPU.time_us(generation(99, 1.0), EXACT) == pytest.approx(1.616 / 4)
    assert GPU.time_us(generation(999, 1.0), EXACT) == pytest.approx(16.016)


def test_times_below_those_of_the_dram_are_known_as_such():
    """16,016 B take 16 us; what the LLC holds may be faster."""
    assert GPU.beyond_dram(generation(999, 16.0))
    assert not GPU.beyond_dram(generation(999, 16.1))
    assert not GPU.beyond_dram(generation(99, 0.1))


def test_half_of_the_shipped_attention_is_held_out():
    """To within what each of the four sets has more on one side."""
    uses = [item.use for item in load_measured_attention()]
    assert abs(uses.count("fit") - uses.count("holdout")) <= 2


def test_shipped_iterations_are_splits_that_fit():
    """Every group's models can be shared as measured."""
    for group in load_measured_models().spec.groups:
        for item in group.iterations:
            group.parallelism(item).check(group.model(item))
