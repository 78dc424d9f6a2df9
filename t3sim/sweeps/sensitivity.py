"""Which parameters an experiment's results hang on: each is varied alone, and all that came out is compared.

The experiment is a sweep over workloads on one system. It gets one more axis, with a case for every change of every
parameter of the system; the runner of sweeps does the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t3sim.config import Loaded
from t3sim.data import sweeps_dir
from t3sim.errors import InputError, Problem
from t3sim.results import COLUMN_NAMES, Row, geomean, read_frame
from t3sim.results.schemes import baseline
from t3sim.sweeps import values
from t3sim.sweeps.combinations import Combinations
from t3sim.sweeps.launch import SweepResult, load_sweep, run_sweep
from t3sim.sweeps.parameters import FACTORS, Parameter, parameters
from t3sim.sweeps.resolve import Resolver
from t3sim.sweeps.runner import Backend, Report
from t3sim.sweeps.spec import SWEEP_FORMAT, SYSTEM_PREFIX, SweepSpec, keys_of
from t3sim.sweeps.table import RESULTS

if TYPE_CHECKING:
    import pandas as pd

BASE = "nothing"
CHANGE = "change"
OUTCOMES = COLUMN_NAMES[COLUMN_NAMES.index("gemm_us") : COLUMN_NAMES.index("tracker_peak_entries") + 1]
"""What a run's results are compared in: every number that comes out, and none that goes in."""
SENSITIVITY_COLUMNS = (
    "rank",
    "parameter",
    "value",
    "change",
    "to",
    "scheme",
    "before",
    "after",
    "effect",
    "status",
    "reason",
)
_WHERE = ("model", "phase", "sublayer", "tp", "topology", "M", "N", "K_local", "dtype", "scheme")


@dataclass(frozen=True)
class Sensitivity:
    """What varying each parameter of an experiment's system did to ``metric``."""

    metric: str
    rows: tuple[Row, ...]
    """One per parameter, change and scheme, by falling effect; one per change that was not made or failed.

    ``effect``: share by which the geometric mean of the metric changed. ``status``: ``ok``; ``no effect`` where no
    change of the parameter moved any outcome of any run; ``not valid``, ``not touched`` or ``failed``.
    """
    swept: SweepResult

    @property
    def failed(self) -> tuple[Row, ...]:
        """Changes whose run failed."""
        return tuple(row for row in self.rows if row["status"] == "failed")


def is_sweep(ref: str, form: str | None) -> bool:
    """Say whether an experiment is a sweep; ``form``: what its file says it is, if it is a file."""
    return form == SWEEP_FORMAT or (form is None and (sweeps_dir() / f"{ref}.yaml").exists())


def load_experiment(ref: str | Path | Mapping[str, Any]) -> tuple[Loaded[SweepSpec], list[Parameter]]:
    """Load a sweep with the axis that varies its system, and what is varied.

    Raises ``InputError`` for what is no sweep, or one whose axes set the system themselves.
    """
    spec = load_sweep(ref)
    for key in sorted({key for axis in spec.spec.axes for key in keys_of(axis)}):
        if key == "system" or key.startswith(SYSTEM_PREFIX):
            message = "an axis sets what is to be varied; take a sweep over workloads, or set it in base"
            raise InputError(Problem(message=message, file=str(spec.path), key=key))
    if CHANGE in Combinations(spec.spec).columns:
        raise InputError(Problem(message="an axis has the name of the changes", file=str(spec.path), key=CHANGE))
    resolver, base = Resolver(), spec.spec.base
    found = list(
        parameters(resolver.system(base), lambda key, value: resolver.system({**base, f"{SYSTEM_PREFIX}{key}": value}))
    )
    _leave_untouched(found, spec.spec, resolver)
    cases: list[dict[str, Any]] = [{"label": BASE}]
    for parameter in found:
        key = f"{SYSTEM_PREFIX}{parameter.key}"
        cases += [{"label": _label(parameter, name), "set": {key: to}} for name, to in parameter.changed.items()]
    data = {key: item for key, item in spec.resolved.items() if key not in ("format", "version")}
    axes = [{"kind": "cases", "name": CHANGE, "cases": cases}, *data.get("axes", ())]
    return load_sweep({**data, "axes": axes}), found


