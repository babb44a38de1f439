"""The joint loss `α·L_ctr + β·L_cvr + γ·L_roi` (Ni, Li, Zhang 2026, §3.5).

The paper names the terms and leaves their form open: conversions are learned over all impressions (`ctcvr_loss`), and
the return by a deviance that is least at the mean (`roi_loss`).

Every term is a pair (weighted sum, weight), so that sums over workers and accumulation steps are divided once.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn import functional

from rosa_ray.models.batch import Predictions, UserBatch
from rosa_ray.settings import section
from rosa_ray.words import counted

TASKS = ("ctr", "cvr", "roi", "value", "next")

CLICKS_COST_MORE = 1.25
"""From this ratio of clicked to other impressions' costs, each over its expected cost, a log pays for clicks."""

LEAST_SIGMA = 0.05
"""Spread of log revenue that the value head assumes at least: 5 %."""


@section("loss")
class LossConfig:
    """Task weights; only their ratios matter."""

    alpha: Annotated[float, Ge(0)] = 1.0
    """Weight of the CTR term."""
    beta: Annotated[float, Ge(0)] = 1.0
    """Weight of the CTCVR term."""
    gamma: Annotated[float, Ge(0)] = 0.5
    """Weight of the ROI term."""
    value: Annotated[float, Ge(0)] = 0.1
    """Weight of the value head's likelihood on converted rows."""
    next_event: Annotated[float, Ge(0)] = 0.2
    """Weight of telling a user's next event from other users', for rankers that have that task."""
    kappa: Annotated[float, Ge(0)] = 0.2
    """Strength of the high-value weight `1 + κ·min(log1p(v / median), cap)`, v the ad's price. 0 is off."""
    high_value_cap: Annotated[float, Ge(0)] = 3.0
    """Cap of log1p in that weight."""
    balance: Literal["static", "uncertainty", "gradnorm"] = "static"
    """What becomes of the weights in training: `static` keeps them, `uncertainty` and `gradnorm` learn them from there,
    see `rosa_ray.models.balance`. The validation loss always has the static ones."""


@dataclass(frozen=True)
class LossScales:
    """Data figures that make the terms free of units, and what the ROI term divides by.

    Attributes:
        revenue_per_cost: mean return on ad spend of the training period, the spend as below.
        median_price: typical value of a conversion, currency units.
        ctcvr: conversions per impression, in (0, 1).
        spend: label that says what an impression costs: `cost`, or `expected_cost` where clicks are billed.
    """

    revenue_per_cost: float
    median_price: float
    ctcvr: float
    spend: Literal["cost", "expected_cost"] = "cost"

    @classmethod
    def of(cls, base_rates: Mapping[str, float], totals: Mapping[str, float] | None = None) -> "LossScales":
        """From `FeatureState.base_rates` and `FeatureState.totals`; without totals, impressions cost."""
        scales = cls(
            revenue_per_cost=base_rates["revenue_per_cost"],
            median_price=math.exp(base_rates["log_value"]),
            ctcvr=base_rates["ctr"] * base_rates["cvr"],
        )
        if totals is None or not bills_clicks(totals):
            return scales
        per_expected = max(totals["revenue"], 1e-9) / max(totals["expected_cost"], 1e-9)
        return replace(scales, revenue_per_cost=per_expected, spend="expected_cost")


def bills_clicks(totals: Mapping[str, float]) -> bool:
    """Whether what an impression cost depends on its own click, by the sums of the training period.

    Clicked impressions are other ads than those that are not. So each side is measured by the costs expected of it
    before the request. Where impressions are paid, both ratios are about the same.

    Args:
        totals: see `FeatureState`; without costs of clicks, as of earlier versions, impressions are paid.

    >>> totals = {"cost": 10.0, "expected_cost": 20.0, "cost_of_clicks": 0.6, "expected_cost_of_clicks": 1.1}
    >>> bills_clicks(totals), bills_clicks({**totals, "cost_of_clicks": 10.0})
    (False, True)
    """
    if "cost_of_clicks" not in totals:
        return False
    clicked, clicked_expected = totals["cost_of_clicks"], totals["expected_cost_of_clicks"]
    other, other_expected = totals["cost"] - clicked, totals["expected_cost"] - clicked_expected
    return clicked * other_expected > CLICKS_COST_MORE * other * clicked_expected


