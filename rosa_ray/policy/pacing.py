"""Prices of budgets: duals that rise where a campaign spends faster than its day goes by, and fall where slower.

Adaptive pacing by dual descent with multiplicative steps (Balseiro and Gur, Management Science 2019), once an hour.
With μ the price of a campaign's budget, s what it spent in an hour, τ what it should have spent, and w the hour's share
of a day's traffic,

    log(1 + μ) ← max(0, log(1 + μ) + rate · w · clip(s/τ - 1)),   τ = (budget - spent before) · w / (w of the rest).

So τ follows the budget that is left. Once a budget is gone, an hour counts as one that spends at the pace that emptied
it. λ, the price of a least return γ, follows 1 - revenue/(γ·cost) in the same way (Deng et al. 2023). Both are
functions of the sums of the hours before, so that they do not depend on how these came.

Shape legend: C campaigns, H = 24 hours of a day.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rosa_ray.arrays import Floats, Ints
from rosa_ray.policy.ledger import COST, HOURS, REVENUE, Ledger
from rosa_ray.units import MICROS_PER_UNIT

MOST_ERROR = 4.0
"""An hour that spent more than five times its share moves a price no further."""

GONE = 0.99
"""A budget counts as gone once this share of it is spent: what is left may be less than an impression costs."""

MOST_LOG = 10.0
"""Largest log(1 + price)."""


@dataclass(frozen=True)
class Plan:
    """What campaigns may spend and must return, (C,) each.

    Attributes:
        budget: of a day, currency units; infinite where there is none.
        min_roas: least revenue over cost; 0 where there is none.
        start: price of the budget before anything was spent, at least 0.
        rate: step of the descent in a day, at least 0.
        profile: share of a day's traffic in each hour, (H,), summing to 1.
    """

    budget: Floats
    min_roas: Floats
    start: Floats
    rate: float
    profile: Floats


@dataclass(frozen=True)
class Prices:
    """Duals at the beginning of an hour.

    Attributes:
        day, hour: of that hour.
        log_budget, log_return: log(1 + μ) and log(1 + λ), (C,).
    """

    day: int
    hour: int
    log_budget: Floats
    log_return: Floats

    @cached_property
    def of_budget(self) -> Floats:
        """μ, (C,), >= 0: what a unit of cost has to bring beside what the score asks for."""
        return np.expm1(self.log_budget)

    @cached_property
    def of_return(self) -> Floats:
        """λ, (C,), >= 0: weight of revenue - γ·cost beside the score."""
        return np.expm1(self.log_return)


def even_profile() -> Floats:
    """A day whose hours are alike, (H,)."""
    return np.full(HOURS, 1 / HOURS)


def prices_at(spent: Ledger, returned: Ledger, plan: Plan, day: int, hour: int, known: Prices | None = None) -> Prices:
    """Prices at the beginning of an hour, from all hours before it that the ledgers keep.

    Args:
        spent: costs that μ follows.
        returned: costs and revenue that λ follows; of the same campaigns, and often the same ledger.
        known: prices of an earlier hour, where no sum before it has changed since.
    """
    if known is None or (known.day, known.hour) > (day, hour):
        known = _first((spent, returned), plan, day, hour)
    while (known.day, known.hour) < (day, hour):
        known = _after_hour(spent, returned, plan, known)
    return known


def _first(ledgers: tuple[Ledger, ...], plan: Plan, day: int, hour: int) -> Prices:
    """Where the descent begins: the first hour that anything is known of."""
    begun = [
        (one, int(np.flatnonzero(sums.any(axis=(0, 2)))[0]))
        for ledger in ledgers
        for one, sums in ledger.days.items()
        if one > day - ledger.kept_days and sums.any()
    ]
    first = min([*begun, (day, hour)])
    return Prices(*first, np.log1p(plan.start), np.zeros(len(plan.start)))


def _after_hour(spent: Ledger, returned: Ledger, plan: Plan, now: Prices) -> Prices:
    share, rest = plan.profile[now.hour], plan.profile[now.hour :].sum()
    cost = _sums(spent, now)[:, : now.hour + 1, COST] / MICROS_PER_UNIT
    left = np.where(np.isfinite(plan.budget), np.maximum(plan.budget - cost[:, :-1].sum(axis=1), 0), 0)
    target = left * (share / rest if rest > 0 else 0)
    error = np.divide(cost[:, -1], target, out=np.ones(len(cost)), where=target > 0) - 1
    gone = cost[:, :-1].cumsum(axis=1) >= GONE * plan.budget[:, None]
    gone_CH = np.pad(gone, ((0, 0), (0, 1)), constant_values=True)
    elapsed = plan.profile.cumsum()[gone_CH.argmax(axis=1)]
    error = np.where(gone.any(axis=1), 1 / np.maximum(elapsed, 1 / (1 + MOST_ERROR)) - 1, error)
    paid, earned = (_sums(returned, now)[:, now.hour, column] / MICROS_PER_UNIT for column in (COST, REVENUE))
    owed = plan.min_roas * paid
    missing = 1 - np.divide(earned, owed, out=np.ones(len(cost)), where=owed > 0)
    step = plan.rate * share
    of_budget = np.clip(now.log_budget + step * np.minimum(error, MOST_ERROR), 0, MOST_LOG)
    of_return = np.clip(now.log_return + step * np.maximum(missing, -1), 0, MOST_LOG)
    day, hour = (now.day, now.hour + 1) if now.hour + 1 < HOURS else (now.day + 1, 0)
    return Prices(day, hour, of_budget, of_return)


def _sums(ledger: Ledger, now: Prices) -> Ints:
    found = ledger.days.get(now.day)
    return np.zeros((len(ledger.campaign_key), HOURS, 2), np.int64) if found is None else found
