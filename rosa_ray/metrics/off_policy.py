"""What a policy would have earned, estimated from what another policy showed: IPS, SNIPS and doubly robust (DR).

A log shows one ad of each request, drawn with a known propensity mu. Weighting the outcome by w = pi/mu, with pi the
target policy's probability of the ad shown, makes the mean over requests that of the target policy:

- IPS, Σ w·r / n (Horvitz & Thompson 1952): unbiased.
- SNIPS, Σ w·r / Σ w (Swaminathan & Joachims 2015, "The Self-Normalized Estimator for Counterfactual Learning"): biased
  by O(1/n), but a constant added to every reward moves it by exactly that constant, and it varies less.
- DR, Σ [E_pi(q) + w·(r - q)] / n (Dudík, Langford & Li 2011, "Doubly Robust Policy Evaluation and Learning"): unbiased
  whatever the model q is, and the better q, the less it varies. The model must not have been fitted on these rows.

ROI is (Σrevenue - Σcost)/Σcost of the estimated sums; the normalisation of SNIPS cancels in it, so IPS and SNIPS have
one ROI. A weight may be clipped at `clip`, which lowers the variance and biases: means of amounts >= 0 come out too low
in IPS, SNIPS and ROI shift to the requests whose weights stayed whole, in either direction, and DR is pulled to the
model. Intervals do not hold that bias. `clipped_share` is the share of the weight that was lost.

All rest on two conditions that no estimator can check: wherever the target policy may show an ad the logger may have
shown it too, and requests do not depend on what earlier requests were shown.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Floats, Ints
from rosa_ray.metrics.bootstrap import BootstrapConfig, interval
from rosa_ray.metrics.checks import (
    as_amounts,
    as_keys,
    as_not_negative,
    as_probabilities,
    as_propensities,
    as_weights,
    require_same_length,
)
from rosa_ray.metrics.ratio import ratio_of_sums

ESTIMATORS = ("ips", "snips", "dr")

Amounts = Mapping[str, npt.ArrayLike]


@dataclass
class OffPolicy:
    """Sums per user of one target policy on one log. Workers update their requests, the driver merges and computes.

    >>> estimate = OffPolicy().update(user_key=[1, 2], propensity=[0.5, 0.25], target=[1.0, 0.0],
    ...                               rewards={"revenue": [3.0, 9.0], "cost": [1.0, 1.0]})
    >>> found = estimate.compute()
    >>> found["ips"]["revenue"]["estimate"], found["snips"]["revenue"]["estimate"], found["ips"]["roi"]["estimate"]
    (3.0, 3.0, 2.0)

    Attributes:
        clip: largest weight; None, the default, clips nothing.
        users: keys of the users seen, rising.
        sums: per user, each (U,): requests, weight (clipped), weight_raw, weight_squared, and for every reward r
            `ips_r`, the sum of w·r, and with a model `dr_r`; each times how many requests a row stands for.
    """

    clip: float | None = None
    users: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    sums: dict[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip is {self.clip}; it must be above 0, or None to clip nothing")

    def update(
        self,
        *,
        user_key: npt.ArrayLike,
        propensity: npt.ArrayLike,
        target: npt.ArrayLike,
        rewards: Amounts,
        model_shown: Amounts | None = None,
        model_target: Amounts | None = None,
        stands_for: npt.ArrayLike | None = None,
    ) -> "OffPolicy":
        """Add n logged requests of one shown ad each.

        Args:
            user_key: int64 (n,), whose requests they are; a user's requests are not independent.
            propensity: the logger's probability of the ad it showed, in (0, 1], (n,).
            target: the target policy's probability of that ad, in [0, 1], (n,).
            rewards: what the shown ad brought, by name, each finite (n,); `revenue` and `cost`, currency units and
                >= 0, make a ROI.
            model_shown: for DR, the model's expectation of each reward for the shown ad, (n,).
            model_target: for DR, its expectation under the target policy over the request's candidates, (n,).
            stands_for: how many requests each row stands for, above 0, (n,); None is 1.

        Raises:
            ValueError: a propensity is missing, <= 0 or > 1; another input is out of range; the model lacks a reward.
        """
        keys = as_keys("user_key", user_key)
        raw = as_probabilities("target", target)
        chances = as_propensities("propensity", propensity)
        require_same_length(user_key=keys, propensity=chances, target=raw)
        raw = raw / chances
        weight = raw if self.clip is None else np.minimum(raw, self.clip)
        each = as_weights(stands_for, keys.size)
        rows = {
            "requests": np.ones(keys.size),
            "weight": weight,
            "weight_raw": raw,
            "weight_squared": each * weight**2,
            **_reward_rows(weight, rewards, model_shown, model_target),
        }
        users, position = np.unique(keys, return_inverse=True)
        sums = {name: _sum_by(position, each * values, users.size) for name, values in rows.items()}
        return self.merge(OffPolicy(self.clip, users, sums))

    def merge(self, other: "OffPolicy") -> "OffPolicy":
        """Add the sums of another worker; a user may have requests in both."""
        if other.clip != self.clip:
            raise ValueError(f"sums of weights clipped at {self.clip} and at {other.clip} cannot be added")
        if self.sums and other.sums and self.sums.keys() != other.sums.keys():
            raise ValueError(f"sums differ: {', '.join(self.sums)} against {', '.join(other.sums)}")
        if other.sums:
            keys = np.concatenate([self.users, other.users])
            self.users, position = np.unique(keys, return_inverse=True)
            self.sums = {
                name: _sum_by(position, np.concatenate([self.sums.get(name, np.zeros(0)), more]), self.users.size)
                for name, more in other.sums.items()
            }
        return self

    def compute(self, config: BootstrapConfig | None = None) -> dict[str, Any]:
        """Return the estimates, ready for JSON.

        Args:
            config: level of all intervals and the draws of the bootstrap.

        Returns:
            requests, users, clip, clipped_share, mean_weight (near 1, or the propensities are wrong),
            effective_sample_size ((Σw)²/Σw² over rows, Kish 1965), level; and for each of `ESTIMATORS` the mean per
            request of every reward and `roi`, each as estimate, standard_error, low and high (`ratio_of_sums` over
            users), for `roi` also bootstrap_low and bootstrap_high (percentiles over users). None where the target
            policy never chose an ad that was shown, and in `dr` without a model.
        """
        config = config or BootstrapConfig()
        total = {name: float(values.sum()) for name, values in self.sums.items()}
        weight, raw = total.get("weight", 0.0), total.get("weight_raw", 0.0)
        return {
            "requests": round(total.get("requests", 0.0)),
            "users": self.users.size,
            "clip": self.clip,
            "clipped_share": (raw - weight) / raw if raw else None,
            "mean_weight": raw / total["requests"] if total.get("requests") else None,
            "effective_sample_size": weight**2 / total["weight_squared"] if weight else 0.0,
            "level": config.level,
            **{name: self._estimate(name, config) if weight else None for name in ESTIMATORS},
        }

    def _estimate(self, estimator: str, config: BootstrapConfig) -> dict[str, Any] | None:
        prefix = "dr_" if estimator == "dr" else "ips_"
        sums = {name.removeprefix(prefix): values for name, values in self.sums.items() if name.startswith(prefix)}
        per = self.sums["weight" if estimator == "snips" else "requests"]
        found = {name: ratio_of_sums(values, per, config.level) for name, values in sums.items()}
        means = {name: asdict(ratio) for name, ratio in found.items() if ratio}
        if not means:
            return None
        return means | {
            "roi": _roi(sums["revenue"], sums["cost"], config) if {"revenue", "cost"} <= set(sums) else None
        }


def _reward_rows(
    weight: Floats, rewards: Amounts, model_shown: Amounts | None, model_target: Amounts | None
) -> dict[str, Floats]:
    found = {name: as_amounts(name, values) for name, values in rewards.items()}
    for name in {"revenue", "cost"} & set(found):
        as_not_negative(name, found[name])
    require_same_length(target=weight, **found)
    rows = {f"ips_{name}": weight * values for name, values in found.items()}
    if model_shown is None and model_target is None:
        return rows
    for argument, model in (("model_shown", model_shown or {}), ("model_target", model_target or {})):
        missing = sorted(set(found) - set(model))
        if missing:
            raise ValueError(f"the doubly robust estimate needs {argument} of {', '.join(missing)}")
    for name, values in found.items():
        shown = as_amounts(f"model_shown.{name}", (model_shown or {})[name])
        expected = as_amounts(f"model_target.{name}", (model_target or {})[name])
        require_same_length(target=weight, model_shown=shown, model_target=expected)
        rows[f"dr_{name}"] = expected + weight * (values - shown)
    return rows


def _sum_by(position: Ints, values: Floats, size: int) -> Floats:
    return np.bincount(position, weights=values, minlength=size).astype(np.float64)


def _roi(revenue: Floats, cost: Floats, config: BootstrapConfig) -> dict[str, float | None] | None:
    roas = ratio_of_sums(revenue, cost, config.level)
    if roas is None:
        return None

    def statistic(drawn: Ints) -> float | None:
        spent = float(drawn @ cost)
        return float(drawn @ revenue) / spent - 1 if spent else None

    drawn = interval(statistic, revenue.size, config) if roas.low is not None else None
    ends = {"bootstrap_low": drawn.low if drawn else None, "bootstrap_high": drawn.high if drawn else None}
    return asdict(roas.shifted(-1.0)) | ends
