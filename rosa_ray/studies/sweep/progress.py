"""What the driver tells of a sweep while it runs: a line per trial, and an MLflow run nested under the sweep's."""

from collections.abc import Mapping
from typing import Any

from rosa_ray.studies.schedule import TellProgress
from rosa_ray.studies.sweep.trial import SweepTrial
from rosa_ray.tracking import Run, TrackingConfig, open_run


class SweepLog:
    """Progress lines and MLflow runs of the trials.

    Args:
        parent: MLflow run of the sweep.
        total: trials of the sweep, for the lines; `done` of them finished before.
    """

    def __init__(
        self, tracking: TrackingConfig, run_dir: str, parent: Run, total: int, done: int, tell: TellProgress
    ) -> None:
        self._tracking, self._run_dir, self._parent = tracking, run_dir, parent
        self._total, self._done, self._tell = total, done, tell
        self._runs: dict[int, Run] = {}

    def started(self, trial: SweepTrial, run_id: str | None) -> str | None:
        """Open the MLflow run of a trial, or the one it had before; returns its id."""
        tags = {"trial": str(trial.number)}
        run = open_run(
            self._tracking,
            self._run_dir,
            f"trial {trial.number}",
            run_id=run_id,
            parent_run_id=self._parent.run_id,
            tags=tags,
        )
        run.log_params(trial.params)
        self._runs[trial.number] = run
        return run.run_id

    def epoch(self, trial: SweepTrial, record: Mapping[str, Any]) -> None:
        """Record an epoch's validation figures."""
        figures = {name: value for name, value in record.items() if name.startswith("valid_")}
        self._runs[trial.number].log_metrics(figures, step=record["epoch"])

    def complete(self, trial: SweepTrial, values: Mapping[str, float], record: Mapping[str, Any]) -> None:
        """A trial has its objectives."""
        self._runs[trial.number].log_metrics(dict(record["figures"]))
        found = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        epochs = f"epoch {record['best_epoch']} of {record['epoch']}"
        self._end(trial, "complete", f"{found}  ({epochs}, {record['total_seconds']:.0f} s)")

    def stopped(self, trial: SweepTrial, record: Mapping[str, Any], metric: str) -> None:
        """The scheduler stopped a trial."""
        self._end(trial, "stopped", f"after epoch {record['epoch']}, {metric} {record[metric]:.4f}")

    def failed(self, trial: SweepTrial, reason: str) -> None:
        """A trial went wrong."""
        self._end(trial, "failed", reason)

    def _end(self, trial: SweepTrial, state: str, words: str) -> None:
        self._done += 1
        run = self._runs.pop(trial.number)
        run.set_tags({"state": state})
        run.end({"complete": "FINISHED", "stopped": "KILLED"}.get(state, "FAILED"))  # type: ignore[arg-type]
        name = "the config as it is" if trial.number == 0 else ", ".join(map(_setting, trial.params.items()))
        self._tell(f"[{self._done}/{self._total}] trial {trial.number} {state}: {words}  {name}")


def _setting(entry: tuple[str, Any]) -> str:
    key, value = entry
    return f"{key.rpartition('.')[2]} {value:.4g}" if isinstance(value, float) else f"{key.rpartition('.')[2]} {value}"
