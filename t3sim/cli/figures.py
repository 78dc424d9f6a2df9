"""``t3sim figures``: the published experiments as the figures of T3's evaluation."""

from pathlib import Path
from typing import Annotated

import typer

from t3sim.cli.app import JobsOption, NoCacheOption, SystemOption, app
from t3sim.cli.output import ProgressReport, finish
from t3sim.cli.reproduce import ExperimentSet
from t3sim.files import prepare_folder, write_files
from t3sim.processes import cores
from t3sim.report.paper_figures import by_point, dram_accesses, dram_traffic, speedups, sublayer_times
from t3sim.report.text import rows_csv
from t3sim.simulation import load_system
from t3sim.simulation.lab import ONE
from t3sim.simulation.part_store import without_disk
from t3sim.simulation.run import DEFAULT_SYSTEM, load_points
from t3sim.studies import load_published
from t3sim.studies import reproduce as run_study
from t3sim.studies.traffic import record_traffic

_TRAFFIC_SCHEMES = ("sequential", "t3", "t3-mca")


@app.command()
def figures(
    out: Annotated[Path, typer.Option("--out", help="Folder for the SVG files and results.csv.", file_okay=False)],
    experiments: Annotated[
        ExperimentSet, typer.Option("--set", help="base: Mega-GPT-2 and T-NLG; large: PaLM and MT-NLG.")
    ] = ExperimentSet.BASE,
    system: SystemOption = DEFAULT_SYSTEM,
    traffic: Annotated[
        str, typer.Option(help="Trace and sublayer whose DRAM traffic over time is drawn.")
    ] = "t-nlg-tp8:fc2",
    jobs: JobsOption = None,
    no_cache: NoCacheOption = False,  # noqa: FBT002 - an option
) -> None:
    """Simulate T3's published experiments and draw them: times, speedups, DRAM accesses, DRAM traffic over time."""
    if no_cache:
        without_disk()
    config = load_system(system)
    published = load_published().spec
    prepare_folder(out)
    trace, _, sublayer = traffic.partition(":")
    (point, *_), _ = load_points(trace, system, [sublayer] if sublayer else [], [], (), ONE)
    sets = tuple(published.sets) if experiments is ExperimentSet.ALL else (experiments.value,)
    with ProgressReport() as progress:
        result = run_study(published, config, sets, progress, jobs or cores()).result
        points = by_point(result.rows)
        title = f"{point.sublayer.label} on {config.spec.name}"
        contents = {
            "sublayer-times.svg": sublayer_times(points),
            "speedups.svg": speedups(points),
            "dram-accesses.svg": dram_accesses(points, "t3-mca"),
            "dram-traffic.svg": dram_traffic(title, record_traffic(point, _TRAFFIC_SCHEMES, jobs or cores())),
            "results.csv": rows_csv(result.rows),
        }
    write_files(out, contents)
    typer.echo(f"wrote {', '.join(contents)} to {out}", err=True)
    finish(result)
