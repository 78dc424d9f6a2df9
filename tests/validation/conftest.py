"""Points to validate: sublayers made in memory or shipped, on the paper's system or a variant of it."""

import importlib.util
import pickle
from pathlib import Path

import pytest
from filelock import FileLock

from t3sim.data import traces_dir
from t3sim.lowering.work import lower
from t3sim.registry import get
from t3sim.simulation import Point, load_system, simulate_point
from t3sim.simulation.lab import SystemLab
from t3sim.simulation.plans import plans_of
from t3sim.studies import load_published, reproduce
from t3sim.validation import checks, summary
from t3sim.workload import Collective, Gemm, Trace, load_trace

NAMES = {"phase": "forward", "sublayer": "op", "dtype": "fp16"}


@pytest.fixture(scope="session")
def paper_system():
    """Give the system that T3 was evaluated on."""
    return load_system("t3-paper")


@pytest.fixture(scope="session")
def in_order_system():
    """Give the same with a memory that does not ask where bytes lie."""
    return load_system("t3-paper-published")


@pytest.fixture(scope="session")
def once(tmp_path_factory, request):
    """Give a function that makes a named value once in a test session, however many workers ask for it."""
    is_worker = hasattr(request.config, "workerinput")
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if is_worker else folder

    def get_or_make(name, make):
        path = folder / f"{name}.pickle"
        with FileLock(f"{path}.lock"):
            if not path.exists():
                path.write_bytes(pickle.dumps(make()))
        return pickle.loads(path.read_bytes())

    return get_or_make


@pytest.fixture(scope="session")
def reproduced(once, paper_system):
    """Give a function that reproduces one set of the published experiments, with the paper's configuration."""
    return lambda name: once(f"reproduced-{name}", lambda: reproduce(load_published().spec, paper_system, [name]))


@pytest.fixture(scope="session")
def validated(once):
    """Give the summary of what `t3sim validate` compares, but for iterations of whole models, which take minutes."""

    def validate():
        wanted = [(name, check) for name, check in checks().items() if name != "models"]
        return [row for name, check in wanted for row in summary(name, check.compare())]

    return once("validated", validate)


@pytest.fixture(scope="session")
def tables():
    """Give the script that writes the tables of README and docs."""
    spec = importlib.util.spec_from_file_location("docs_tables", Path(__file__).parents[2] / "docs" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def shipped():
    """Give a function that picks one sublayer of a shipped trace."""

    def pick(trace, name):
        sublayers = load_trace(trace, folder=traces_dir()).spec.sublayers()
        return next(sublayer for sublayer in sublayers if sublayer.sublayer == name)

    return pick


@pytest.fixture(scope="session")
def gemm_and_all_reduce():
    """Give a builder of fp16 sublayers: a GEMM, the reduce-scatter of its output, and the all-gather."""

    def build(gpus, rows, columns, depth=64):
        nbytes = rows * columns * 2
        operations = (
            Gemm(id="gemm", M=rows, N=columns, K_local=depth, **NAMES),
            Collective(op="reduce_scatter", id="rs", bytes=nbytes, after=("gemm",), **NAMES),
            Collective(op="all_gather", id="ag", bytes=nbytes, after=("rs",), **NAMES),
        )
        return Trace(model="toy", tp=gpus, operations=operations).sublayers()[0]

    return build


@pytest.fixture(scope="session")
def only():
    """Give a builder of sublayers that are one collective and nothing else."""

    def build(collective, gpus, nbytes):
        operation = Collective(op=collective, id="only", bytes=nbytes, **NAMES)
        return Trace(model="toy", tp=gpus, operations=(operation,)).sublayers()[0]

    return build


@pytest.fixture(scope="session")
def rows_of():
    """Give a function that simulates a sublayer: result rows by scheme, all of them ok."""

    def simulate(system, sublayer, *schemes, gpus="mirror"):
        rows = simulate_point(Point(system=system, sublayer=sublayer, gpus=gpus), schemes)
        assert [row["status"] for row in rows] == ["ok"] * len(schemes)
        return {row["scheme"]: row for row in rows}

    return simulate


@pytest.fixture(scope="session")
def outcome_of():
    """Give a function that runs one scheme on a sublayer: its outcome, with the reports of the GPUs."""

    def run(system, sublayer, scheme, gpus="mirror"):
        plans = plans_of(system.spec, sublayer.tp)
        works = lower(sublayer, system.spec.gemm, system.spec.compute.collective_slice, plans)
        return get("scheme", scheme)().simulate(SystemLab(system.spec, sublayer.tp, gpus), works)

    return run
