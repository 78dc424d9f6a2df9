"""Kernels beside GEMMs and collectives: their times by hand."""

import pytest

from t3sim.lowering.other_kernels import OtherKernelsSpec, Rates, attention_fs, attention_kernels, kernel_fs
from t3sim.workload.layers import Attention, Kernel

NS = 10**6
# A byte takes 1 ns, a FLOP on one of four CUs 1 ns.
RATES = Rates(cus=4, dram_bytes_per_s=1e9, llc_bytes_per_s=4e9, flops_per_s={"fp16": 1e9})
EXACT = {"other_share": 1.0, "prompt_share": 1.0, "generation_share": 1.0}


def spec(**changes):
    return OtherKernelsSpec(**{**EXACT, **changes})


def attention(**changes):
    own = {"sequences": 1, "new": 128, "cached": 0, "heads": 4, "kv_heads": 4, "head_dim": 2, "value_dim": 2}
    return Attention("attention", **{**own, "dtype": "fp16", **changes})


def test_a_kernel_takes_its_start_and_its_bytes():
    """100 B at half the rate of a class that is named, or at the share of all others."""
    kernel = Kernel("norm", "norm", 100)
    assert kernel_fs(kernel, spec(start=7 * NS, dram_share={"norm": 0.5}), RATES) == 207 * NS
    assert kernel_fs(kernel, spec(other_share=0.25), RATES) == 400 * NS


def test_fused_attention_skips_later_keys():
    """Two blocks of queries of one head: the first looks at 128 keys, the second at 256; each on a CU of its own."""
    work = attention(new=256, heads=1, kv_heads=1)
    assert attention_fs(work, spec(), RATES) == 2 * 128 * 256 * 4 * NS
    # Four heads are eight workgroups on four CUs: a long one and a short one each.
    assert attention_fs(attention(new=256), spec(), RATES) == 2 * 128 * (128 + 256) * 4 * NS


def test_cached_keys_are_looked_at_by_all_queries():
    """128 queries, 1,024 keys before them."""
    assert attention_fs(attention(cached=1024), spec(), RATES) == 2 * 128 * (1024 + 128) * 4 * NS


def test_one_new_token_reads_its_keys_and_values():
    """1,000 keys and values of two heads of two, which eight query heads share; queries and output."""
    work = attention(new=1, cached=999, heads=8, kv_heads=2)
    assert attention_fs(work, spec(start=5 * NS), RATES) == (5 + 2 * (8 * 4 + 2 * 4 * 1000)) * NS


def test_a_fused_backward_pass_has_five_products_for_two():
    """And is one kernel."""
    forward, backward = (attention_fs(attention(backward=each), spec(), RATES) for each in (False, True))
    assert backward == 2.5 * forward
    assert attention_kernels(attention(), spec()) == 1


@pytest.mark.parametrize(
    ("backward", "dropout", "kernels", "score_bytes"),
    [(False, False, 4, 2 * 2), (False, True, 5, 2 * 2 + 2 * 2 + 1), (True, True, 7, 3 * 2 + 2 * 2 + 1)],
)
def test_unfused_attention_moves_its_scores(backward, dropout, kernels, score_bytes):
    """Products over all scores, in fp16, then softmax, and dropout with its mask."""
    work = attention(backward=backward, dropout=dropout)
    asked = spec(attention="unfused")
    assert attention_kernels(work, asked) == kernels
    products = 4 if backward else 2
    scores = 4 * 128 * 128
    # A product computes 2 x 2 FLOP a score on four CUs, but the scores' bytes take longer: 2 B, and half the operands.
    operands = 2 * (4 * 4 * 128 + 4 * 4 * 128)
    product = scores * 2 + operands // 2
    # The output is read and written to stand side by side; going back, gradients of queries, keys, values and output.
    copied = 2 * 2 * operands // 2 if backward else 2 * 2 * 4 * 2 * 128
    assert attention_fs(work, asked, RATES) == (products * product + scores * score_bytes + copied) * NS


def test_keys_and_values_in_the_llc_come_at_its_rate():
    """Four times the DRAM's rate."""
    work = attention(new=1, cached=999, heads=8, kv_heads=2)
    assert attention_fs(work, spec(), RATES, in_llc=True) == 2 * (8 * 4 + 2 * 4 * 1000) // 4 * NS


def test_more_heads_than_are_packed_read_keys_and_values_each():
    """64 heads of one: 64 times at the LLC's rate, which is more than once at the DRAM's; 32 read them once."""
    keys_and_values, others = 2 * 4 * 1000, 2 * 4
    packed = attention(new=1, cached=999, heads=32, kv_heads=1)
    assert attention_fs(packed, spec(), RATES) == (keys_and_values + 32 * others) * NS
    unpacked = attention(new=1, cached=999, heads=64, kv_heads=1)
    assert attention_fs(unpacked, spec(), RATES) == (64 * keys_and_values + 64 * others) // 4 * NS


def test_fused_attention_may_have_a_start_of_its_own():
    """In place of that of all kernels."""
    work = attention(new=1, cached=999)
    longer = attention_fs(work, spec(start=5 * NS, attention_start=9 * NS), RATES)
    assert longer - attention_fs(work, spec(), RATES) == 9 * NS