_WEIGHT_OF = {"cvr": "beta", "roi": "gamma", "value": "value"}
"""Tasks that a log may have no label of -> their weight in `LossConfig`."""


def unlabelled_tasks(totals: Mapping[str, float]) -> dict[str, str]:
    """Tasks that the training period teaches nothing, each with the reason.

    Args:
        totals: clicks, conversions, revenue and cost of the training period, see `FeatureState`.

    >>> unlabelled_tasks({"clicks": 24, "conversions": 3, "revenue": 9.0, "cost": 0.0})
    {'roi': 'no cost in the training period'}
    """
    found: dict[str, str] = {}
    if totals["conversions"] <= 0:
        found["cvr"] = f"no conversion among {counted(totals['clicks'], 'click')} of the training period"
    for task, names in (("roi", ("revenue", "cost")), ("value", ("revenue",))):
        absent = [name for name in names if totals[name] <= 0]
        if absent:
            found[task] = f"no {' and no '.join(absent)} in the training period"
    return found


def labelled_loss(config: LossConfig, totals: Mapping[str, float]) -> LossConfig:
    """The same weights, without those of `unlabelled_tasks`: their heads stay where they start.

    >>> labelled_loss(LossConfig(), {"clicks": 9, "conversions": 0, "revenue": 0.0, "cost": 5.0}).beta
    0.0
    """
    off: dict[str, Any] = {_WEIGHT_OF[task]: 0.0 for task in unlabelled_tasks(totals)}
    return replace(config, **off)


LossTerms = dict[str, tuple[Tensor, Tensor]]
"""Per task of `TASKS`: (weighted sum of the losses, sum of the weights), both scalars."""


def loss_terms(predictions: Predictions, batch: UserBatch, config: LossConfig, scales: LossScales) -> LossTerms:
    """All terms of a batch: four over its real impressions, and the next event of its timelines.

    An impression weighs as many as it stands for; 1 in a batch that does not say.
    """
    labels = batch.labels
    real = batch.impression_mask.float()
    real = real * labels["weight"] if "weight" in labels else real
    known = real * labels["conversion_weight"] if "conversion_weight" in labels else real
    valued = known * high_value_weight(labels["price"], config, scales)
    spend = labels[scales.spend]
    terms = {
        "ctr": (ctr_loss(predictions, labels["click"]), real),
        "cvr": (ctcvr_loss(predictions, labels["click"] * labels["conversion"]), valued),
        "roi": (roi_loss(predictions, labels["revenue"], spend, scales), valued * (spend > 0)),
        "value": (value_loss(predictions, labels["revenue"]), known * (labels["revenue"] > 0)),
    }
    sums = {task: ((loss * weight).sum(), weight.sum()) for task, (loss, weight) in terms.items()}
    nothing = predictions.ctr_logit.new_zeros(())
    return {**sums, "next": predictions.next_event or (nothing, nothing)}


def task_weights(config: LossConfig) -> dict[str, float]:
    """Weight of each task of `TASKS`."""
    weights = (config.alpha, config.beta, config.gamma, config.value, config.next_event)
    return dict(zip(TASKS, weights, strict=True))


def ctr_loss(predictions: Predictions, click: Tensor) -> Tensor:
    """Binary cross-entropy of clicks, per impression."""
    return functional.binary_cross_entropy_with_logits(predictions.ctr_logit, click, reduction="none")


