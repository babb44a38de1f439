"""What budgets of campaigns bring under several ways of spending them: exact, on a simulated log.

Every campaign gets, for each day, the same share of what it spends on a day without budgets. The first day of the test
period is yesterday: prices are fitted on it. The days after it are counted. All ways stop a campaign whose budget of
the day is gone, rank by revenue - cost, and know the same predictions. They differ in the price of a campaign's money.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rosa_ray.arrays import Columns, Floats, Ints
from rosa_ray.errors import InputError
from rosa_ray.evaluation.chain_value import ChainValue, value_chain
from rosa_ray.evaluation.hindsight import Day, common_price, hindsight_prices
from rosa_ray.evaluation.policy_value import CANDIDATE_COLUMNS, join_truth, no_truth, read_truth
from rosa_ray.evaluation.predictions import read_predictions
from rosa_ray.features import Split
from rosa_ray.metrics import PolicyValue, Ranking
from rosa_ray.policy.ledger import HOURS
from rosa_ray.policy.steps.budget import Campaign, Config, Rule
from rosa_ray.units import DAY_US, HOUR_US

WAYS = ("in order of arrival", "one price of yesterday", "budget", "budget, from nothing", "hindsight prices")
BEST, RIVAL = "hindsight prices", "one price of yesterday"


@dataclass(frozen=True)
class Log:
    """Candidates of several days with their truth.

    Attributes:
        candidates, truth: as of `value_chain`, sorted by time, request and impression.
        day: int64 (n,), from 0.
        campaign_key: rising, int64 (C,).
        campaign: place of each candidate's campaign, int64 (n,).
        profile: requests by hour of the day, before the test period, (24,).
        level: what expected revenue is multiplied by.
    """

    candidates: Columns
    truth: Columns
    day: Ints
    campaign_key: Ints
    campaign: Ints
    profile: Floats
    level: float

    @property
    def ranking(self) -> Ranking:
        """Profit at the level of candidates."""
        return Ranking("profit", level=self.level)

    @property
    def days(self) -> int:
        return int(self.day.max()) + 1

    def rows(self, day: int) -> Ints:
        """Rows of a day."""
        return np.flatnonzero(self.day == day)

    def padded(self, day: int) -> Day:
        """A day as prices are fitted on it."""
        rows, columns = self.rows(day), self.candidates
        score = self.ranking.score(*(columns[name][rows] for name in ("p_ctr", "p_cvr", "value", "expected_cost")))
        spend = self.truth["expected_cost"][rows]
        return Day.of(columns["request_key"][rows], score, columns["expected_cost"][rows], spend, self.campaign[rows])


def read_log(files: Sequence[str], log_dir: str, level: float) -> Log:
    """Candidates of the test period with their truth.

    Args:
        files: predictions of a run.
        level: of candidates, see `rosa_ray.metrics.Ranking`.

    Raises:
        InputError: the log has no truth, or no candidates of two days.
    """
    names = ("user_key", "time_us", "campaign_key", *CANDIDATE_COLUMNS)
    found, truth = read_predictions(files, Split.POLICY, names), read_truth(log_dir)
    if truth is None:
        raise InputError(f"--budgets needs exact values, and {no_truth(log_dir)}")
    order = np.lexsort((found["impression_key"], found["request_key"], found["time_us"]))
    candidates = {name: values[order] for name, values in found.items()}
    day = candidates["time_us"] // DAY_US
    if not len(day) or day[0] == day[-1]:
        raise InputError("--budgets needs candidates of two days of the test period: one to learn from, one to count")
    keys, campaign = np.unique(candidates["campaign_key"], return_inverse=True)
    before = read_predictions(files, Split.VALID, ("time_us",))["time_us"] // HOUR_US % HOURS
    profile = np.bincount(before, minlength=HOURS).astype(np.float64)
    joined = join_truth(truth, candidates["impression_key"], log_dir)
    return Log(candidates, joined, day - day[0], keys, campaign, profile if profile.any() else profile + 1, level)


def measure_budgets(log: Log, shares: Sequence[float]) -> dict[str, Any]:
    """Spend shares of the unconstrained spend in every way of `WAYS`.

    Args:
        shares: of what each campaign spends on a day without budgets, in (0, 1].

    Returns:
        days, requests and campaigns that are counted; unlimited, the figures of `PolicyValue` without budgets; and
        `shares`, for each share its budget of a day (currency units), price (the one of yesterday) and `ways`: for each
        way the figures of `PolicyValue`, spent (of the budgets), overspend (the sum beyond them, of the budgets),
        of_best (profit over that of hindsight prices) and above_rival (profit over that of one price, minus 1).
    """
    counted = np.flatnonzero(log.day > 0)
    unlimited = value_chain(log.candidates, log.truth, [_rule(log, None, 0.0)], log.ranking, counted)
    a_day = _spend(log, unlimited).mean(axis=0)
    return {
        "days": log.days - 1,
        "requests": len(unlimited.first),
        "campaigns": len(log.campaign_key),
        "unlimited": unlimited.value.compute(),
        "shares": [_measure_share(log, share, share * a_day, counted) for share in shares],
    }


def _measure_share(log: Log, share: float, budget: Floats, counted: Ints) -> dict[str, Any]:
    first, requests = log.rows(0), log.candidates["request_key"]
    size = len(np.unique(requests[first])) * (log.days - 1) / len(np.unique(requests[counted]))
    price = common_price([log.padded(0)], size * float(budget.sum()), len(budget))
    learned = _rule(log, budget, 0.0, 2.0)
    value_chain(log.candidates, log.truth, [learned], log.ranking, first)
    rules = {
        "in order of arrival": _rule(log, budget, 0.0),
        "one price of yesterday": _rule(log, budget, price),
        "budget": _rule(log, budget, price, Config({}).rate),
        "budget, from nothing": learned,
    }
    walks = {
        name: [value_chain(log.candidates, log.truth, [rule], log.ranking, counted)] for name, rule in rules.items()
    }
    walks[BEST] = [_in_hindsight(log, day, budget) for day in range(1, log.days)]
    profits = {name: sum(one.value.profit for one in walk) for name, walk in walks.items()}
    ways = []
    for name in WAYS:
        value, spend = PolicyValue(), np.zeros((log.days - 1, len(budget)))
        for one in walks[name]:
            value, spend = value.merge(one.value), spend + _spend(log, one)
        over, total = np.maximum(spend - budget, 0).sum(), budget.sum() * (log.days - 1)
        ways.append(
            {
                "way": name,
                **value.compute(),
                "spent": float(spend.sum() / total),
                "overspend": float(over / total),
                "of_best": profits[name] / profits[BEST],
                "above_rival": profits[name] / profits[RIVAL] - 1,
            }
        )
    return {"share": share, "budget": float(budget.sum()), "price": price, "ways": ways}


def _in_hindsight(log: Log, day: int, budget: Floats) -> ChainValue:
    prices = hindsight_prices(log.padded(day), budget)
    return value_chain(log.candidates, log.truth, [_rule(log, budget, prices)], log.ranking, log.rows(day))


def _rule(log: Log, budget: Floats | None, price: Floats | float, rate: float = 0.0) -> Rule:
    starts = np.broadcast_to(price, log.campaign_key.shape).tolist()
    amounts = [None] * len(starts) if budget is None else [max(float(one), 1e-9) for one in budget]
    campaigns = [Campaign(daily_budget=one, start=start) for one, start in zip(amounts, starts, strict=True)]
    named = dict(zip(log.campaign_key.tolist(), campaigns, strict=True))
    return Rule(Config({}, rate=rate, profile=tuple(log.profile.tolist())), named=named)


def _spend(log: Log, walk: ChainValue) -> Floats:
    """True expected cost of what was shown, by counted day and campaign, (days - 1, C)."""
    spend = np.zeros((log.days - 1, len(log.campaign_key)))
    rows = walk.shown
    np.add.at(spend, (log.day[rows] - 1, log.campaign[rows]), log.truth["expected_cost"][rows])
    return spend
