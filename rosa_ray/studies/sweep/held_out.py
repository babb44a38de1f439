"""What a sweep looks for, measured on the validation period and never on the test period, from raw scores.

Raw, because a calibration is fitted on that same period. The value of a policy is measured in the best way that the
log allows, which is the same for all trials of a sweep:

- `exact`: every validation request shows its best candidate, at the expectations that the simulator alone knows.
- `snips`: the same policy, estimated from what the log shows and its propensities (Swaminathan & Joachims 2015).

Without candidates of that period neither can be known, and `label_loss` takes the place of `policy_roi`: the log loss
of clicks plus that of conversions, both per impression. Every row counts, and the true probabilities have the least.
The logged return of the best-scored impressions, up to a budget, looks nearer to the wish, and misleads: it hangs on a
few dozen conversions of ads that a former policy chose. It ranked trials against their true return (correlation -.45).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.data.user_rows import list_user_files
from rosa_ray.errors import TrainingError
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.evaluation.policy_value import estimated_value, join_truth, read_truth
from rosa_ray.evaluation.predictions import of_split
from rosa_ray.features import Split, UserRows
from rosa_ray.metrics import evaluate_policy, evaluate_predictions
from rosa_ray.run_dir import DataDir
from rosa_ray.storage import read_parquet
from rosa_ray.studies.trial import TrialRun

POLICY_VALUES = {
    "exact": "expected ROI of showing each validation request its best ad, by the simulator's truth",
    "snips": "ROI of showing each validation request its best ad, estimated from propensities (SNIPS)",
}
"""How a policy is valued, best first, in words."""


def held_out_figures(run: TrialRun) -> dict[str, Any]:
    """Score the validation period with a fitted trial and measure.

    Returns:
        `policy_roi` and how it was measured, `policy_value`, a key of `POLICY_VALUES`; each way, where the log allows
        it, as `policy_roi_exact` and `policy_roi_snips`; `label_loss`; `auc`, `ctcvr_auc`, `logloss`, `ctcvr_logloss`,
        `pcoc`, `ctcvr_pcoc`; and `calibration`, the worse of |log PCOC| of clicks and of conversions. None where
        undefined.
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
        "label_loss": metrics["logloss"] + metrics["ctcvr_logloss"],
        **{name: metrics[name] for name in ("auc", "ctcvr_auc", "logloss", "ctcvr_logloss", "pcoc", "ctcvr_pcoc")},
        "calibration": miscalibration(metrics["pcoc"], metrics["ctcvr_pcoc"]),
    }


def policy_value_of(layout: DataDir, log_dir: str) -> str | None:
    """How the validation period's policy can be valued: a key of `POLICY_VALUES`, None where it cannot.

    Args:
        layout: where the preprocessed data is.
        log_dir: the log behind it, which may have a truth.
    """
    candidates = propensities = False
    for path, _ in list_user_files(layout.users):
        shown = UserRows.from_table(read_parquet(path)).impressions
        candidates |= bool((shown["split"] == Split.VALID_POLICY).any())
        propensities |= bool(np.isfinite(shown["propensity"][shown["split"] == Split.VALID]).any())
    if candidates and read_truth(log_dir) is not None:
        return "exact"
    return "snips" if candidates and propensities else None


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
    values: dict[str, float | None] = dict.fromkeys(POLICY_VALUES)
    if not len(candidates["request_key"]):
        return values
    truth = read_truth(log_dir)
    if truth is not None:
        joined = join_truth(truth, candidates["impression_key"], log_dir)
        values["exact"] = evaluate_policy(config.yardstick, candidates, joined)["policy_roi"]
    ranking, clip = config.yardstick, config.off_policy_clip
    off_policy = estimated_value(shown, candidates, ranking, clip)["off_policy"] or {}
    estimate = (off_policy.get("snips") or {}).get("roi")
    values["snips"] = estimate["estimate"] if estimate else None
    return values


def miscalibration(*pcocs: float | None) -> float | None:
    """Worst |log PCOC|, 0 at best; None where one is 0 or all are undefined.

    A period without conversions leaves theirs undefined, for every trial alike: the others decide.

    >>> round(miscalibration(0.5, 1.1), 3), miscalibration(1.0, None), miscalibration(1.0, 0.0)
    (0.693, 0.0, None)
    """
    known = [pcoc for pcoc in pcocs if pcoc is not None]
    return max(abs(math.log(pcoc)) for pcoc in known) if known and all(known) else None


def _score(run: TrialRun) -> dict[str, np.ndarray]:
    scorer = run.scorer()
    parts = [scorer.score(scorer.encode(table), Split.VALID, Split.VALID_POLICY) for table in run.tables()]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
