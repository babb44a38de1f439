"""95 % intervals over the users of a period, for the figures that hang on few users: calibration, and ranking."""

from collections.abc import Mapping, Sequence

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.evaluation.predictions import read_predictions
from rosa_ray.evaluation.true_metrics import heads_of, true_rows
from rosa_ray.features import Split
from rosa_ray.metrics import BootstrapConfig, Interval, conversion_weights, interval, pcoc_interval, soft_auc_statistic

_COLUMNS = ("user_key", "click", "conversion", "weight", "conversion_weight", "p_ctr", "p_cvr", "p_ctcvr")
_BOOTSTRAP = BootstrapConfig(replicates=200)


def period_intervals(files: Sequence[str], split: Split, log_dir: str) -> dict[str, dict[str, float]]:
    """Return `low` and `high` of `pcoc`, `cvr_pcoc` and `ctcvr_pcoc`, and of `true_auc` and `true_cvr_auc`.

    A figure without an interval is left out.

    Args:
        files: of predictions.
        split: the test or the validation period.
    """
    rows = read_predictions(files, split, _COLUMNS)
    truth, _ = true_rows(files, split, log_dir)
    found = pcoc_intervals(rows) | (_true_aucs(truth) if truth is not None else {})
    return {name: {"low": one.low, "high": one.high} for name, one in found.items() if one is not None}


def pcoc_intervals(rows: Columns) -> dict[str, Interval | None]:
    """Predicted over observed clicks, conversions of clicks, and conversions of impressions; see `Evaluation`."""
    click, conversion, weight = rows["click"], rows["conversion"], rows["weight"]
    bought = conversion_weights(rows, len(click))
    known = bought > 0
    clicked = known & (click == 1)
    heads = {
        "pcoc": ("p_ctr", click, slice(None), weight),
        "cvr_pcoc": ("p_cvr", conversion, clicked, bought),
        "ctcvr_pcoc": ("p_ctcvr", click * conversion, known, bought),
    }
    return {
        name: pcoc_interval(rows[scores][kept], labels[kept], rows["user_key"][kept], _BOOTSTRAP, weights[kept])
        for name, (scores, labels, kept, weights) in heads.items()
    }


def _true_aucs(rows: Mapping[str, np.ndarray]) -> dict[str, Interval | None]:
    found = {}
    for head in heads_of(rows):
        sides = head.weight * head.truth, head.weight * (1 - head.truth)
        found[f"true_{head.prefix}auc"] = interval(
            *soft_auc_statistic(head.scores, *sides, rows["user_key"]), _BOOTSTRAP
        )
    return found
