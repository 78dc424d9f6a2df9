"""What a finished point is known by: every file that was read for it, wherever it is named."""

import os
import shutil

import pytest

from t3sim.config import dump_yaml
from t3sim.data import configs_dir, traces_dir
from t3sim.errors import InputError
from t3sim.simulation import load_system
from t3sim.sweeps import load_sweep, run_sweep
from t3sim.sweeps.resolve import Resolver


def write(path, form, **data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump_yaml({"format": f"t3sim-{form}", "version": 1, **data}), encoding="utf-8")
    return path


@pytest.fixture
def fluid():
    """Give the values of an in-order memory, as a file of their own would hold them."""
    return load_system("t3-paper-published").resolved["memory"]


@pytest.fixture
def files(tmp_path):
    """Write a system that is read from eight files, a model and a trace; every file that it takes."""
    folder = tmp_path / "files"
    write(folder / "system.yaml", "system", extends="./parent.yaml", link={"extends": "./link.yaml"})
    write(folder / "parent.yaml", "system", extends="t3-paper", memory={"extends": "./parts/memory.yaml"})
    write(folder / "link.yaml", "link", **load_system("t3-paper").resolved["link"])
    write(folder / "parts/memory.yaml", "memory", extends="./base.yaml", dram={"extends": "../dram.yaml"})
    shutil.copy(configs_dir() / "memory" / "banked-hbm2.yaml", folder / "parts" / "base.yaml")
    write(folder / "dram.yaml", "dram", extends="./base-dram.yaml", name="mine")
    shutil.copy(configs_dir() / "dram" / "hbm2.yaml", folder / "base-dram.yaml")
    shutil.copy(configs_dir() / "models" / "t-nlg.yaml", folder / "model.yaml")
    shutil.copy(traces_dir() / "t-nlg-tp8.yaml", folder / "trace.yaml")
    return folder


WORKLOADS = {"model.yaml": {"tp": 8, "sublayer": "op"}, "trace.yaml": {"sublayer": "op"}}
READ = (
    "system.yaml",
    "parent.yaml",
    "link.yaml",
    "parts/memory.yaml",
    "parts/base.yaml",
    "dram.yaml",
    "base-dram.yaml",
)


def places(**settings):
    return [(task.phase, task.sublayer) for task in Resolver().tasks(settings)]


def test_a_sublayer_of_a_trace_may_say_its_phase():
    """A name is both its phases, phase and name are one; they come in the order of the trace, each once."""
    trace = "t-nlg-tp8-sequence-parallel"
    assert len(places(trace=trace)) == 8
    assert places(trace=trace, sublayer="op") == [("forward", "op"), ("backward", "op")]
    assert places(trace=trace, sublayer=["fc2", "backward/op", "backward/fc2"]) == [
        ("forward", "fc2"),
        ("backward", "fc2"),
        ("backward", "op"),
    ]
    assert places(model="t-nlg", tp=8, sublayer=["forward/op", "fc1"]) == [("forward", "op"), ("backward", "fc1")]
    with pytest.raises(InputError, match="did you mean backward/fc2"):
        places(trace=trace, sublayer="backwards/fc2")


def test_sublayers_of_a_model_are_those_that_it_has():
    """A parallel block has two, experts none, latent attention a third; a model that cannot be read says so later."""
    assert places(model="palm-540b", tp=16) == [("forward", "out"), ("backward", "in")]
    assert places(model="mixtral-8x22b", tp=8) == [("forward", "op"), ("backward", "ip")]
    assert places(model="deepseek-v3", tp=8) == [("forward", "op"), ("backward", "q-up"), ("backward", "kv-up")]
    with pytest.raises(InputError, match="known: op, ip"):
        places(model="mixtral-8x22b", tp=8, sublayer="fc2")


def recipe(folder, workload="model.yaml", **changes):
    """Give the recipe of the one point of a workload on the system in a folder."""
    own = {workload.removesuffix(".yaml"): str(folder / workload), **WORKLOADS[workload]}
    (task,) = Resolver().tasks({"system": str(folder / "system.yaml"), "scheme": "t3", **own, **changes})
    return task.recipe


