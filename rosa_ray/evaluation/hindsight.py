"""Prices of budgets that a day's requests ask for, once all of them are known.

Each request shows its best ad, if that is worth more than the price of its money. The price of a campaign is the lowest
one at which its spend fits its budget, found by bisection while the others keep theirs, round by round. It is what a
policy that learns prices while the day goes by is measured against.

Shape legend: R requests of K candidates at most, C campaigns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rosa_ray.arrays import Floats, Ints

ROUNDS = 30
HALVINGS = 40
_HIGHEST = 1e6
_NOBODY = -1


@dataclass(frozen=True)
class Day:
    """Requests of one day, padded to K candidates.

    Attributes:
        worth_RK: score at a price of 0, currency units; -inf where there is no candidate.
        cost_RK: what the policy expects an impression to cost, currency units.
        spend_RK: what it truly costs.
        campaign_RK: place of the campaign, from 0 to C - 1; -1 where there is no candidate.
    """

    worth_RK: Floats
    cost_RK: Floats
    spend_RK: Floats
    campaign_RK: Ints

    @classmethod
    def of(cls, request: Ints, worth: Floats, cost: Floats, spend: Floats, campaign: Ints) -> "Day":
        """From n candidates; those of one request stand together."""
        begins = np.append(True, request[1:] != request[:-1])[: len(request)]
        starts, row = np.flatnonzero(begins), np.cumsum(begins) - 1
        column = np.arange(len(request)) - starts[row]
        shape = (len(starts), int(column.max(initial=0)) + 1)
        worth_RK, cost_RK, spend_RK = np.full(shape, -np.inf), np.zeros(shape), np.zeros(shape)
        campaign_RK = np.full(shape, _NOBODY, np.int64)
        worth_RK[row, column], cost_RK[row, column], spend_RK[row, column] = worth, cost, spend
        campaign_RK[row, column] = campaign
        return cls(worth_RK, cost_RK, spend_RK, campaign_RK)

    def take(self, rows: Ints) -> "Day":
        """Some of the requests."""
        return Day(self.worth_RK[rows], self.cost_RK[rows], self.spend_RK[rows], self.campaign_RK[rows])

    def spends(self, price: Floats) -> Floats:
        """What each campaign spends at given prices, (C,): the best ad of each request, if it scores above 0."""
        score_RK = self.worth_RK - _price_of(price, self.campaign_RK) * self.cost_RK
        best, rows = score_RK.argmax(axis=1), np.arange(len(score_RK))
        shown = score_RK[rows, best] > 0
        spend, weights = np.zeros(len(price)), self.spend_RK[rows, best][shown]
        np.add.at(spend, self.campaign_RK[rows, best][shown], weights)
        return spend


def common_price(days: Sequence[Day], budget: float, campaigns: int) -> float:
    """The lowest price, one for all campaigns, at which all of them together spend no more than the budget of the days.

    >>> day = Day.of(np.array([1, 2]), np.array([6.0, 2.0]), np.ones(2), np.ones(2), np.array([0, 0]))
    >>> round(common_price([day], 1.0, 1), 6), common_price([day], 2.0, 1)
    (2.0, 0.0)
    """

    def fits(price: float) -> bool:
        return sum(float(day.spends(np.full(campaigns, price)).sum()) for day in days) <= budget

    return _lowest(fits)


def hindsight_prices(day: Day, budget: Floats) -> Floats:
    """The lowest price of each campaign at which it keeps its budget of a day, (C,), given those of the others.

    Args:
        budget: currency units, (C,).
    """
    price = np.zeros(len(budget))
    of_campaign = [day.take(np.flatnonzero((day.campaign_RK == one).any(axis=1))) for one in range(len(budget))]
    for _ in range(ROUNDS):
        before = price.copy()
        for one, requests in enumerate(of_campaign):
            price[one] = _own_price(requests, price, one, float(budget[one]))
        if np.allclose(price, before, rtol=1e-6, atol=1e-9):
            break
    return price


def _own_price(day: Day, price: Floats, one: int, budget: float) -> float:
    mine_RK = day.campaign_RK == one
    score_RK = day.worth_RK - _price_of(price, day.campaign_RK) * day.cost_RK
    others = np.maximum(np.where(mine_RK, -np.inf, score_RK).max(axis=1, initial=-np.inf), 0)
    own_RK, rows = np.where(mine_RK, day.worth_RK, -np.inf), np.arange(len(mine_RK))

    def fits(at: float) -> bool:
        asked_RK = own_RK - at * day.cost_RK
        best = asked_RK.argmax(axis=1)
        return float(day.spend_RK[rows, best][asked_RK[rows, best] > others].sum()) <= budget

    return _lowest(fits) if len(rows) else 0.0


def _price_of(price: Floats, campaign_RK: Ints) -> Floats:
    return np.append(price, 0.0)[campaign_RK]


def _lowest(fits: Callable[[float], bool]) -> float:
    """The lowest number from 0 on that fits, where all higher ones do."""
    if fits(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while not fits(high) and high < _HIGHEST:
        low, high = high, 2 * high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
