"""Profiles of PyTorch as traces: a small one written by hand, and what goes wrong."""

import contextlib
import copy
import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from t3sim.errors import InputError
from t3sim.workload import Collective, Gemm
from t3sim.workload.kineto import import_kineto

MAIN = 7
NCCL = 20


class Profile:
    """A profile in the making: each kernel with the operator around the call that launched it."""

    def __init__(self):
        self.events = [{"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "python"}}]
        self.now = 0
        self.launched = 0

    def op(self, name, *kernels, **args):
        """Add an operator on the CPU, and the kernels (name, stream, start, end, more arguments) that it launches."""
        self.now += 10
        number = len(self.events)
        cpu = {"pid": 1, "tid": 1, "ts": self.now}
        self.add("cpu_op", name, {**cpu, "dur": 9.5}, {"External id": number, **args})
        for kernel in kernels:
            self.kernel(self.now + 2, *kernel)

    def kernel(self, launched_us, name, stream, start, end, more=None):
        """Add a kernel and the call that launches it."""
        self.launched += 1
        call = {"pid": 1, "tid": 1, "ts": launched_us, "dur": 1}
        self.add("cuda_runtime", "cudaLaunchKernel", call, {"correlation": self.launched})
        self.on_gpu(name, stream, start, end, {"correlation": self.launched, **(more or {})})

    def on_gpu(self, name, stream, start, end, args, category="kernel"):
        """Add what runs on the GPU."""
        gpu = {"pid": 0, "tid": stream, "ts": start, "dur": end - start}
        self.add(category, name, gpu, {"device": 0, "stream": stream, **args})

    def add(self, category, name, where, args):
        """Add an event."""
        self.events.append({"ph": "X", "cat": category, "name": name, **where, "args": args})

    def gemm(self, name, dims, start, end, dtype="c10::Half", stream=MAIN):
        """Add a GEMM with the shapes of its inputs."""
        types = [dtype if entry else "Scalar" for entry in dims]
        self.op(name, ("ampere_gemm", stream, start, end), **{"Input Dims": dims, "Input type": types})

    def nccl(self, name, given, taken, start, end, size=4, dtype="Half", group="tp"):
        """Add a collective, noted at its kernel."""
        noted = {
            "Collective name": name,
            "In msg nelems": given,
            "Out msg nelems": taken,
            "Group size": size,
            "dtype": dtype,
            "Process Group Name": "1",
            "Process Group Description": group,
        }
        self.op("record_param_comms", (f"ncclDevKernel_{name}", NCCL, start, end, noted))


@pytest.fixture
def profile():
    """Give an empty profile."""
    return Profile()


@pytest.fixture
def imported(tmp_path):
    """Give a function that imports a profile, or any text or bytes, as a file."""

    def run(content, name="run.json", **options):
        if isinstance(content, Profile):
            content = json.dumps({"schemaVersion": 1, "traceEvents": content.events})
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return import_kineto(tmp_path / name, **options)

    return run


def waits(found):
    return {operation.id: operation.after for operation in found.trace.operations}


def test_a_layer(profile, imported):
    """GEMMs have the shape of their operators' inputs, collectives what is noted, and all the order of the GPU."""
    profile.nccl("_allgather_base", 2048, 8192, 0, 10)
    profile.gemm("aten::mm", [[256, 32], [32, 96]], 12, 20)
    profile.op("aten::gelu", ("gelu_kernel", MAIN, 20, 21))
    profile.gemm("aten::addmm", [[128], [256, 96], [96, 128], [], []], 21, 30, "c10::BFloat16")
    profile.nccl("reduce_scatter", 32768, 8192, 30, 40, dtype="BFloat16")
    profile.gemm("aten::linear", [[2, 128, 64], [16, 64], [16]], 41, 50, "float")
    profile.nccl("allreduce", 4096, 4096, 50, 60, dtype="Float")
    found = imported(profile)
    place = {"phase": "imported"}
    assert found.trace.tp == 4
    assert found.trace.operations == (
        Collective(id="all_gather", op="all_gather", bytes=16384, dtype="fp16", sublayer="mm", **place),
        Gemm(id="mm", M=256, N=96, K_local=32, dtype="fp16", sublayer="mm", after=("all_gather",), **place),
        Gemm(id="addmm", M=256, N=128, K_local=96, dtype="bf16", sublayer="addmm", after=("mm",), **place),
        Collective(
            id="reduce_scatter",
            op="reduce_scatter",
            bytes=65536,
            dtype="bf16",
            sublayer="addmm",
            after=("addmm",),
            **place,
        ),
        Gemm(id="linear", M=256, N=16, K_local=64, dtype="fp32", sublayer="linear", after=("reduce_scatter",), **place),
        Collective(
            id="all_reduce", op="all_reduce", bytes=16384, dtype="fp32", sublayer="linear", after=("linear",), **place
        ),
    )
    assert found.notes == (
        "7 kernels; mapped: 3 GEMMs and 3 collectives",
        "dtypes: 2 bf16, 2 fp16, 2 fp32",
        "1 not mapped: neither a GEMM of PyTorch's operators nor a collective",
        "       1 x gelu_kernel",
    )


def test_what_ran_at_once_is_not_ordered(profile, imported):
    """An operation waits for what had ended when it began, in other streams too, and for its own stream always."""
    profile.gemm("aten::mm", [[8, 8], [8, 8]], 0, 10)
    profile.nccl("allreduce", 64, 64, 5, 25)
    profile.gemm("aten::addmm", [[8], [8, 8], [8, 8]], 9.9, 20)
    profile.gemm("aten::bmm", [[1, 8, 8], [1, 8, 8]], 26, 30)
    profile.nccl("broadcast", 64, 64, 26, 29)
    assert waits(imported(profile)) == {
        "mm": (),
        "all_reduce": (),
        "addmm": ("mm",),
        "bmm": ("all_reduce", "addmm"),
        "broadcast": ("all_reduce", "addmm"),
    }


def test_what_is_waited_for_already_is_left_out(profile, imported):
    """A chain from stream to stream is a chain."""
    profile.gemm("aten::mm", [[8, 8], [8, 8]], 0, 10)
    profile.nccl("allreduce", 64, 64, 10, 20)
    profile.gemm("aten::addmm", [[8], [8, 8], [8, 8]], 20, 30)
    assert waits(imported(profile)) == {"mm": (), "all_reduce": ("mm",), "addmm": ("all_reduce",)}


def test_kernels_of_one_operator_are_one_gemm(profile, imported):
    """The sum after a split of K belongs to its GEMM, which lasts as long; an operator inside has its own kernels."""
    dims = {"Input Dims": [[8], [8, 8], [8, 8]], "Input type": ["float"] * 3}
    profile.op("aten::addmm", ("gemm", MAIN, 0, 5), ("splitKreduce", MAIN, 5, 8), **dims)
    inner = {"pid": 1, "tid": 1, "ts": profile.now + 4, "dur": 2}
    profile.add("cpu_op", "aten::copy_", inner, {"External id": 99})
    profile.kernel(profile.now + 5, "copy_kernel", MAIN, 8, 9)
    profile.nccl("allreduce", 64, 64, 7, 9)
    found = imported(profile)
    assert waits(found) == {"addmm": (), "all_reduce": ()}
    assert "1 kernels are further ones of the same operator, such as the sum after a split of K" in found.notes
    assert "       1 x copy_kernel" in found.notes


def test_kernels_launched_by_no_operator(profile, imported):
    """What is launched between two operators belongs to neither."""
    profile.gemm("aten::mm", [[8, 8], [8, 16]], 0, 5)
    profile.kernel(profile.now + 9.8, "own_kernel", MAIN, 5, 6)
    profile.now += 10
    profile.gemm("aten::mm", [[8, 8], [8, 16]], 6, 9)
    found = imported(profile, tp=2)
    assert list(waits(found)) == ["mm", "mm.2"]
    assert found.notes[-1] == "       1 x own_kernel"


def test_collectives_noted_by_their_operator(profile, imported):
    """Where a kernel has no notes of its own, those of the operator around its launch are taken."""
    noted = {
        "Collective name": "_reduce_scatter_base",
        "Out msg nelems": 100,
        "Group size": 2,
        "dtype": "Float8_e4m3fn",
    }
    profile.op("record_param_comms", ("ncclKernel_ReduceScatter", NCCL, 0, 9), **noted)
    (operation,) = imported(profile).trace.operations
    assert (operation.op, operation.bytes, operation.dtype) == ("reduce_scatter", 200, "fp8")


def test_ids_of_old_traces_lead_nowhere_else(profile, imported):
    """A kernel's External id may be its correlation: it is looked at only where the launch is not there."""
    profile.gemm("aten::mm", [[8, 8], [8, 16]], 0, 5)
    profile.op("aten::relu", ("relu_kernel", MAIN, 5, 6, {"External id": 1}))  # that of aten::mm
    found = imported(profile, tp=2)
    assert list(waits(found)) == ["mm"]
    assert "       1 x relu_kernel" in found.notes
    del profile.events[2]  # the call that launched the GEMM
    profile.events[2]["args"]["External id"] = 1
    assert imported(profile, tp=2).trace.operations == found.trace.operations


def test_what_is_not_mapped_says_why(profile, imported):
    """Each reason with its kernels."""
    profile.nccl("allreduce", 64, 64, 0, 1)
    for dims, dtype in (([[8, 8], [9, 8]], "float"), ([[8], [8, 8]], "float"), ([[0, 8], [8, 8]], "float")):
        profile.gemm("aten::mm", dims, 1, 2, dtype)
    profile.gemm("aten::mm", [[8, 8], [8, 8]], 2, 3, "double")
    profile.op("aten::mm", ("plain", MAIN, 3, 4))
    profile.nccl("gather", 64, 64, 4, 5)
    profile.nccl("allreduce", 0, 0, 5, 6)
    profile.nccl("allreduce", 64, 64, 6, 7, dtype="Long")
    profile.nccl("allreduce", 64, 64, 7, 8, size=8)
    profile.op("c10d::allreduce_", ("ncclKernel_AllReduce", NCCL, 8, 9))
    profile.on_gpu("Memcpy DtoD", MAIN, 9, 10, {}, category="gpu_memcpy")
    found = imported(profile, tp=4)
    assert [note for note in found.notes if "not mapped" in note] == [
        "1 not mapped: a GEMM of double elements, which are none of fp32, fp16, bf16, fp8",
        "1 not mapped: a GEMM of no rows or columns, or of more than a trace can hold",
        "1 not mapped: a GEMM whose Input Dims are no two matrices",
        "1 not mapped: a GEMM whose Input Dims do not fit each other",
        "1 not mapped: a GEMM whose operator has no Input Dims: profile with record_shapes=True",
        "1 not mapped: a collective gather, which t3sim has not",
        "1 not mapped: a collective of 8 ranks, where the group has 4",
        "1 not mapped: a collective of Long elements, which are none of fp32, fp16, bf16, fp8",
        "1 not mapped: a collective of no bytes",
        "1 not mapped: a collective of which nothing is noted: profile with PyTorch 2.2 or later",
        "1 not mapped: a copy, or memory that is set",
    ]


def test_batched_gemms(profile, imported):
    """A batch is one GEMM with all of its rows, and that is said."""
    profile.gemm("aten::baddbmm", [[12, 8, 32], [12, 8, 16], [12, 16, 32]], 0, 5)
    found = imported(profile, tp=2)
    (gemm,) = found.trace.operations
    assert (gemm.M, gemm.N, gemm.K_local) == (96, 32, 16)
    assert "1 GEMMs are batched: each is taken as one with the rows of all, and one weight" in found.notes


def test_groups(profile, imported):
    """Groups of two sizes need an option, by size or by name."""
    profile.nccl("allreduce", 64, 64, 0, 1, size=8, group="dp")
    profile.nccl("_allgather_base", 16, 64, 1, 2, size=4, group="tp")
    with pytest.raises(InputError, match=r"give --tp or --group \(there are 1, dp, tp\) \(known: 4, 8\)"):
        imported(profile)
    assert list(waits(imported(profile, tp=8))) == ["all_reduce"]
    found = imported(profile, group="tp")
    assert (found.trace.tp, list(waits(found))) == (4, ["all_gather"])
    assert "1 not mapped: a collective of another group than tp" in found.notes


def test_how_many_gpus(profile, imported):
    """Without collectives the size of the job is taken, and where that is not said an option is needed."""
    profile.gemm("aten::mm", [[8, 8], [8, 8]], 0, 1)
    document = {"distributedInfo": {"world_size": 16}, "traceEvents": profile.events}
    assert imported(json.dumps(document)).trace.tp == 16
    with pytest.raises(InputError, match="give --tp"):
        imported(profile)
    assert imported(json.dumps(profile.events), tp=2).trace.tp == 2  # a list of events alone


def test_packed(profile, imported):
    """A profile packed with gzip is read like any other, and what is in its name becomes the model's."""
    profile.nccl("allreduce", 64, 64, 0, 1)
    data = gzip.compress(json.dumps({"traceEvents": profile.events}).encode())
    assert imported(data, name="rank 0.pt.trace.json.gz").trace.model == "rank-0"
    with pytest.raises(InputError, match="cannot be unpacked after byte"):
        imported(data[:-10], name="cut.json.gz")


GOOD = {"ph": "X", "cat": "kernel", "name": "k", "ts": 1, "dur": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"run\.json:1: not valid JSON: Expecting value, at character 1"),
        ('{"traceEvents": [\n{"ph": }]}', r"run\.json:2: not valid JSON: Expecting value, at character 8"),
        (b'{"traceEvents": ["\xff"]}', "not valid JSON: 'utf-8' codec"),
        ("[" * 100_000, "not valid JSON: "),
        ("[" + "9" * 5000 + "]", "not valid JSON: "),
        ("{}", "is no trace of PyTorch's profiler"),
        ('{"traceEvents": {"a": 1}}', "is no trace of PyTorch's profiler"),
        ('"text"', "is no trace of PyTorch's profiler"),
        ("[5]", "event 0 is no mapping, got 5"),
        (json.dumps([{**GOOD, "ts": "soon"}]), "event 0: ts must be a number of microseconds, got 'soon'"),
        (json.dumps([{**GOOD, "dur": float("nan")}]), "event 0: dur must be a number of microseconds, got nan"),
        (json.dumps([{**GOOD, "dur": 10**400}]), "event 0: dur must be a number of microseconds, got 1000"),
        (json.dumps([{**GOOD, "ts": True}]), "event 0: ts must be a number of microseconds, got True"),
        ("[]", "give --tp"),
    ],
)
def test_files_that_are_no_profiles(imported, content, message):
    """One message that names the file, and the line or the event."""
    with pytest.raises(InputError, match=message) as error:
        imported(content)
    assert len(error.value.problems) == 1