@pytest.mark.parametrize(
    ("workload", "name"), [*(("model.yaml", name) for name in (*READ, "model.yaml")), ("trace.yaml", "trace.yaml")]
)
def test_a_byte_in_any_file_is_another_recipe(files, workload, name):
    """Whatever a file is extended by, and in whatever depth, what it says is part of what the point is."""
    varied = {"system.protocols": {}}  # a section that a setting lays over the files
    before = recipe(files, workload), recipe(files, workload, **varied)
    with (files / name).open("a", encoding="utf-8") as file:
        file.write("# edited\n")
    assert recipe(files, workload) != before[0]
    assert recipe(files, workload, **varied) != before[1]


def test_the_files_are_all_that_there_are(files):
    """The list above has every file of the folder but the workloads, and all of them are valid together."""
    assert {str(path.relative_to(files)) for path in files.rglob("*.yaml")} == {*READ, *WORKLOADS}
    resolver = Resolver()
    settings = {"system": str(files / "system.yaml"), "model": str(files / "model.yaml"), "tp": 8, "sublayer": "op"}
    (task,) = resolver.tasks(settings)
    assert resolver.job(task).point.system.spec.memory.dram.name == "mine"


def test_a_point_is_tuned_where_a_sweep_says_so():
    """Points of a sweep are run as they are, unless ``tune`` is true; nothing else but a truth value is taken."""
    resolver = Resolver()
    settings = {"model": "t-nlg", "tp": 8, "sublayer": "op"}
    for more, tuned in (({}, False), ({"tune": False}, False), ({"tune": True}, True)):
        (task,) = resolver.tasks(settings | more)
        assert resolver.job(task).point.tune is tuned
    (problem,) = resolver.problems(settings | {"tune": "yes"})
    assert (problem.key, problem.value) == ("tune", "yes")


def test_a_sweep_says_whose_time_is_split():
    """Nobody's, unless ``losses`` names schemes; the same point split and not are two jobs. Names are checked."""
    resolver = Resolver()
    settings = {"model": "t-nlg", "tp": 8, "sublayer": "op"}
    keys = set()
    for more, split in (({}, ()), ({"losses": "t3"}, ("t3",)), ({"losses": ("t3", "fused-sw")}, ("t3", "fused-sw"))):
        (task,) = resolver.tasks(settings | more)
        job = resolver.job(task)
        assert job.point.losses == split
        keys.add(job.key)
    assert len(keys) == 3
    (problem,) = resolver.problems(settings | {"losses": ("t3", "t4")})
    assert (problem.key, problem.value) == ("losses", "t4")


def test_the_same_files_by_other_paths_are_the_same_recipe(files, tmp_path, monkeypatch):
    """A copy elsewhere, a link, a relative path: what they say counts, not where they lie."""
    before = recipe(files)
    copy, link = tmp_path / "copy", tmp_path / "link"
    shutil.copytree(files, copy)
    link.symlink_to(files)
    assert recipe(copy) == recipe(link) == before
    monkeypatch.chdir(tmp_path)
    assert recipe((tmp_path / "files").relative_to(tmp_path)) == before


@pytest.mark.parametrize("key", ["system.link", "system.link.extends"])
def test_a_file_that_a_setting_names_counts(files, key):
    """A section that an axis takes from a file is as much of the point as one that the system takes from it."""
    named = str(write(files / "other.yaml", "link", latency="700 ns"))
    change = {key: {"extends": named} if key == "system.link" else named}
    before = recipe(files, **change)
    assert before != recipe(files)
    write(files / "other.yaml", "link", latency="800 ns")
    assert recipe(files, **change) != before


def test_a_setting_that_changes_which_part_is_meant_changes_what_is_read(files):
    """Another memory model takes nothing from the file that a section extends, and of that file's DRAM no byte."""
    fluid_too, banked = {"system.memory.model": "fluid"}, {"system.memory.model": "banked"}
    before = recipe(files, **fluid_too), recipe(files, **banked)
    with (files / "base-dram.yaml").open("a", encoding="utf-8") as file:
        file.write("# edited\n")
    after = recipe(files, **fluid_too), recipe(files, **banked)
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_a_job_is_made_of_what_its_recipe_says(files):
    """A file that is edited while a sweep runs does not get into points whose recipe is of the file as it was."""
    resolver = Resolver()
    settings = {"system": str(files / "system.yaml"), "model": str(files / "model.yaml"), "tp": 8, "sublayer": "op"}
    (task,) = resolver.tasks(settings)
    for name in READ:
        (files / name).unlink()
    assert resolver.job(task).point.system.spec.memory.dram.name == "mine"


