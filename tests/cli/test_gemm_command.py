"""``t3sim gemm``: one shape alone, and with ``--tp`` its sublayer under schemes."""

import csv
import io

import pytest

from t3sim.experiments.gemms import GEMM_COLUMNS
from t3sim.results import COLUMN_NAMES


def test_one_shape_as_table_csv_and_json(t3sim, document):
    """The same numbers for people, for tables and for programs."""
    found = document("gemm", 256, 128, 64)["gemm"]
    printed = t3sim("gemm", 256, 128, 64, "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(printed.out))
    assert tuple(row) == GEMM_COLUMNS
    assert row == {name: str(found[name]) for name in GEMM_COLUMNS}
    shown = t3sim("gemm", 256, 128, 64).out
    for text in ("GEMM 256 x 128 x 64 fp16", "128 x 128", f"{found['time_us']:.2f}", f"{found['tflops']:.1f}"):
        assert text in shown
    assert found["bound"] in shown


def test_a_degree_runs_the_sublayer(t3sim, document):
    """With --tp there are the rows that a run of the same sublayer gives; schemes may be chosen."""
    found = document("gemm", 256, 128, 64, "--tp", 2)
    assert found["gemm"]["K_local"] == 32
    assert [row["scheme"] for row in found["rows"]] == ["sequential", "t3", "t3-mca"]
    assert found["manifest"]["command"].startswith("t3sim gemm 256 128 64 --tp 2")
    result = t3sim("gemm", 256, 128, 64, "--tp", 2, "--scheme", "t3", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(result.out))
    assert tuple(row) == COLUMN_NAMES
    assert float(row["total_us"]) == found["rows"][1]["total_us"]
    shown = t3sim("gemm", 256, 128, 64, "--tp", 2).out
    assert "256x128x64" in shown
    assert "t3-mca" in shown


def test_the_sublayer_is_that_of_a_listed_gemm(t3sim, document, tmp_path):
    """A shape by itself and the same one from a list take the same time."""
    shapes, trace = tmp_path / "shapes.csv", tmp_path / "trace.yaml"
    shapes.write_text("M,N,K,dtype\n256,128,64,fp16\n", encoding="utf-8")
    assert t3sim("trace", "new", "--gemms", shapes, "--tp", 2, "--out", trace).code == 0
    listed = document("run", trace, "--scheme", "sequential,t3")["rows"]
    alone = document("gemm", 256, 128, 64, "--dtype", "fp16", "--tp", 2, "--scheme", "sequential,t3")["rows"]
    assert [row["total_us"] for row in listed] == [row["total_us"] for row in alone]


def test_another_system(t3sim, document):
    """System and overrides are as for other commands: half the CUs take longer."""
    usual = document("gemm", 2048, 1024, 512)["gemm"]["time_us"]
    assert document("gemm", 2048, 1024, 512, "--set", "compute.cus=40")["gemm"]["time_us"] > 1.5 * usual
    assert document("gemm", 2048, 1024, 512, "--system", "h100-sxm")["gemm"]["system"] == "h100-sxm"
    assert t3sim("gemm", 1, 1, 1, "--system", "nonsense").code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 128, 64), "M: must be a whole number of 1 to 268435456, got 0"),
        ((256, 128, 2**40), "K: must be a whole number of 1 to 268435456, got 1099511627776"),
        ((256, 128, 64, "--dtype", "fp61"), "--dtype: unknown dtype, got 'fp61' (did you mean fp16?"),
        ((256, 128, 65, "--tp", 2), "K: 2 GPUs cannot share the reduction length 65 evenly"),
        ((256, 128, 64, "--scheme", "t3"), "--scheme: needs --tp: a GEMM alone has nothing to exchange"),
        ((256, 128, 64, "--tp", 2, "--scheme", "t4"), "--scheme: unknown name, got 't4'"),
    ],
)
def test_what_cannot_be(t3sim, arguments, message):
    """Bad input is one line that names the argument, and exit code 2."""
    result = t3sim("gemm", *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"error: {message}")
