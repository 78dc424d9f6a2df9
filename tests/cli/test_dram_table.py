"""Tables of the user that ``t3sim validate --against dram`` compares with."""

from pathlib import Path

import pytest

from t3sim.errors import InputError
from t3sim.validation.dram_table import load_table

HEADER = "stream,dram,mapping,scheduler,refresh,read_entries,write_entries,bandwidth_gbps,read_latency_ns\n"


@pytest.fixture
def table(tmp_path):
    """Write a table and give its path."""

    def write(text) -> Path:
        path = tmp_path / "runs.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_table_of_the_user_is_compared(table, t3sim):
    """The command takes a table; other streams, queues and organisations than the shipped ones."""
    rows = "split-32,hbm3,ro-ba-co,fcfs,0,24,40,10,300\nslab,hbm2,mop4-xor,frfcfs,1,8,8,20,100\n"
    result = t3sim("validate", "--against", "dram", "--reference", str(table(HEADER + rows)), "--format", "csv")
    assert result.code == 0
    lines = result.out.splitlines()
    assert len(lines) == 1 + 4
    assert "split-32, no refresh, queues 24/40" in lines[1]


def test_names_of_ramulator_are_understood(table):
    """Its numbered streams, its names of mappings and schedulers, and settings in one column."""
    text = (
        "pattern,organisation,mapping,refresh,read_queue,write_queue,scheduler,extra,requests,gbps,lat_mean_ns,row_hits\n"
        "P6s_b16,L128,MOP4,1,64,32,FRFCFSRowHit,wr_low=0.1;wr_high=0.9,4096,30,200,5\n"
        "P10r_30_pc,PC64,RoBaRaCoCh,0,4,4,FRFCFS,,4096,4.8,70,5\n"
        "P5,L128,MOP4,0,64,64,FRFCFSRowHit,separate_rd_wr_ports=1,4096,31,270,5\n"
    )
    found = load_table(table(text))
    first, second = found.runs
    assert (first.stream, first.dram, first.drain_to, first.drain_from) == ("split-16", "hbm2", 0.1, 0.9)
    assert (first.mapping, first.scheduler, first.refresh, first.write_entries) == ("mop4", "frfcfs-row-hit", True, 32)
    assert (second.stream, second.dram, second.mapping) == ("paced-random-30", "hbm2-pc64", "ro-ba-co")
    (left_out,) = found.left_out
    assert "runs.csv:4: separate read and write ports" in left_out


def test_rows_of_an_unknown_dram_are_left_out(table, t3sim):
    """The others are compared, and stderr says which rows are not, why, and what is known."""
    rows = (
        "slab,hbm9,other-mapping,fcfs,1,8,8,20,100",
        "slab,hbm2,mop4,fcfs,1,8,8,20,100",
        "no-stream,HBM4_X,mop4,a-scheduler,1,8,8,20,100",
    )
    result = t3sim(
        "validate", "--against", "dram", "--reference", str(table(HEADER + "\n".join(rows))), "--format", "csv"
    )
    assert result.code == 0
    assert len(result.out.splitlines()) == 1 + 2
    first, second, *_ = [line for line in result.err.splitlines() if line.startswith("left out: ")]
    assert [word for word in ("runs.csv:2: dram", "'hbm9'", "hbm2") if word not in first] == []
    assert "runs.csv:4: dram" in second
    assert "'HBM4_X'" in second


def test_a_file_of_a_dram_with_a_mistake_is_no_unknown_one(table, tmp_path):
    """What stands in a DRAM's own file is checked, not left out."""
    (tmp_path / "mine.yaml").write_text("format: t3sim-dram\nversion: 1\nextends: hbm2\nnCL: many\n")
    with pytest.raises(InputError, match="nCL"):
        load_table(table(f"{HEADER}slab,hbm2,mop4,fcfs,1,8,8,20,100\nslab,{tmp_path}/mine.yaml,mop4,fcfs,1,8,8,20,100"))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("slab,hbm2,mop4,fcfs,1,8,x,20,100", (":2: write_entries", "integer", "'x'")),
        ("slub,hbm2,mop4,fcfs,1,8,8,20,100", (":2: stream", "no such stream", "slab")),
        ("slab,hbm2,mop5,fcfs,1,8,8,20,100", (":2: mapping", "did you mean mop4")),
        ("slab,hbm2,mop4,lifo,1,8,8,20,100", (":2: scheduler", "frfcfs")),
        ("slab,hbm9,mop4,fcfs,1,8,8,20,100", (":2: dram", "hbm9", "hbm2")),
        ("slab,hbm2,mop4,fcfs,1,0,8,20,100", (":2: read_entries", "greater than 0")),
        ("slab,hbm2,mop4,fcfs,1,8,8,,100", (":2: bandwidth_gbps", "missing")),
        ("slab,hbm2,mop4,fcfs,1,8,8,20", (":2: ", "columns")),
        ("", ("no run to compare with",)),
    ],
)
def test_mistakes_are_named(table, row, words):
    """Each mistake is one line with file, line and column."""
    with pytest.raises(InputError) as error:
        load_table(table(HEADER + row))
    text = str(error.value)
    assert "runs.csv" in text
    assert [word for word in words if word not in text] == []
    assert len(text.splitlines()) == 1


def test_an_unknown_column_is_named(table):
    """With the nearest known one."""
    with pytest.raises(InputError, match=r"runs\.csv:1: streem: unknown column \(did you mean stream"):
        load_table(table(HEADER.replace("stream", "streem")))


def test_a_table_goes_with_the_dram_comparison(t3sim):
    """Without --against dram a table is refused."""
    result = t3sim("validate", "--reference", "runs.csv")
    assert result.code == 2
    assert "--against dram" in result.err