def test_a_resumed_sweep_sees_an_edited_part(sweep_of, inline, results, tmp_path, fluid):
    """The table after an edit of a part's file is that of a fresh folder; without one, nothing runs again."""
    system = write(tmp_path / "own.yaml", "system", extends="t3-paper", memory={"extends": "./mem.yaml"})
    spec = sweep_of(system=str(system))
    seen = []
    for turnaround, ran in (("11 ns", 1), ("11 ns", 0), ("1100 ns", 1), ("11 ns", 0)):
        write(tmp_path / "mem.yaml", "memory", **{**fluid, "turnaround": turnaround})
        backend = inline()
        run_sweep(load_sweep(spec), tmp_path / "resumed", backend)
        assert len(backend.jobs) == ran, turnaround
        run_sweep(load_sweep(spec), tmp_path / f"fresh{len(seen)}", inline())
        seen.append(results(tmp_path / "resumed"))
        assert seen[-1] == results(tmp_path / f"fresh{len(seen) - 1}")
    assert seen[0] == seen[1] == seen[3] != seen[2]


def test_cases_that_name_a_file_see_it_edited(sweep_of, inline, tmp_path, fluid):
    """A case whose section extends a file runs again when the file says something else, and the other case does not."""
    memory = {"extends": str(tmp_path / "mem.yaml")}
    cases = [{"label": "as it is"}, {"label": "own", "set": {"system.memory": memory}}]
    spec = sweep_of({"kind": "cases", "name": "change", "cases": cases})
    ran = []
    for turnaround in ("9 ns", "9 ns", "900 ns"):
        write(tmp_path / "mem.yaml", "memory", **{**fluid, "turnaround": turnaround})
        backend = inline()
        run_sweep(load_sweep(spec), tmp_path / "out", backend)
        ran.append(len(backend.jobs))
    assert ran == [2, 0, 1]


def test_a_section_in_the_base_extends_a_file_too(sweep_of, inline, results, tmp_path, fluid, monkeypatch):
    """In a setting of the base as in one of an axis, and as on the command line: from the working directory."""
    write(tmp_path / "mem.yaml", "memory", **{**fluid, "turnaround": "1100 ns"})
    monkeypatch.chdir(tmp_path)
    memory = {"extends": "./mem.yaml"}
    run_sweep(load_sweep(sweep_of(**{"system.memory": memory})), tmp_path / "base", inline())
    axis = {"kind": "list", "key": "system.memory", "values": [memory]}
    run_sweep(load_sweep(sweep_of(axis)), tmp_path / "axis", inline())
    base, varied = results(tmp_path / "base"), results(tmp_path / "axis")
    assert [row["total_us"] for row in base] == [row["total_us"] for row in varied]
    assert [row["config_hash"] for row in base] == [row["config_hash"] for row in varied]


def test_a_point_whose_part_is_missing_is_a_row_until_it_is_there(sweep_of, inline, results, tmp_path, fluid):
    """It fails as any point that cannot be; once the file is written, the same command runs it."""
    mem = write(tmp_path / "mem.yaml", "memory", **fluid)
    system = write(tmp_path / "own.yaml", "system", extends="t3-paper", memory={"extends": "./mem.yaml"})
    loaded = load_sweep(sweep_of(system=str(system)))
    os.rename(mem, tmp_path / "away")  # noqa: PTH104
    assert run_sweep(loaded, tmp_path / "out", inline()).written.failed == 2
    assert "no such file" in results(tmp_path / "out")[0]["error_message"]
    os.rename(tmp_path / "away", mem)  # noqa: PTH104
    assert run_sweep(loaded, tmp_path / "out", inline()).written.failed == 0


def test_rows_carry_the_name_that_the_model_has_now(sweep_of, inline, results, tmp_path):
    """A model that was only renamed costs the same, but its rows are its own."""
    for name in ("one", "two"):
        text = {"hidden": 64, "layers": 1, "tokens": 64, "tp": [2], "dtype": "fp16"}
        model = write(tmp_path / "model.yaml", "model", name=name, **text)
        run_sweep(load_sweep(sweep_of(model=str(model))), tmp_path / "out", inline())
        assert {row["model"] for row in results(tmp_path / "out")} == {name}
