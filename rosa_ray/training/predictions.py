"""The prediction table: scores of every impression beside its keys and labels."""

import numpy as np

from rosa_ray.features import EncodedUsers
from rosa_ray.features.encoding import owners

COPIED = (
    "impression_key",
    "request_key",
    "split",
    "click",
    "conversion",
    "revenue",
    "cost",
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
