"""``t3sim reproduce``: the published experiments beside their published values."""

from enum import StrEnum
from typing import Annotated

import typer

from t3sim.cli.app import Format, FormatOption, JobsOption, NoCacheOption, OutOption, SystemOption, app
from t3sim.cli.output import ProgressReport, finish, print_result, with_command, write_result
from t3sim.files import prepare_folder
from t3sim.processes import cores
from t3sim.report.tables import sublayer_table, summary_table, target_table
from t3sim.simulation import load_system
from t3sim.simulation.part_store import without_disk
from t3sim.simulation.run import DEFAULT_SYSTEM
from t3sim.studies import load_published
from t3sim.studies import reproduce as run_study


class ExperimentSet(StrEnum):
    """Which published experiments."""

    BASE = "base"
    LARGE = "large"
    ALL = "all"


@app.command()
def reproduce(
    experiments: Annotated[
        ExperimentSet, typer.Option("--set", help="base: Mega-GPT-2 and T-NLG; large: PaLM and MT-NLG.")
    ] = ExperimentSet.ALL,
    system: SystemOption = DEFAULT_SYSTEM,
    form: FormatOption = Format.TABLE,
    out: OutOption = None,
    jobs: JobsOption = None,
    no_cache: NoCacheOption = False,  # noqa: FBT002 - an option
) -> None:
    """Simulate T3's published experiments and print each published figure beside the simulated one."""
    if no_cache:
        without_disk()
    config = load_system(system)
    published = load_published().spec
    if out is not None:
        prepare_folder(out)
    sets = tuple(published.sets) if experiments is ExperimentSet.ALL else (experiments.value,)
    with ProgressReport() as progress:
        study = run_study(published, config, sets, progress, jobs or cores())
    document = with_command(study.document())
    if out is not None:
        write_result(out, study.result, document, config.resolved)
    summaries = [
        summary_table(part, f"{name}: speedup over sequential", published.speedups(name))
        for name, part in study.by_set.items()
    ]
    tables = [sublayer_table(study.result), *summaries, target_table(study.targets)]
    print_result(study.result, form, document, tables)
    finish(study.result)