def ctcvr_loss(predictions: Predictions, converted: Tensor) -> Tensor:
    """Binary cross-entropy of click-and-conversion against `p_ctr · p_cvr`, in log space (ESMM, Ma et al. 2018)."""
    log_p = predictions.log_p_ctcvr
    return -(converted * log_p + (1 - converted) * log1m_exp(log_p))


def roi_loss(predictions: Predictions, revenue: Tensor, cost: Tensor, scales: LossScales) -> Tensor:
    """Tweedie deviance of power 1.5 of `revenue / cost` against `p_ctr · p_cvr · value / cost`.

    The cost must not depend on the impression's own outcome. Costs that come with clicks would keep clicked rows alone,
    and their mean is that of a click; `LossScales.spend` then names the cost expected before the request.

    At power 1.5 the deviance is `4 (√y − √μ)² / √μ`. It takes the zeros and the skew of revenue as they are, and it is
    least at the mean, which the mean squared error of log1p is not. Two changes keep it in proportion to the other
    terms. Both sides are in units of the mean return and raised by one. The minimum stays at the mean, but a conversion
    where almost none was expected no longer outweighs everything: `y / √μ` has no bound. And the whole is scaled by the
    rate of conversions, so that a typical one weighs about as much as in the CTCVR term.
    """
    spend = cost.clamp_min(1e-12) * scales.revenue_per_cost
    log_mean = predictions.log_p_ctcvr + predictions.log_value - torch.log(spend)
    root_mean = torch.sqrt(torch.exp(log_mean.clamp_max(18)) + 1)
    return scales.ctcvr * 4 * (torch.sqrt(revenue / spend + 1) - root_mean) ** 2 / root_mean


def value_loss(predictions: Predictions, revenue: Tensor) -> Tensor:
    """Log-normal negative log-likelihood of revenue, up to a constant; 0 when the value is the catalogue price.

    The spread is at least `LEAST_SIGMA`. Where revenue is the price itself, the likelihood has no bound: the spread
    would shrink for ever, and the slope at the smallest error grow with it.
    """
    if predictions.value_log_sigma is None:
        return torch.zeros_like(revenue)
    log_sigma = _floored(predictions.value_log_sigma)
    sigma = torch.exp(log_sigma)
    log_median = predictions.log_value - sigma**2 / 2
    log_revenue = torch.log(revenue.clamp_min(1e-12))
    return 0.5 * ((log_revenue - log_median) / sigma) ** 2 + log_sigma


class _Floor(torch.autograd.Function):
    """The larger of a scalar and a floor; below the floor, only a gradient that raises the scalar passes."""

    @staticmethod
    def forward(context: Any, value: Tensor, floor: float) -> Tensor:
        context.save_for_backward(value >= floor)
        return value.clamp_min(floor)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (above,) = context.saved_tensors
        return torch.where(above, gradients[0], gradients[0].clamp_max(0)), None


def _floored(log_sigma: Tensor) -> Tensor:
    floored: Tensor = _Floor.apply(log_sigma, math.log(LEAST_SIGMA))  # type: ignore[no-untyped-call]
    return floored


def high_value_weight(price: Tensor, config: LossConfig, scales: LossScales) -> Tensor:
    """`1 + κ·min(log1p(v / median), cap)` per impression. It depends on the ad's price, not on labels: no bias."""
    return 1 + config.kappa * torch.log1p(price / scales.median_price).clamp_max(config.high_value_cap)


def log1m_exp(x: Tensor) -> Tensor:
    """`log(1 − eˣ)` for x < 0, stable at both ends (Mächler 2012).

    >>> round(float(log1m_exp(torch.tensor(-math.log(2)))), 6)
    -0.693147
    """
    x = x.clamp_max(-1e-7)
    near_zero = x > -math.log(2)
    return torch.where(
        near_zero,
        torch.log(-torch.expm1(torch.where(near_zero, x, torch.full_like(x, -1.0)))),
        torch.log1p(-torch.exp(torch.where(near_zero, torch.full_like(x, -1.0), x))),
    )
