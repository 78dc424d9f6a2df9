"""Traces of GEMMs alone, from CSVs."""

from __future__ import annotations

import pytest

from t3sim.errors import InputError
from t3sim.workload.gemm_lists import Shape, gemm_sublayer, load_gemms

HEADER = "M,N,K,dtype,count\n"


def listed(tmp_path, text, tp=4):
    path = tmp_path / "my shapes.csv"
    path.write_text(text, encoding="utf-8")
    return load_gemms(path, tp)


def refused(tmp_path, text, tp=4):
    with pytest.raises(InputError) as error:
        listed(tmp_path, text, tp)
    assert all(each.file == str(tmp_path / "my shapes.csv") for each in error.value.problems)
    return [(each.line, each.key, each.value, each.message) for each in error.value.problems]


def test_each_row_is_a_sublayer(tmp_path):
    """K is the whole reduction length, of which each GPU has its share; outputs of 64 x 32 are summed and gathered."""
    trace, notes = listed(tmp_path, "dtype,K,M,N\nfp16,80,64,32\n\nfp32, 8 ,16,4\n")
    assert [(o.id, o.sublayer, o.dtype, o.after) for o in trace.operations] == [
        ("gemm1-64x32x80.gemm", "gemm1-64x32x80", "fp16", ()),
        ("gemm1-64x32x80.rs", "gemm1-64x32x80", "fp16", ("gemm1-64x32x80.gemm",)),
        ("gemm1-64x32x80.ag", "gemm1-64x32x80", "fp16", ("gemm1-64x32x80.rs",)),
        ("gemm2-16x4x8.gemm", "gemm2-16x4x8", "fp32", ("gemm1-64x32x80.ag",)),
        ("gemm2-16x4x8.rs", "gemm2-16x4x8", "fp32", ("gemm2-16x4x8.gemm",)),
        ("gemm2-16x4x8.ag", "gemm2-16x4x8", "fp32", ("gemm2-16x4x8.rs",)),
    ]
    first, scatter, gather, *_ = trace.operations
    assert (first.M, first.N, first.K_local) == (64, 32, 20)
    assert (scatter.op, scatter.bytes, gather.op, gather.bytes) == ("reduce_scatter", 4096, "all_gather", 4096)
    assert (trace.model, trace.tp, notes) == ("my-shapes", 4, ())
    assert trace.description == "2 GEMMs of my shapes.csv, K shared by 4 GPUs"


def test_a_count_weighs_nothing_and_says_so(tmp_path):
    """A row that occurs 48 times is one sublayer, and a note; once is no news, and neither is an empty cell."""
    trace, notes = listed(tmp_path, HEADER + "64,32,80,fp16,48\n64,32,80,fp16,1\n64,32,80,fp16,\n")
    assert [part.sublayer for part in trace.sublayers()] == ["gemm1-64x32x80", "gemm2-64x32x80", "gemm3-64x32x80"]
    assert notes == ("gemm1-64x32x80 is there once: its count of 48 is yours to multiply by",)


def test_every_bad_cell_is_named(tmp_path):
    """Each fault has its line, column and value; a row's faults are all there, and other rows' too."""
    found = refused(tmp_path, HEADER + "64,32,81,fp16,1\n\n-1,1e3,8,fp61,0\n64,300000000,,fp16,1\n")
    whole = "must be a whole number of 1 to 268435456"
    share = "4 GPUs cannot share the reduction length 81 evenly (near degrees that can: 3, 9, 27, 81)"
    assert found == [
        (2, "K", 81, share),
        (4, "M", "-1", whole),
        (4, "N", "1e3", whole),
        (4, "count", "0", whole),
        (4, "dtype", "fp61", "unknown dtype"),
        (5, "N", "300000000", whole),
        (5, "K", "", whole),
    ]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", [(1, name, "missing column") for name in ("M", "N", "K", "dtype")]),
        ("M,N,K,type\n", [(1, "dtype", "missing column"), (1, None, "unknown column")]),
        ("M,N,M,K,dtype\n", [(1, "M", "a column twice")]),
        (HEADER, [(None, None, "no row below the header")]),
        (HEADER + "1,2,4\n", [(2, None, "3 values for 5 columns")]),
    ],
)
def test_headers_and_rows_that_do_not_match(tmp_path, text, faults):
    """A file without rows, with other columns, or with rows of another length is refused."""
    assert [(line, key, message) for line, key, _, message in refused(tmp_path, text)] == faults


def test_quotes_that_do_not_end_and_bytes_that_are_no_text(tmp_path):
    """What is no CSV is refused with the line, what is no text as such."""
    ((line, _, _, message),) = refused(tmp_path, HEADER + '1,"2"x,4,fp16,1\n')
    assert (line, message[:13]) == (2, "not valid CSV")
    path = tmp_path / "my shapes.csv"
    path.write_bytes(b"M,N\xff")
    with pytest.raises(InputError, match="not UTF-8 text"):
        load_gemms(path, 4)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_gemms(tmp_path / "none.csv", 4)


@pytest.mark.parametrize("tp", [0, 1, 2**17])
def test_a_group_has_at_least_two(tmp_path, tp):
    """A degree that is none is one problem, whatever the rows say."""
    with pytest.raises(InputError, match="a tensor-parallel group has 2 to 65536 GPUs") as error:
        listed(tmp_path, HEADER + "1,2,3,fp16,1\n", tp)
    assert len(error.value.problems) == 1


def test_one_shape_is_one_sublayer():
    """The sublayer of one GEMM has its share of K and its two collectives, or is refused."""
    sublayer = gemm_sublayer(Shape(64, 32, 80, "bf16"), 8)
    assert [o.op for o in sublayer.operations] == ["gemm", "reduce_scatter", "all_gather"]
    assert (sublayer.model, sublayer.sublayer, sublayer.operations[0].K_local) == ("64x32x80", "gemm", 10)
    with pytest.raises(InputError, match="3 GPUs cannot share the reduction length 80"):
        gemm_sublayer(Shape(64, 32, 80, "bf16"), 3)
