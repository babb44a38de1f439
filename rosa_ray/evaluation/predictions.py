"""The prediction table: scores of every impression beside its keys and labels."""

from collections.abc import Mapping

import numpy as np

from rosa_ray.calibration import sampled_probability
from rosa_ray.features import EncodedUsers
from rosa_ray.features.encoding import owners

RAW_SCORES = ("p_ctr", "p_cvr", "value")
"""Scores that predictions of a bundle also hold before calibration, as `raw_p_ctr` and so on."""

COPIED = (
    "impression_key",
    "request_key",
    "split",
    "time_us",
    "device_key",
    "campaign_key",
    "click",
    "conversion",
    "revenue",
    "cost",
    "propensity",
    "expected_cost",
    "price",
    "bid",
)


def prediction_columns(users: EncodedUsers, scores: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Join scores, from `rosa_ray.inference.predict`, with the impressions they belong to.

    Returns:
        user_key, the columns of `COPIED` and those of `SCORES`, each (I,); a user's rows stand together.
    """
    return {
        "user_key": users.user_key[owners(users.impression_offsets)],
        **{name: users.impressions[name] for name in COPIED},
        **scores,
    }


def raw_columns(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Predictions with the raw scores in the place of the calibrated ones."""
    raw = {name: columns[f"raw_{name}"] for name in RAW_SCORES}
    return {**columns, **raw, "p_ctcvr": raw["p_ctr"] * raw["p_cvr"]}


def as_logged(columns: Mapping[str, np.ndarray], negative_keep_rate: float) -> dict[str, np.ndarray]:
    """Predictions for the impressions that a sampled log kept, to be measured against its labels.

    Calibrated probabilities are of all impressions; the test period of a sampled log lacks most of those without a
    click.
    """
    if negative_keep_rate == 1.0:
        return dict(columns)
    p_ctr = sampled_probability(columns["p_ctr"], negative_keep_rate)
    return {**columns, "p_ctr": p_ctr, "p_ctcvr": p_ctr * columns["p_cvr"]}