def test_nothing_that_could_be_mapped(profile, imported):
    """The reasons stand below the message."""
    profile.op("aten::relu", ("relu_kernel", MAIN, 0, 1))
    with pytest.raises(InputError) as error:
        imported(profile, tp=2)
    first, second, third = str(error.value).splitlines()
    assert first.endswith("has no operation that could be mapped: no GEMM with a shape, and no collective")
    assert second == "1 not mapped: neither a GEMM of PyTorch's operators nor a collective"
    assert third.strip() == "1 x relu_kernel"


@pytest.mark.parametrize(
    "args",
    [
        {"Input Dims": "text", "Input type": 5},
        {"Input Dims": [[8, "x"], [8, 8]], "Input type": ["float", "float"]},
        {"Input Dims": [[8, True], [True, 8]], "Input type": [["float"], None]},
        {"Input Dims": [[-8, 8], [8, 8]], "Input type": ["float", "float"]},
        {"Input Dims": [[8, 10**400], [10**400, 8]], "Input type": ["float", "float"]},
    ],
)
def test_inputs_that_are_none(profile, imported, args):
    """Dims and types of any other form make a GEMM that is not mapped."""
    profile.nccl("allreduce", 64, 64, 0, 1)
    profile.op("aten::mm", ("gemm_kernel", MAIN, 1, 2), **args)
    found = imported(profile)
    assert list(waits(found)) == ["all_reduce"]
    assert "       1 x gemm_kernel" in found.notes


