"""What a sweep looks for, measured on the validation period and never on the test period, from raw scores.

Raw, because a calibration is fitted on that same period. The value of a policy is measured in the best way that the
log allows, which is the same for all trials of a sweep:

- `exact`: every validation request shows its best candidate, at the expectations that the simulator alone knows.
- `snips`: the same policy, estimated from what the log shows and its propensities (Swaminathan & Joachims 2015).
- `half_spend`: without candidates of that period, the shown impressions with the best scores are bought until half of
  the period's spend is gone; every impression's revenue and cost are known, so this needs no propensities.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.errors import TrainingError
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.evaluation.policy_value import estimated_value, join_truth, policy_scores, read_truth
from rosa_ray.evaluation.predictions import of_split
from rosa_ray.features import Split
from rosa_ray.metrics import evaluate_policy, evaluate_predictions, serving_curve
from rosa_ray.studies.trial import TrialRun

POLICY_VALUES = {
    "exact": "expected ROI of showing each validation request its best ad, by the simulator's truth",
    "snips": "ROI of showing each validation request its best ad, estimated from propensities (SNIPS)",
    "half_spend": "logged ROI of the validation impressions that score best, up to half of the period's spend",
}
"""How a policy is valued, best first, in words."""


def held_out_figures(run: TrialRun) -> dict[str, Any]:
    """Score the validation period with a fitted trial and measure.

    Returns:
        `policy_roi` and how it was measured, `policy_value`, a key of `POLICY_VALUES`; the other two, where the log
        allows them, as `policy_roi_snips` and the like; `auc`, `ctcvr_auc`, `logloss`, `pcoc`, `ctcvr_pcoc`; and
        `calibration`, the worse of |log PCOC| of clicks and of conversions. None where undefined.
    """
    rows = _score(run)
    shown, candidates = (of_split(rows, split) for split in (Split.VALID, Split.VALID_POLICY))
    metrics = evaluate_predictions(shown)
    values = policy_values(shown, candidates, run.trial.log_dir, run.trial.evaluation)
    how = next((name for name in POLICY_VALUES if values[name] is not None), None)
    return {
        "policy_roi": values[how] if how else None,
        "policy_value": how,
        **{f"policy_roi_{name}": value for name, value in values.items()},
        **{name: metrics[name] for name in ("auc", "ctcvr_auc", "logloss", "pcoc", "ctcvr_pcoc")},
        "calibration": miscalibration(metrics["pcoc"], metrics["ctcvr_pcoc"]),
    }


def require_objectives(figures: Mapping[str, Any], names: tuple[str, ...]) -> list[float]:
    """Return the objectives of a trial, in order.

    Raises:
        TrainingError: one is undefined.
    """
    missing = [name for name in names if figures[name] is None]
    if missing:
        raise TrainingError(
            f"{', '.join(missing)} undefined on the validation period: it lacks clicks or conversions; raise "
            "preprocess.valid_fraction or choose other tune.objectives"
        )
    return [float(figures[name]) for name in names]


def policy_values(
    shown: Columns, candidates: Columns, log_dir: str, config: EvaluationConfig
) -> dict[str, float | None]:
    """ROI of ranking by a model, in every way of `POLICY_VALUES`; None where the log does not allow it."""
    values: dict[str, float | None] = {"exact": None, "snips": None, "half_spend": _half_spend(shown, config)}
    if not len(candidates["request_key"]):
        return values
    truth = read_truth(log_dir)
    if truth is not None:
        joined = join_truth(truth, candidates["impression_key"], log_dir)
        values["exact"] = evaluate_policy(config.score, candidates, joined)["policy_roi"]
    estimate = ((estimated_value(shown, candidates, config)["off_policy"] or {}).get("snips") or {}).get("roi")
    values["snips"] = estimate["estimate"] if estimate else None
    return values


def miscalibration(*pcocs: float | None) -> float | None:
    """Worst |log PCOC|, 0 at best; None where one is undefined or 0.

    >>> round(miscalibration(0.5, 1.1), 3), miscalibration(1.0, None)
    (0.693, None)
    """
    known = [pcoc for pcoc in pcocs if pcoc]
    return max(abs(math.log(pcoc)) for pcoc in known) if len(known) == len(pcocs) else None


def _half_spend(shown: Columns, config: EvaluationConfig) -> float | None:
    keys, cost = shown["impression_key"], shown["cost"]
    scores = policy_scores(shown, config.score)
    curve = serving_curve(scores, shown["revenue"], cost, np.arange(len(keys)), keys)
    return curve.at_budgets([0.5 * float(cost.sum())])[0]["roi"] if cost.sum() else None


def _score(run: TrialRun) -> dict[str, np.ndarray]:
    scorer = run.scorer()
    parts = [scorer.score(scorer.encode(table), Split.VALID, Split.VALID_POLICY) for table in run.tables()]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
