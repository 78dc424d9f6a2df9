"""``t3sim report``: results as one HTML file."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from t3sim.cli.app import app
from t3sim.cli.table import ResultsArgument, load_results
from t3sim.data import systems_dir
from t3sim.files import prepare_folder, replacing
from t3sim.report.html import Material, build, page, read_material
from t3sim.report.html.material import SYSTEM
from t3sim.simulation import load_system


@app.command()
def report(
    results: ResultsArgument,
    out: Annotated[Path, typer.Option("--out", help="The HTML file.", dir_okay=False)],
) -> None:
    """Write results as one HTML file that needs no network: charts, tables, published figures, parameters, losses.

    It shows what the folder holds: results of run, reproduce or sweep; loss buckets, if `t3sim explain --out` wrote
    them there; a timeline, if `t3sim run --timeline FOLDER/timeline.json.gz` did.
    """
    material = _with_systems(read_material(results, load_results(results, None)), results)
    text = page(build(material))
    prepare_folder(out.parent)
    with replacing(out) as file:
        file.write(text)
    typer.echo(f"wrote {out}, {len(text.encode()) / 1024:.0f} KiB", err=True)


def _with_systems(material: Material, results: Path) -> Material:
    """Add the configuration kept with the results, or else those shipped under the names of their systems."""
    if (kept := results / SYSTEM).exists():
        return replace(material, systems=(load_system(kept).resolved,))
    names = dict.fromkeys(map(str, material.frame["system"])) if "system" in material.frame else {}
    loaded = [load_system(name) for name in names if (systems_dir() / f"{name}.yaml").exists()]
    hashes = set(material.frame["config_hash"]) if "config_hash" in material.frame else set()
    as_run = hashes <= {each.config_hash for each in loaded}
    return replace(material, systems=tuple(each.resolved for each in loaded), systems_as_run=as_run)
