"""One trial of a sweep: epochs as Ray Tune asks for them, then the objectives of its best weights."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rosa_ray.errors import RosaError
from rosa_ray.storage import read_json
from rosa_ray.studies.sweep.held_out import held_out_figures
from rosa_ray.studies.trial import Record, Trial, TrialRun
from rosa_ray.training.config import GateTrainingConfig
from rosa_ray.training.schedule import best_record


@dataclass(frozen=True)
class SweepTrial(Trial):
    """A trial as it was drawn, and what the bundle of a winner also needs.

    Attributes:
        number: Optuna's; 0 is the configured run.
        params: what is drawn.
        config: the run's config with these parameters, plain values.
    """

    number: int
    params: Mapping[str, Any]
    gate: GateTrainingConfig
    config: Mapping[str, Any]

    def result(self) -> Record:
        """Last record of a finished trial."""
        return read_json(self.place.result)


def trial_records(trial: SweepTrial) -> Iterator[Record]:
    """Train, and yield a record per epoch.

    Yields:
        epoch, seconds and the validation figures of the epoch. The last record also has `figures`, those of
        `held_out_figures`, best_epoch and the seconds of all epochs as `total_seconds`. Where training cannot go on,
        it is an `error` alone: only a process that dies is worth another try.
    """
    try:
        yield from _records(trial)
    except RosaError as error:
        yield {"error": str(error)}
    except Exception as error:
        yield {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}


def _records(trial: SweepTrial) -> Iterator[Record]:
    run = TrialRun(trial)
    kept = run.kept(trial.place.result)
    if kept is None:
        yield from map(_brief, run.epochs())
        kept = _measure(run)
    yield kept


def _measure(run: TrialRun) -> Record:
    history = run.fit()["history"]
    best = best_record(run.trial.job.training, history) or {}
    result = {
        **_brief(history[-1]),
        "best_epoch": best.get("epoch"),
        "best": dict(best),
        "total_seconds": round(sum(record["seconds"] for record in history), 1),
        "figures": held_out_figures(run),
    }
    return run.keep(result, run.trial.place.result)


def _brief(record: Mapping[str, Any]) -> Record:
    shown = ("epoch", "seconds")
    return {name: value for name, value in record.items() if name in shown or name.startswith("valid_")}