JUNK = st.sampled_from([None, True, -1, 0, 1.5, 10**30, "x", "", [], [1], {}, {"a": 1}, float("nan"), 1e308, [[8, 8]]])


def damaged(data, value):
    """Replace something somewhere inside a value."""
    places = list(value) if isinstance(value, dict) else range(len(value))
    place = data.draw(st.sampled_from(sorted(places)))
    if isinstance(value[place], (dict, list)) and value[place] and data.draw(st.integers(0, 3)):
        damaged(data, value[place])
    else:
        value[place] = copy.deepcopy(data.draw(JUNK))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(st.data())
def test_any_damage_is_a_trace_or_a_message(imported, data):
    """Whatever stands in the place of a value: a trace comes out, or an error in our words."""
    profile = Profile()
    profile.nccl("_allgather_base", 2048, 8192, 0, 10)
    profile.gemm("aten::mm", [[256, 32], [32, 96]], 12, 20)
    profile.gemm("aten::bmm", [[3, 8, 8], [3, 8, 8]], 20, 30)
    document = {"traceEvents": profile.events, "distributedInfo": {"world_size": 4}}
    for _ in range(data.draw(st.integers(1, 4))):
        damaged(data, document)
    with contextlib.suppress(InputError):
        assert imported(json.dumps(document)).trace.operations