def run_sensitivity(
    experiment: tuple[Loaded[SweepSpec], list[Parameter]],
    folder: Path,
    backend: Backend,
    *,
    metric: str = "speedup",
    report: Report = lambda _: None,
    announce: Report = lambda _: None,
) -> Sensitivity:
    """Run an experiment with every change into ``folder``, and rank the parameters by what they do to ``metric``.

    Raises ``InputError`` for a metric that is none or not above zero everywhere, a folder that cannot be written to,
    and an experiment of which no point can be run unchanged; ``KeyboardInterrupt`` after what is finished is kept.
    """
    if metric not in OUTCOMES:
        raise InputError(Problem(message="is no outcome of a run", key="--metric", value=metric, known=OUTCOMES))
    spec, found = experiment
    swept = run_sweep(spec, folder, backend, report=report, announce=announce)
    if swept.interrupted:
        raise KeyboardInterrupt
    frame = read_frame(folder / RESULTS)
    base = frame[frame[CHANGE] == BASE]
    if (wrong := base[base["status"] != "ok"]).shape[0]:
        raise InputError(Problem(message=f"fails without any change: {wrong.iloc[0]['error_message']}"))
    if not bool((base[metric] > 0).all()):
        raise InputError(Problem(message="is not above zero in every run", key="--metric", value=metric))
    axes = [name for name in frame.columns if name not in (*COLUMN_NAMES, CHANGE, f"{CHANGE}.note")]
    frame = frame.set_index([*_WHERE, *axes], drop=False)
    blocks = {str(label): block for label, block in frame.groupby(CHANGE, sort=False)}
    compared = [_compared(parameter, blocks, metric) for parameter in found]
    return Sensitivity(metric, tuple(_ranked(compared)), swept)


def _leave_untouched(found: Sequence[Parameter], spec: SweepSpec, resolver: Resolver) -> None:
    """Take back the changes of what no run of the experiment looks at: policies of other schemes, other dtypes."""
    tasks = [task for combination in Combinations(spec) for task in resolver.tasks(combination.settings)]
    policies = {"default", baseline(), *(scheme for task in tasks for scheme in task.schemes)}
    dtypes = {op.dtype for task in tasks for op in resolver.job(task).point.sublayer.operations}
    for parameter in found:
        part, _, rest = parameter.key.partition(".")
        other_policy = part == "arbitration" and rest.split(".")[0] not in policies
        other_dtype = parameter.key.startswith("compute.matrix_flops_per_cycle.") and rest.split(".")[1] not in dtypes
        if other_policy or other_dtype:
            parameter.changed.clear()
            parameter.refused = dict.fromkeys(FACTORS, "not touched: the runs have no such scheme or dtype")


def _label(parameter: Parameter, name: str) -> str:
    return f"{parameter.key} {name}"


def _compared(parameter: Parameter, blocks: Mapping[str, "pd.DataFrame"], metric: str) -> list[Row]:
    """Compare each change of a parameter with the base, scheme by scheme."""
    rows: list[Row] = []
    moved = False
    for name in FACTORS:
        known = {"parameter": parameter.key, "value": values.text(parameter.value), "change": name}
        if name in parameter.refused:
            reason = parameter.refused[name]
            rows.append({**known, "status": "not touched" if reason.startswith("not touched") else "not valid"})
            rows[-1]["reason"] = reason
            continue
        known["to"] = values.text(parameter.changed[name])
        base, block = blocks[BASE], blocks[_label(parameter, name)]
        if (wrong := block[block["status"] != "ok"]).shape[0]:
            refused = bool((wrong["error_type"] == "InputError").all())
            rows.append(
                {**known, "status": "not valid" if refused else "failed", "reason": wrong.iloc[0]["error_message"]}
            )
            continue
        block = block.loc[base.index]
        moved = moved or not block[list(OUTCOMES)].equals(base[list(OUTCOMES)])
        for scheme in base["scheme"].unique():
            before, after = (geomean(part.loc[part["scheme"] == scheme, metric].tolist()) for part in (base, block))
            numbers = {"before": before, "after": after, "effect": after / before - 1}
            rows.append({**known, "scheme": scheme, **numbers, "status": "ok"})
    for row in rows:
        if row["status"] == "ok" and not moved:
            row["status"] = "no effect"
    return rows


def _ranked(compared: Sequence[list[Row]]) -> list[Row]:
    """Put the parameters in order: by their largest effect, then what had none, then what could not be tried."""

    def order(rows: list[Row]) -> tuple[int, float]:
        statuses = {row["status"] for row in rows}
        kind = 0 if "ok" in statuses else 1 if "no effect" in statuses else 2
        return kind, -max((abs(row.get("effect", 0.0)) for row in rows), default=0.0)

    found = []
    for number, rows in enumerate(sorted(compared, key=order), start=1):
        has_rank = any(row["status"] == "ok" for row in rows)
        found += [{**dict.fromkeys(SENSITIVITY_COLUMNS), **row, "rank": number if has_rank else None} for row in rows]
    return found
