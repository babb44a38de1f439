"""Policies that spend budgets: one threshold for all campaigns, throttling by spend, and prices in hindsight."""

import numpy as np

from rosa_ray.arena.policies import Known, Policy, scores
from rosa_ray.arena.slates import NONE, Slates
from rosa_ray.arrays import Floats, Ints
from rosa_ray.metrics.scores import Ranking
from rosa_ray.policy.slate import Shown
from rosa_ray.simulation.keyed_random import hash_uniform
from rosa_ray.simulation.marginals import HOUR_SHARE
from rosa_ray.units import DAY_US, HOUR_US

DEAREST = 1e4
"""Highest price of a unit of budget that is looked for, in revenue per cost."""

_HALVINGS, _ASCENTS = 40, 400
_SALT = 71


class Threshold(Policy):
    """Shows the candidate with the most revenue less theta times cost, if that is above 0.

    So no ad below a ratio of theta is shown. Theta is one number for all campaigns: the lowest, from 1 up, at which the
    day before would have cost no more than all budgets of a day together.

    Attributes:
        theta: revenue per cost, 1 to 10,000; 1 until it is fitted.
    """

    def __init__(self) -> None:
        self.theta = 1.0

    def fit(self, known: Known) -> None:
        """Find theta by bisection of its logarithm."""
        budget, low, high = float(known.budget_M.sum()), 0.0, float(np.log(DEAREST))
        if _spend(known.day_before, 1.0) <= budget:
            return
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if _spend(known.day_before, np.exp(middle)) > budget else (low, middle)
        self.theta = float(np.exp(high))

    def choose(self, slates: Slates) -> Ints:
        """The best above 0."""
        return slates.best(slates.revenue_NK - self.theta * slates.cost_NK, 0.0)


class Pacing(Policy):
    """Takes the highest ratio, and shows it with a chance that follows the spend of its campaign; else nothing.

    The chance moves as in Agarwal et al., KDD 2014: at every step a campaign ahead of its plan is shown a tenth less
    often, one behind it a tenth more. The plan spends the budget as traffic comes over the hours of a day. There the
    campaign stays out of the auction, and the next best one is shown; here the request is spared.

    Attributes:
        share_M: chance of each campaign, in (0, 1]; begins at a tenth every day.
    """

    FIRST, STEP, STEP_US = 0.1, 0.1, 5 * 60_000_000

    def __init__(self, seed: int = 0) -> None:
        self.seed, self._ranking = seed, Ranking("roi")
        self._step = self._day = -1

    def fit(self, known: Known) -> None:
        """Take the budgets."""
        self._known = known
        self._paced_M = np.isfinite(known.budget_M)
        self.share_M, self._spent_M = np.ones(len(known.budget_M)), np.zeros(len(known.budget_M))

    def choose(self, slates: Slates) -> Ints:
        """The best, or none."""
        self._steer(int(slates.time_us.min()))
        slot = slates.best(scores(self._ranking, slates))
        shown = hash_uniform(slates.request, self.seed, _SALT) < self.share_M[slates.of(slot, "campaign_NK")]
        return np.where(shown, slot, NONE)

    def tell(self, shown: Shown) -> None:
        """Add up the spend of the day."""
        np.add.at(self._spent_M, shown.campaign_key, shown.cost)

    def _steer(self, now_us: int) -> None:
        since_us = now_us - self._known.start_us
        day, step = since_us // DAY_US, since_us // self.STEP_US
        if day > self._day:
            self._day = day
            self.share_M, self._spent_M = np.where(self._paced_M, self.FIRST, 1.0), np.zeros(len(self.share_M))
        elif step > self._step:
            ahead_M = self._spent_M > self._known.budget_M * elapsed_share(since_us % DAY_US)
            moved_M = self.share_M * np.where(ahead_M, 1 - self.STEP, 1 + self.STEP)
            self.share_M = np.where(self._paced_M, np.clip(moved_M, 1e-4, 1.0), 1.0)
        self._step = step


class Hindsight(Policy):
    """What budgets could buy if all requests were known: prices of each campaign's budget on each day.

    With mu >= 1 of campaign and day it shows the candidate with the most revenue less mu times cost, if that is above
    0. The prices come from dual ascent on the recorded requests of the base policy, at the policy's own estimates.

    Attributes:
        price_DM: mu, revenue per cost, by day and campaign.
        bound: of the expected profit on those requests, by weak duality; currency units. No choice of theirs within
            the budgets is expected to earn more.
    """

    def __init__(self) -> None:
        self.bound = float("nan")

    def fit(self, known: Known) -> None:
        """Find the prices."""
        if known.all_requests is None:
            raise ValueError("hindsight needs the requests of all days")
        self._known = known
        self.price_DM, self.bound = dual_prices(known, known.all_requests)

    def choose(self, slates: Slates) -> Ints:
        """The best above 0 at the prices of the day."""
        day = np.clip(self._known.day_of(slates.time_us), 0, len(self.price_DM) - 1)
        price_NK = self.price_DM[day[:, None], slates.campaign_NK]
        return slates.best(slates.revenue_NK - price_NK * slates.cost_NK, 0.0)


def dual_prices(known: Known, slates: Slates) -> tuple[Floats, float]:
    """Prices of budgets by multiplicative dual ascent, (days, campaigns), and the lowest dual value found.

    At prices mu the dual value is the sum of max(0, revenue - mu cost) over requests, plus (mu - 1) times each budget.
    """
    day = known.day_of(slates.time_us)
    days, campaigns = int(day.max()) + 1, len(known.budget_M)
    limited_M = np.isfinite(known.budget_M)
    budget_M = np.where(limited_M, known.budget_M, 0.0)
    revenue_NK, cost_NK = slates.revenue_NK, slates.cost_NK
    cell_NK, every = day[:, None] * campaigns + slates.campaign_NK, np.arange(len(slates))
    log_price, kept, bound = np.zeros(days * campaigns), np.zeros(days * campaigns), np.inf
    room = np.tile(np.maximum(budget_M, 1e-9), days)
    for turn in range(_ASCENTS):
        price = np.exp(log_price)
        score_NK = revenue_NK - price[cell_NK] * cost_NK
        slot = score_NK.argmax(axis=1)
        won = np.where(score_NK[every, slot] > 0, slates.win_NK[every, slot], 0.0)
        spend = np.bincount(cell_NK[every, slot], won * cost_NK[every, slot], days * campaigns)
        value = float(won @ score_NK[every, slot] + (price - 1) @ np.tile(budget_M, days))
        if value < bound:
            bound, kept = value, log_price
        step = np.clip(np.log((spend + 1e-9) / room), -2.0, 2.0) / np.sqrt(1 + turn)
        log_price = np.where(np.tile(limited_M, days), np.clip(log_price + step, 0.0, np.log(DEAREST)), 0.0)
    return np.exp(kept).reshape(days, campaigns), bound


def elapsed_share(of_day_us: int) -> float:
    """Share of a day's traffic that has come by a time of the day.

    >>> round(elapsed_share(12 * HOUR_US), 3)
    0.304
    """
    cumulated = np.append(0.0, np.cumsum(HOUR_SHARE)) / HOUR_SHARE.sum()
    return float(np.interp(of_day_us / HOUR_US, np.arange(25), cumulated))


def _spend(slates: Slates, theta: float) -> float:
    """What one threshold would have spent."""
    slot = slates.best(slates.revenue_NK - theta * slates.cost_NK, 0.0)
    return float((slates.of(slot, "cost_NK") * slates.of(slot, "win_NK"))[slot != NONE].sum())
