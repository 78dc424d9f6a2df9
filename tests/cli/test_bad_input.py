"""Whatever is wrong with the input, the answer is exit code 2 and a line that says where and what would be right."""

import pytest

from t3sim.data import traces_dir

# What is wrong with a trace: (text of the toy trace, what replaces it), and what the error must name.
TRACES = {
    "unknown key": (("K_local: 64", "K_locl: 64"), (":6: ", "K_locl", "unknown key", "did you mean K_local?", "dtype")),
    "missing key": (("M: 256, ", ""), (":6: ", "operations.0.M", "missing key")),
    "no unit": (("bytes: 65536 B", "bytes: 65536"), (":7: ", "operations.1.bytes", "65536", "no unit", "MiB")),
    "wrong unit": (("bytes: 65536 B", "bytes: 65536 Hz"), (":7: ", "operations.1.bytes", "65536 Hz", "MiB")),
    "unknown dtype": (("dtype: fp16", "dtype: fp61"), (":6: ", "operations.0.dtype", "'fp61'", "fp16", "bf16")),
    "unknown operation": (("op: gemm", "op: gem"), (":6: ", "operations.0.op", "'gem'", "did you mean gemm?")),
    "impossible value": (("M: 256", "M: 0"), (":6: ", "operations.0.M", "greater than 0", "got 0")),
    "no GPUs to share": (("tp: 2", "tp: 1"), (":4: ", "tp", "greater than or equal to 2")),
    "waits for nobody": (("[op.gemm]", "[op.gem]"), (":7: ", "'op.gem'", "did you mean 'op.gemm'?")),
    "another version": (("version: 1", "version: 9"), (":2: ", "version", "must be 1", "got 9")),
    "another format": (("t3sim-trace", "t3sim-system"), (":1: ", "format", "must be t3sim-trace", "t3sim-system")),
    "no version": (("version: 1\n", ""), ("version", "missing key")),
    "a tag": (("model: toy", "model: !!python/name:os.system toy"), (":3: ", "model", "tags are not accepted")),
    "an anchor": (("model: toy", "model: &a toy"), (":3: ", "model", "anchors are not accepted")),
    "a duplicate key": (("tp: 2", "tp: 2\ntp: 4"), (":5: ", "tp", "duplicate key", "line 4")),
    "K under a slab": (("K_local: 64", "K_local: 16"), ("K_local", "op.gemm", "smaller than one K-slab", "32", "16")),
    "too few tiles": (("tp: 2", "tp: 4"), ("op.gemm", "2 output tiles", "4 chunks")),
    "a dtype without rate": (("dtype: fp16", "dtype: fp32"), ("dtype", "op.gemm", "t3-paper", "'fp32'", "fp16")),
}
BYTES = {
    "truncated": (lambda good: good[: len(good) // 2], ("not valid YAML",)),
    "not UTF-8": (lambda good: good.replace(b"toy", b"t\xffy"), (":3: ", "not UTF-8", "0xff")),
    "a control byte": (lambda good: good.replace(b"toy", b"t\x00y"), (":3: ", "control character", "U+0000")),
    "a bomb": (
        lambda _: b"a: &a [x, x]\n" + b"".join(b"k%d: &k%d [*a, *a]\n" % (i, i) for i in range(30)),
        (":1: ", "anchors are not accepted"),
    ),
    "deeply nested": (lambda _: b"a: " + b"[" * 10_000, (":1: ", "nested deeper than")),
    "huge": (lambda _: b"a: 1\n" * 10**6, ("larger than",)),
    "empty": (lambda _: b"", (":1: ", "empty")),
    "a list": (lambda _: b"- a\n", (":1: ", "mapping")),
}
OPTIONS = {
    "unknown scheme": (["--scheme", "t3-mac"], ("--scheme", "'t3-mac'", "did you mean t3-mca?", "sequential")),
    "unknown sublayer": (["--sublayer", "fc3"], ("--sublayer", "'fc3'", "did you mean fc2?", "op")),
    "unknown system": (["--system", "t3-papr"], ("'t3-papr'", "did you mean t3-paper?")),
    "system that is no file": (["--system", "none.yaml"], ("none.yaml", "no such file")),
    "other GPUs": (["--gpus", "3"], ("--gpus", "'3'", "mirror", "2")),
    "GPUs in words": (["--gpus", "two"], ("--gpus", "'two'", "mirror", "2")),
    "no assignment": (["--set", "memory"], ("--set", "'memory'", "KEY=VALUE")),
    "unknown key": (["--set", "memory.chanels=4"], ("--set", "memory.chanels", "did you mean channels?")),
    "key of another memory": (
        ["--set", "memory.bandwidth=2 TB/s"],
        ("--set", "memory.bandwidth", "unknown key: it is channels x dram.access", "known: "),
    ),
    "unknown part": (["--set", "memroy.channels=4"], ("--set", "memroy", "did you mean memory?")),
    "key in a value": (["--set", "compute.cus.x=1"], ("--set", "compute.cus.x", "no keys in it")),
    "no bandwidth": (["--set", "link.bandwidth=0 GB/s"], ("--set", "link.bandwidth", "greater than 0")),
    "wrong unit": (["--set", "link.latency=5 GB"], ("--set", "link.latency", "5 GB", "ns")),
    "no unit": (["--set", "link.latency=500"], ("--set", "link.latency", "500", "ns")),
    "a tag": (["--set", "name=!!str x"], ("--set", "name", "tags are not accepted")),
}


@pytest.fixture
def refused(t3sim):
    """Give the check that a command line is refused in order, with these words in its message."""

    def check(parts, *arguments):
        result = t3sim(*arguments)
        assert result.code == 2, result.err
        assert result.out == ""
        assert "Traceback" not in result.err
        first, *rest = result.err.splitlines()
        assert first.startswith("error: ")
        assert "error:" not in "".join(rest)
        assert not [part for part in parts if part not in result.err], result.err

    return check


@pytest.mark.parametrize("command", [["run"], ["trace", "show"]], ids=["run", "show"])
@pytest.mark.parametrize("case", TRACES)
def test_a_trace_that_is_wrong(refused, t3sim, trace, case, command):
    """A mistake in a trace is named with its file, line, key, value and what is known."""
    (old, new), parts = TRACES[case]
    text = trace.read_text(encoding="utf-8")
    assert old in text
    trace.write_text(text.replace(old, new, 1), encoding="utf-8")
    if case in ("K under a slab", "too few tiles", "a dtype without rate") and command != ["run"]:
        assert t3sim(*command, trace).code == 0  # only a system makes it impossible
    else:
        refused((str(trace), *parts), *command, trace)


@pytest.mark.parametrize("case", BYTES)
def test_a_file_that_is_no_trace(refused, trace, case):
    """A file that cannot be read as YAML is refused with the place of the fault, whatever its bytes are."""
    change, parts = BYTES[case]
    trace.write_bytes(change(trace.read_bytes()))
    refused((str(trace), *parts), "run", trace)


@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_that_is_wrong(refused, trace, case):
    """A wrong option is named with its value and what is known, nearest first."""
    options, parts = OPTIONS[case]
    refused(parts, "run", trace, *options)


@pytest.mark.parametrize(
    "option", ["topology={kind: torus, shape: [2, 2]}", "algorithms={all_reduce: bidirectional-ring}"]
)
def test_an_output_of_fewer_tiles_than_its_collective_has_parts(refused, t3sim, tmp_path, option):
    """Four tiles on four GPUs do for a ring; a plan that cuts the buffer into eight parts is refused, with its line."""
    path = tmp_path / "four.yaml"
    path.write_text(
        "format: t3sim-trace\nversion: 1\nmodel: toy\ntp: 4\noperations:\n"
        "  - {id: g, op: gemm, phase: f, sublayer: a, M: 256, N: 256, K_local: 64, dtype: fp16}\n"
        "  - {id: c, op: all_reduce, phase: f, sublayer: a, bytes: 131072 B, dtype: fp16, after: [g]}\n",
        encoding="utf-8",
    )
    assert t3sim("run", path, "--scheme", "sequential").code == 0
    refused((f"{path}:6", "operations.0.M", "makes 4 output tiles, too few for 8 chunks"), "run", path, "--set", option)


def test_a_trace_that_is_not_there(refused, tmp_path):
    """An unknown name is refused with those that are shipped, a path with the path."""
    refused(("'t-nlg-tp9'", "did you mean t-nlg-tp8?", "palm-tp32"), "run", "t-nlg-tp9")
    refused((f"{tmp_path}/x.yaml", "no such file"), "run", tmp_path / "x.yaml")
    refused(("a directory",), "run", f"{tmp_path}/")


def test_a_system_that_is_wrong(refused, trace, tmp_path):
    """A mistake in a system file is named with its line; one error line holds all of them."""
    system = tmp_path / "mine.yaml"
    system.write_text(
        "format: t3sim-system\nversion: 1\nextends: t3-paper\nname: mine\n"
        "memory:\n  bandwith: 1 TB/s\n  channels: {value: 0, source: a guess, class: assumed}\n"
        "link:\n  latency: {value: 1 us, source: a guess, class: guess}\n",
        encoding="utf-8",
    )
    parts = (f"{system}:6: memory.bandwith", f"{system}:7: memory.channels", f"{system}:9: link.latency", "assumed")
    refused(parts, "run", trace, "--system", system)


def test_a_folder_that_cannot_be_written(refused, trace):
    """An output folder below a file is refused before anything is simulated."""
    refused(("--out", f"{trace.name}/out", "cannot write"), "run", trace, "--out", trace / "out")


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["run"],
        ["run", "t-nlg-tp8", "--fast"],
        ["run", "t-nlg-tp8", "--format", "xml"],
        ["reproduce", "--set", "small"],
        ["schema", "moon"],
        ["trace", "new", "t-nlg"],
        ["trace", "new", "t-nlg", "--tp", "eight"],
    ],
    ids=" ".join,
)
def test_bad_usage(t3sim, arguments):
    """A command line that is not understood ends with 2, help on stderr and nothing on stdout."""
    result = t3sim(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "Usage: " in result.err or "error" in result.err.lower()
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["t-nlg", "--tp", "9"], ("tp", "9 GPUs cannot share the hidden size 4256 evenly", "8")),
        (["t-nlg", "--tp", "1"], ("tp", "2 to", "got 1")),
        (["t-nlg", "--tp", "8", "--tokens", "0"], ("tokens", "got 0")),
        (["t-nlg", "--tp", "8", "--dtype", "fp12"], ("dtype", "'fp12'", "fp16")),
        (["t-nlgg", "--tp", "8"], ("'t-nlgg'", "did you mean t-nlg?", "palm")),
    ],
    ids=" ".join,
)
def test_a_trace_that_cannot_be_made(refused, options, parts):
    """A degree that does not divide the model, and other impossible numbers, are refused with what would do."""
    refused(parts, "trace", "new", *options)


def test_other_options_are_checked_before_work_is_done(refused, tmp_path):
    """A mistake in one option is found although another would make the run take minutes."""
    refused(("--scheme", "'x'"), "run", traces_dir() / "palm-tp32.yaml", "--gpus", "32", "--scheme", "x")
    assert list(tmp_path.iterdir()) == []
