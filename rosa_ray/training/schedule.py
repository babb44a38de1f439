"""What the history of epochs decides: the learning rate, the best epoch, and when to stop.

All are pure functions of the history, which every worker shares, so all workers decide alike and a resumed run
decides as the uninterrupted one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rosa_ray.training.config import TrainingConfig

FALLBACK_MONITOR = "valid_logloss"
"""Decides where the validation period does not define the monitor."""

EpochRecord = Mapping[str, Any]
"""Figures of one epoch, among them `epoch` (from 1) and the monitor."""


def learning_rate(config: TrainingConfig, step: int, history: Sequence[EpochRecord]) -> float:
    """Learning rate of a step.

    Args:
        step: steps taken before it, over all epochs.
        history: finished epochs.

    >>> config = TrainingConfig(learning_rate=1.0, warmup_steps=4, schedule="cosine", epochs=2)
    >>> learning_rate(config, 0, []), learning_rate(config, 9, []), round(learning_rate(config, 9, [{}]), 3)
    (0.25, 1.0, 0.5)
    """
    warm = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    return config.learning_rate * warm * _factor(config, history)


def part_factors(config: TrainingConfig, history: Sequence[EpochRecord]) -> dict[str, float]:
    """Factor of the learning rate for each part of `rosa_ray.models.PARTS` in the epoch after `history`.

    >>> from rosa_ray.training.config import PartRates
    >>> config = TrainingConfig(rates=PartRates(encoder=0.5), freeze_epochs=1)
    >>> part_factors(config, []), part_factors(config, [{}])
    ({'tables': 0.0, 'encoder': 0.0}, {'tables': 1.0, 'encoder': 0.5})
    """
    thawed = len(history) >= config.freeze_epochs
    return {part: factor if thawed else 0.0 for part, factor in asdict(config.rates).items()}


def monitored(config: TrainingConfig, record: EpochRecord) -> float:
    """How good an epoch is by the monitor: the larger, the better.

    A log loss is always defined. Another monitor may be undefined on a validation period of one class. Then the log
    loss of clicks takes its place.

    >>> monitored(TrainingConfig(monitor="valid_auc"), {"valid_auc": None, "valid_logloss": 0.25})
    -0.25
    """
    value = record[config.monitor]
    if value is None:
        return -float(record[FALLBACK_MONITOR])
    return float(value) if config.monitor_mode == "max" else -float(value)


def best_record(config: TrainingConfig, history: Sequence[EpochRecord], min_delta: float = 0.0) -> EpochRecord | None:
    """The epoch with the best monitor, the first of equals; later ones must be better by more than `min_delta`."""
    best: EpochRecord | None = None
    for record in history:
        if best is None or monitored(config, record) > monitored(config, best) + min_delta:
            best = record
    return best


def is_finished(config: TrainingConfig, history: Sequence[EpochRecord]) -> bool:
    """Whether all epochs are done or the last `patience` ones brought no new best.

    >>> config = TrainingConfig(epochs=9, patience=2, monitor="valid_auc")
    >>> history = [{"epoch": n, "valid_auc": auc} for n, auc in enumerate([0.6, 0.7, 0.69, 0.7], start=1)]
    >>> is_finished(config, history[:3]), is_finished(config, history)
    (False, True)
    """
    best = best_record(config, history, config.min_delta)
    if best is None:
        return False
    return len(history) >= config.epochs or len(history) - best["epoch"] >= config.patience


def _factor(config: TrainingConfig, history: Sequence[EpochRecord]) -> float:
    if config.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * len(history) / config.epochs))
    if config.schedule == "plateau":
        bests = [best_record(config, history[: n + 1], config.min_delta) for n in range(len(history))]
        return math.prod(0.5 for record, best in zip(history, bests, strict=True) if record is not best)
    return 1.0
