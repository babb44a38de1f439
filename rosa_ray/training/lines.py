"""What training says to people, a line each: its epochs, heads that are off, who chose the best epoch."""

from collections.abc import Mapping

from rosa_ray.models import LossConfig, bills_clicks, task_weights, unlabelled_tasks
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.schedule import FALLBACK_MONITOR, EpochRecord


def epoch_line(record: EpochRecord) -> str:
    """One line for people about an epoch; above it another where the epoch began at a checkpoint.

    Tasks that are off have no loss, and stand in no line.
    """
    trained = [task for task in ("ctr", "cvr", "roi", "value") if record[f"train_{task}_loss"] is not None]
    losses = " ".join(f"{task} {record[f'train_{task}_loss']:.4f}" for task in trained)
    figures = " ".join(
        f"{name} {'–' if record[f'valid_{name}'] is None else format(record[f'valid_{name}'], '.4f')}"
        for name in ("loss", "auc", "logloss", "ctcvr_auc")
    )
    resumed = record.get("resumed_from_step")
    return ("" if resumed is None else f"resumed from the checkpoint at step {resumed}\n") + (
        f"epoch {record['epoch']:>2}  step {record['step']:>6}  {record['samples_per_s']:>8,.0f} impressions/s  "
        f"train {losses}  valid {figures}  {record['seconds']:.1f} s"
    )


def off_lines(loss: LossConfig, totals: Mapping[str, float]) -> list[str]:
    """A line for people per task that has a weight but no label to learn from, and one where clicks are billed.

    Args:
        totals: of the training period, see `FeatureState`.

    >>> off_lines(LossConfig(gamma=0.0), {"clicks": 9.0, "conversions": 0.0, "revenue": 0.0, "cost": 2.0})[0]
    'conversions are not learned: no conversion among 9 clicks of the training period; their rate stays at 0.5 in 9'
    """
    clicks, weights = totals["clicks"], task_weights(loss)
    words = {
        "cvr": ("conversions are", f"their rate stays at 0.5 in {clicks:,.0f}"),
        "roi": ("ROI is", "the ROI term of the loss is off"),
        "value": ("the value of a conversion is", "it is the ad's price"),
    }
    reasons = {task: reason for task, reason in unlabelled_tasks(totals).items() if weights[task]}
    lines = [f"{words[task][0]} not learned: {reason}; {words[task][1]}" for task, reason in reasons.items()]
    if weights["roi"] and "roi" not in reasons and bills_clicks(totals):
        lines.append("costs come with clicks: the ROI term divides by the cost expected before the request")
    return lines


def undefined_monitor_line(training: TrainingConfig, best: EpochRecord) -> str | None:
    """A line for people where the validation period does not define the monitor, as all its rows are of one class.

    >>> undefined_monitor_line(TrainingConfig(monitor="valid_auc"), {"epoch": 2, "valid_auc": None})
    'valid_auc is undefined on the validation period, which has one class only: valid_logloss chose epoch 2'
    """
    if best[training.monitor] is not None:
        return None
    what = f"{training.monitor} is undefined on the validation period, which has one class only"
    return f"{what}: {FALLBACK_MONITOR} chose epoch {best['epoch']}"
