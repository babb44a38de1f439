"""Learn within the day which ads are better than expected, and for whom: Diag-LinUCB over clusters of users.

A user belongs to cluster c with weight w. For each pair of cluster and ad two sums are kept: d of w·p, b of w·(click -
p), over the impressions told, p the click rate that was expected of each. An ad then clicks better than expected by a
share of about

    Σ w·b/(k + d)   with a bonus of   α √(Σ w²/(k + d)),

and the step moves the expected revenue, and so the score, by that share. d also counts impressions from before, as far
as the counters know them: the model has learned from them. The paper adds w² to d. A user of many clusters would then
count several times, so that the share would grow with their number.

Sums commute, so that any process may add to them. They hold what is told, which the model does not know yet. A model
that learned of it starts with empty ones: see `retrained`.

Reference: Yi et al., Online Matching: A Real-time Bandit System for Large-scale Recommendations, RecSys 2023.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt

from rosa_ray.arrays import Floats, Ints
from rosa_ray.policy.slate import Shown, Slate, Step
from rosa_ray.settings import section
from rosa_ray.units import MICROS_PER_UNIT

SCORES = ("dual", "profit", "ecpm")
_IMPRESSIONS = 0
"""First column of an ad's sums; then d and b of each cluster, in millionths."""


@section("serving.policy.*")
class Config:
    """How fast is learned, and what doubt is worth. It needs a score in money: `dual`, `profit` or `ecpm`."""

    alpha: Annotated[float, Ge(0)] = 0.3
    """Relative errors of the expected revenue that are added to the score."""
    prior_clicks: Annotated[float, Gt(0)] = 2.0
    """What is known of an ad that nobody has seen, as if so many clicks had been expected of it."""


class Rule(Step):
    """Moves scores by what was told since the model was trained. The state is whole numbers by ad."""

    def __init__(self, config: Config, name: str = "linucb") -> None:
        self.config, self.name = config, name
        self._sums: dict[int, Ints] = {}

    def apply(self, slate: Slate) -> Slate:
        """The slate with scores that count what was learned, and doubt."""
        weight = np.ones(1) if slate.clusters is None else slate.clusters
        count, d_NK, b_NK = self._of(slate.ad_key, len(weight))
        if slate.impressions is not None:
            before = np.maximum(slate.impressions - count, 0.0)
            d_NK = d_NK + (slate.p_ctr * before)[:, None] * weight
        known_NK = self.config.prior_clicks + d_NK
        share = (b_NK / known_NK) @ weight + self.config.alpha * np.sqrt((1 / known_NK) @ weight**2)
        return slate.with_score(slate.score + share * slate.per_revenue * slate.revenue, self.name)

    def tell(self, shown: Shown) -> None:
        """Add impressions whose expected click rate is known, and clicks on them."""
        known = np.zeros(len(shown.click), bool) if shown.p_ctr is None else np.isfinite(shown.p_ctr)
        if shown.p_ctr is None or not known.any():
            return
        impression = known if shown.impression is None else known & shown.impression
        weight_NK = np.ones((len(known), 1)) if shown.clusters is None else shown.clusters
        rate_NK = np.where(impression, shown.p_ctr, 0.0)[:, None] * weight_NK
        # Without an expectation a click says nothing.
        surprise_NK = (shown.click & known)[:, None] * weight_NK - rate_NK
        in_millionths = np.rint(np.concatenate([rate_NK, surprise_NK], axis=1) * MICROS_PER_UNIT)
        added = np.concatenate([impression[:, None], in_millionths], axis=1).astype(np.int64)
        for ad, one in zip(shown.ad_key.tolist(), added, strict=True):
            self._add(ad, one)

    def retrained(self) -> None:
        """Forget what was told: a model that learned from it scores from now on."""
        self._sums = {}

    def snapshot(self) -> dict[str, Any]:
        """ad_key int64 (A,), rising; sums int64 (A, 1 + 2K)."""
        keys = sorted(self._sums)
        sums = [self._sums[key] for key in keys]
        return {"ad_key": np.array(keys, np.int64), "sums": np.stack(sums) if sums else np.zeros((0, 3), np.int64)}

    def merge(self, snapshot: Mapping[str, Any]) -> None:
        """Add what another process was told of other impressions."""
        for ad, one in zip(snapshot["ad_key"].tolist(), snapshot["sums"], strict=True):
            self._add(ad, one)

    def _add(self, ad: int, sums: Ints) -> None:
        if sums.any():
            self._sums[ad] = self._sums[ad] + sums if ad in self._sums else sums.copy()

    def _of(self, ad_key: Ints, clusters: int) -> tuple[Floats, Floats, Floats]:
        """Impressions told (N,), d and b (N, K) of some ads."""
        nothing = np.zeros(1 + 2 * clusters, np.int64)
        sums = np.stack([self._sums.get(ad, nothing) for ad in ad_key.tolist()])
        d_NK, b_NK = sums[:, 1 : 1 + clusters], sums[:, 1 + clusters :]
        return sums[:, _IMPRESSIONS].astype(float), d_NK / MICROS_PER_UNIT, b_NK / MICROS_PER_UNIT
