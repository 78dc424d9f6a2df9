"""The whole way of a sweep, from its file to its folder of results."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t3sim.config import Document, Draft, Loaded, draft, dump_yaml
from t3sim.data import sweeps_dir
from t3sim.files import prepare_folder, write_files
from t3sim.processes import cores
from t3sim.results import read_frame
from t3sim.sweeps.check import check_sweep
from t3sim.sweeps.combinations import Combinations
from t3sim.sweeps.dask import DaskPool
from t3sim.sweeps.journal import Journal
from t3sim.sweeps.pool import LocalPool
from t3sim.sweeps.resolve import Resolver
from t3sim.sweeps.runner import Backend, Report, Runner, Tally
from t3sim.sweeps.spec import SWEEP_FORMAT, SweepSpec
from t3sim.sweeps.table import RESULTS, Written, write_table
from t3sim.version import __version__, code_version

if TYPE_CHECKING:
    import pandas as pd

SPEC_FILE = "sweep.yaml"
MANIFEST = "run.json"
_HEADER = ("format", "version")


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What became of a sweep."""

    folder: Path
    tally: Tally
    written: Written
    dropped: int
    """Damaged records of the journal, whose points were run again."""
    interrupted: bool


def load_sweep(ref: str | Path | Mapping[str, Any]) -> Loaded[SweepSpec]:
    """Load a sweep by name or path, or from plain data as a file would hold it.

    Raises ``InputError`` with everything that can be seen to be wrong with it before anything runs.
    """
    if isinstance(ref, Mapping):
        given = Document({key: ref[key] for key in ref if key not in _HEADER}, {(): ("sweep", None)})
        described = Draft(given, (), Path("sweep"), SWEEP_FORMAT, sweeps_dir())
    else:
        described = draft(ref, folder=sweeps_dir(), format_name=SWEEP_FORMAT)
    loaded = described.checked(SweepSpec)
    check_sweep(loaded.spec, Resolver(), described.document.lines)
    return loaded


def run_sweep(
    spec: Loaded[SweepSpec],
    folder: Path,
    backend: Backend,
    *,
    shard: tuple[int, int] = (1, 1),
    fail_fast: bool = False,
    retry_failed: bool = False,
    report: Report = lambda _: None,
    announce: Report = lambda _: None,
) -> SweepResult:
    """Run what ``folder`` does not have yet of a sweep, and write its table there.

    ``announce`` is called once, when it is known what there is to do, and ``report`` after every point. Ctrl-C ends
    the run early, with the table of what is finished. Raises ``InputError`` when the folder is in use or cannot be
    written to, and ``JournalError`` when the disk refuses a result later on.
    """
    prepare_folder(folder)
    with Journal(folder) as journal:
        runner = Runner(Combinations(spec.spec), journal, Resolver(), shard, retry_failed, fail_fast, report)
        announce(runner.count())
        interrupted = False
        try:
            runner.run(backend)
        except KeyboardInterrupt:
            interrupted = True
        written = _write(folder, spec, runner, shard)
        return SweepResult(folder, runner.tally, written, journal.dropped, interrupted)


def merge(spec: Loaded[SweepSpec], folders: Sequence[Path], out: Path) -> SweepResult:
    """Put the finished points of several folders of a sweep, such as its shards, into one table in ``out``.

    Raises ``InputError`` when a folder has no journal, or ``out`` cannot be written to.
    """
    prepare_folder(out)
    with Journal(out) as journal:
        for folder in folders:
            journal.take(folder)
        runner = Runner(Combinations(spec.spec), journal, Resolver())
        runner.count()
        return SweepResult(out, runner.tally, _write(out, spec, runner, (1, 1)), journal.dropped, interrupted=False)


def sweep(
    spec: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    jobs: int | None = None,
    dask: str | None = None,
    fail_fast: bool = False,
) -> "pd.DataFrame":
    """Run a sweep and return its table, one row per combination, sublayer and scheme.

    ``spec``: name of a shipped sweep, a path, or plain data as a file would hold it. ``out``: folder of results, from
    which an interrupted sweep goes on; none: nothing is kept. ``jobs``: processes; none: as many as there are cores.
    ``dask``: address of a Dask scheduler, whose workers then run the points. Failed points are rows of status
    ``failed``. Raises ``InputError`` for a spec or a folder that cannot be.
    """
    loaded = load_sweep(spec)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch if out is None else out)
        backend = LocalPool(jobs or cores()) if dask is None else DaskPool(dask)
        result = run_sweep(loaded, folder, backend, fail_fast=fail_fast)
        if result.interrupted:
            raise KeyboardInterrupt
        return read_frame(folder / RESULTS)


def _write(folder: Path, spec: Loaded[SweepSpec], runner: Runner, shard: tuple[int, int]) -> Written:
    written = write_table(folder / RESULTS, runner.combinations, runner.recipes, runner.journal)
    manifest = {
        "sweep": spec.spec.name,
        "t3sim": __version__,
        "code": code_version(),
        "shard": "{}/{}".format(*shard),
        "combinations": runner.tally.combinations,
        "points": runner.tally.points,
        "unfinished": runner.tally.left,
        "rows": written.rows,
        "failed_rows": written.failed,
    }
    write_files(folder, {MANIFEST: f"{json.dumps(manifest, indent=1)}\n", SPEC_FILE: dump_yaml(spec.resolved)})
    return written
