"""``t3sim trace export`` and ``import``: files of other programs, from the command line."""

import csv
import gzip
import io
import json

import pytest

from t3sim.data import traces_dir

SHIPPED = "t-nlg-tp8"


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_export_writes_a_file_for_each_rank(t3sim, trace, tmp_path):
    """Named as the trace or as asked for; stdout stays empty, and that GEMMs have no times is said."""
    result = t3sim("trace", "export", trace, "--format", "chakra", "--out", tmp_path / "a")
    assert (result.code, result.out) == (0, "")
    assert "no times; --system adds them" in result.err
    assert list(files(tmp_path / "a")) == ["toy.0.et", "toy.1.et"]
    assert t3sim("trace", "export", trace, "--out", tmp_path / "b", "--prefix", "x.y").code == 0
    assert list(files(tmp_path / "b").values()) == list(files(tmp_path / "a").values())
    assert list(files(tmp_path / "b")) == ["x.y.0.et", "x.y.1.et"]


def test_gzip(t3sim, trace, tmp_path):
    """Packed files hold the same, and are the same bytes each time."""
    for folder, *options in (("plain",), ("one", "--gzip"), ("two", "--gzip")):
        assert t3sim("trace", "export", trace, "--out", tmp_path / folder, *options).code == 0
    plain, one, two = (files(tmp_path / folder) for folder in ("plain", "one", "two"))
    assert one == two
    assert {name: gzip.decompress(data) for name, data in one.items()} == plain


@pytest.mark.parametrize("launch", ["100 us", "100.3 us", "100.6 us"])
def test_times_of_gemms(t3sim, trace, tmp_path, launch):
    """With a system, GEMMs take as long as they do in a sequential run there, in whole microseconds."""
    options = "--system", "t3-paper", "--set", f"compute.launch_overhead={launch}"
    assert t3sim("trace", "export", trace, "--out", tmp_path / "a", *options).err.startswith("wrote ")
    run = t3sim("run", trace, "--scheme", "sequential", "--format", "csv", *options)
    rows = {row["sublayer"]: float(row["gemm_us"]) for row in csv.DictReader(io.StringIO(run.out))}
    assert len(rows) == 2
    data = (tmp_path / "a" / "toy.0.et").read_bytes()
    for sublayer, gemm_us in rows.items():
        assert 100 < gemm_us < 128
        after_the_name = data.partition(f"{sublayer}.gemm\x18\x04".encode())[2]
        # No dependency, or one on node 2 (field 5); then field 7, the duration.
        assert after_the_name.removeprefix(b"\x2a\x01\x02")[:2] == bytes([7 * 8, round(gemm_us)])


@pytest.mark.parametrize("options", [(), ("--gzip",)], ids=["plain", "packed"])
def test_export_and_import(t3sim, tmp_path, options):
    """A shipped trace comes back as it was, from the folder to a file, and from one rank's file to stdout."""
    text = (traces_dir() / f"{SHIPPED}.yaml").read_text(encoding="utf-8").partition("\n")[2]
    folder, out = tmp_path / "et", tmp_path / "new" / "back.yaml"
    assert t3sim("trace", "export", SHIPPED, "--out", folder, *options).code == 0
    result = t3sim("trace", "import", folder, "--rank", 3, "--out", out)
    assert (result.code, result.out) == (0, "")
    assert "note: 12 nodes, 4 of them compute and 8 collectives; mapped: 4 GEMMs and 8 collectives" in result.err
    header, _, rest = out.read_text(encoding="utf-8").partition("\n")
    assert (header, rest) == ("# Made by: t3sim trace import et", text)
    one = t3sim("trace", "import", folder / f"{SHIPPED}.0.et", "--model", "mine")
    assert one.out.partition("\n")[2] == text.replace("model: t-nlg\n", "model: mine\n")


def test_import_a_profile(t3sim, tmp_path):
    """A profile of PyTorch becomes a trace that runs; kernels left out are listed by names that a terminal can show."""
    call, kernel = ({"ph": "X", "pid": 1, "tid": 1, "dur": 4} for _ in range(2))
    noted = {"Collective name": "allreduce", "In msg nelems": 32768, "Group size": 2, "dtype": "Half"}
    dims = {"Input Dims": [[256, 64], [64, 128]], "Input type": ["c10::Half", "c10::Half"]}
    events = [
        {**call, "cat": "cpu_op", "name": "aten::mm", "ts": 0, "args": dims},
        {**call, "cat": "cuda_runtime", "name": "cudaLaunchKernel", "ts": 1, "args": {"correlation": 5}},
        {**kernel, "cat": "kernel", "name": "gemm", "ts": 10, "args": {"correlation": 5, "stream": 7}},
        {**kernel, "cat": "kernel", "name": "layer\x1bnorm", "ts": 14, "args": {"stream": 7}},
        {**kernel, "cat": "kernel", "name": "ncclDevKernel", "ts": 18, "args": {**noted, "stream": 20}},
    ]
    profile, out = tmp_path / "run.pt.trace.json", tmp_path / "run.yaml"
    profile.write_text(json.dumps({"traceEvents": events}), encoding="utf-8")
    result = t3sim("trace", "import", profile, "--out", out)
    assert result.code == 0
    assert "note:        1 x layer\\x1bnorm" in result.err
    run = t3sim("run", out, "--scheme", "t3", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(run.out))
    assert [row[name] for name in ("status", "M", "N", "K_local", "tp")] == ["ok", "256", "128", "64", "2"]
    refused = t3sim("trace", "import", profile, "--rank", 0)
    assert (refused.code, refused.out) == (2, "")
    assert "--rank: chooses a file of a folder, got 0" in refused.err


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["export", "t-nlg-tp9", "--out", "x"], ("'t-nlg-tp9'", "did you mean t-nlg-tp8?")),
        (["export", SHIPPED, "--out", "x", "--prefix", "a/b"], ("--prefix", "'a/b'")),
        (["export", SHIPPED, "--out", "x", "--set", "a=1"], ("--set", "needs --system")),
        (["export", SHIPPED, "--out", "x", "--system", "t3-papr"], ("did you mean t3-paper?",)),
        (["import", "none.et"], ("none.et", "No such file")),
        (["import", "."], (".: no file in it is called PREFIX.RANK.et",)),
        (["import", "toy.yaml"], ("toy.yaml", "byte 1", "does not begin with Chakra's metadata")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_named(t3sim, trace, monkeypatch, arguments, parts):
    """One message and exit code 2, and nothing is written."""
    monkeypatch.chdir(trace.parent)
    result = t3sim("trace", *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert not [part for part in parts if part not in result.err], result.err
