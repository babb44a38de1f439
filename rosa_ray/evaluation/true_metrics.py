"""Metrics of a period against the simulator's true probabilities: AUC*, KL* and PCOC* of clicks and of conversions.

The test period is measured over all its candidates, where the log has them: what was shown is what a former policy
liked, and a model must be right about the rest as well. Clicks weigh what a row stands for; conversions weigh that
times the true probability of the click, since only a click can convert.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rosa_ray.arrays import Columns, Floats
from rosa_ray.evaluation.policy_value import join_truth, no_truth, read_truth
from rosa_ray.evaluation.predictions import read_predictions
from rosa_ray.features import Split
from rosa_ray.metrics import TrueHead

_HEADS = ("", "cvr_")
_NAMES = ("auc", "auc_ceiling", "excess_logloss", "pcoc")

TRUE_FIGURES = tuple(f"true_{head}{name}" for name in _NAMES for head in _HEADS)
"""Figures of `true_metrics`, clicks and conversions by turns."""

SHOWN_FIGURES = tuple(name.replace("true_", "true_shown_", 1) for name in TRUE_FIGURES)
"""The same of the test period over its shown impressions, beside the sampled ones of the same rows."""

_OVER = {Split.TEST: (Split.POLICY, Split.TEST), Split.VALID: (Split.VALID,)}
"""Rows that a period is measured over: of the first split that has any."""

_COLUMNS = ("user_key", "impression_key", "p_ctr", "p_cvr", "weight")


@dataclass(frozen=True)
class HeadTruth:
    """One head beside its truth, each array (n,).

    Attributes:
        prefix: of its metrics.
        scores, truth: predicted and true probabilities.
        weight: what each row weighs.
    """

    prefix: str
    scores: Floats
    truth: Floats
    weight: Floats


def true_metrics(files: Sequence[str], split: Split, log_dir: str) -> dict[str, Any]:
    """Measure the test or the validation period against the truth.

    Args:
        files: of predictions.

    Returns:
        `TRUE_FIGURES`, those of the test period over its candidates; `true_rows`, how many rows they are of; in the
        test period `SHOWN_FIGURES`; and `undefined`, the reason of every figure that is None.

    Raises:
        InputError: the truth lacks an impression.
    """
    names = (*TRUE_FIGURES, *(SHOWN_FIGURES if split == Split.TEST else ()))
    rows, reason = true_rows(files, split, log_dir)
    if rows is None:
        return {**dict.fromkeys(names), "true_rows": 0, "undefined": dict.fromkeys(names, reason)}
    found = _figures(rows, "")
    if split == Split.TEST:
        shown, reason = true_rows(files, split, log_dir, shown=True)
        found |= _figures(shown, "shown_") if shown is not None else dict.fromkeys(SHOWN_FIGURES)
    reasons = {name: reason or "nothing can be clicked" for name in names if found[name] is None}
    return {**{name: found[name] for name in names}, "true_rows": len(rows["p_ctr"]), "undefined": reasons}


def _figures(rows: Columns, prefix: str) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for head in heads_of(rows):
        found |= TrueHead().update(head.scores, head.truth, head.weight).compute(f"{prefix}{head.prefix}")
    return found


def true_rows(files: Sequence[str], split: Split, log_dir: str, *, shown: bool = False) -> tuple[Columns | None, str]:
    """Predictions of a period with `true_p_ctr` and `true_p_cvr`; None with the reason.

    Args:
        split: the test period has its candidates, where there are any; the validation period what was shown.
        shown: of the test period too what was shown.
    """
    truth = read_truth(log_dir)
    if truth is None:
        return None, no_truth(log_dir)
    if not {"p_ctr", "p_cvr"} <= truth.keys():
        return None, f"the truth of {log_dir} has no probabilities"
    for over in (split,) if shown else _OVER[split]:
        rows = read_predictions(files, over, _COLUMNS)
        if len(rows["p_ctr"]):
            joined = join_truth(truth, rows["impression_key"], log_dir)
            return {**rows, "true_p_ctr": joined["p_ctr"], "true_p_cvr": joined["p_cvr"]}, ""
    return None, "no impression"


def heads_of(rows: Columns) -> Iterator[HeadTruth]:
    """Yield clicks and conversions of `true_rows`."""
    weight = np.asarray(rows["weight"], np.float64)
    yield HeadTruth("", rows["p_ctr"], rows["true_p_ctr"], weight)
    yield HeadTruth("cvr_", rows["p_cvr"], rows["true_p_cvr"], weight * rows["true_p_ctr"])
