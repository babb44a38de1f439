"""Money of one run: what campaigns spent and earned by the hour, what budgets have left, and what users brought."""

import numpy as np

from rosa_ray.arrays import Floats, Ints
from rosa_ray.units import DAY_US, HOUR_US

NEAR = 0.1
"""Largest difference of a campaign's groups from its audience's that counts as near."""

COLUMNS = ("impressions", "lost", "cut", "spend", "revenue", "clicks", "conversions")
"""What is counted by hour and campaign: impressions; auctions lost; impressions that a budget forbade; spend and
expected revenue, currency units; clicks and conversions."""


class Ledger:
    """Books of one policy. H hours from the first day on, M campaigns, U users.

    Attributes:
        budget_M: what each campaign may spend a day, currency units; infinite without a budget.
        hour_CHM: each of `COLUMNS` by hour and campaign.
        revenue_U, spend_U: by user, currency units.
        audience_MG: requests that a campaign had a candidate in, by group of the user.
        reached_MG: impressions, by campaign and group.
        requests, unanswered: how many were served, and how many of them by no choice.

    >>> ledger = Ledger(0, 1, np.array([2.0]), users=1)
    >>> ledger.affordable(np.array([5, 3, 4]), np.zeros(3, int), np.full(3, True), np.full(3, 1.5)).tolist()
    [False, True, True]
    """

    def __init__(self, start_us: int, days: int, budget_M: Floats, users: int, groups: int = 1) -> None:
        self.start_us, self.budget_M = start_us, budget_M
        self.hour_CHM = np.zeros((len(COLUMNS), days * 24, len(budget_M)))
        self.revenue_U, self.spend_U = np.zeros(users), np.zeros(users)
        self.audience_MG, self.reached_MG = (np.zeros((len(budget_M), groups)) for _ in range(2))
        self.requests = self.unanswered = 0
        self._spent_DM = np.zeros((days, len(budget_M)))

    def left_M(self, time_us: int) -> Floats:
        """What is left of each budget on the day of a time; below 0 where it was overspent."""
        return self.budget_M - self._spent_DM[(time_us - self.start_us) // DAY_US]

    def affordable(self, time_us: Ints, campaign: Ints, won: np.ndarray, cost: Floats) -> np.ndarray:
        """Which impressions of one day happen: those whose campaign has budget left when their turn comes, by time.

        The last one may cost more than is left. So a campaign overspends by less than one impression a day.
        """
        left = self.left_M(int(time_us[0]))
        if (np.bincount(campaign, np.where(won, cost, 0.0), len(left)) < left).all():
            return won
        order = np.lexsort((time_us, campaign))
        costs = np.where(won, cost, 0.0)[order]
        before = np.cumsum(costs) - costs
        opens = np.append(True, campaign[order][1:] != campaign[order][:-1])
        before -= np.maximum.accumulate(np.where(opens, before, 0.0))
        allowed = np.empty(len(won), dtype=bool)
        allowed[order] = before < left[campaign[order]]
        return won & allowed

    def add(
        self,
        time_us: Ints,
        user: Ints,
        campaign: Ints,
        happened: np.ndarray,
        lost: np.ndarray,
        cut: np.ndarray,
        cost: Floats,
        revenue: Floats,
        click: np.ndarray,
        conversion: np.ndarray,
    ) -> None:
        """Book requests of distinct users.

        Args:
            campaign: of the chosen candidates.
            happened, lost, cut: whether there was an impression, a lost auction, or a budget that forbade it.
            cost, revenue: of each impression, revenue expected.
        """
        hour = (time_us - self.start_us) // HOUR_US
        spend, gain = np.where(happened, cost, 0.0), np.where(happened, revenue, 0.0)
        columns = (happened, lost, cut, spend, gain, click, conversion)
        cells = hour * len(self.budget_M) + campaign
        np.add.at(self.hour_CHM.reshape(len(COLUMNS), -1).T, cells, np.stack(columns, axis=1))
        np.add.at(self._spent_DM, (hour // 24, campaign), spend)
        self.spend_U[user] += spend
        self.revenue_U[user] += gain

    def reach(self, campaign_NK: Ints, group: Ints, campaign: Ints, happened: np.ndarray) -> None:
        """Count whom campaigns could have shown an ad, and whom they did.

        Args:
            campaign_NK: of all candidates of n requests.
            group: of each user, (n,).
            campaign, happened: of the chosen candidates, and whether there was an impression, (n,).
        """
        sorted_NK = np.sort(campaign_NK, axis=1)
        first_NK = np.diff(sorted_NK, axis=1, prepend=-1) != 0
        row, _ = np.nonzero(first_NK)
        np.add.at(self.audience_MG, (sorted_NK[first_NK], group[row]), 1)
        np.add.at(self.reached_MG, (campaign[happened], group[happened]), 1)

    @property
    def near_audience(self) -> float:
        """Share of the campaigns with impressions whose groups differ from their audience's by at most a tenth.

        The difference is the share of impressions that would have to go to another group.
        """
        shown = self.reached_MG.sum(axis=1) > 0
        if not shown.any():
            return 0.0
        reached, audience = (
            of / of.sum(axis=1, keepdims=True) for of in (self.reached_MG[shown], self.audience_MG[shown])
        )
        return float((np.abs(reached - audience).sum(axis=1) / 2 <= NEAR).mean())

    def column_HM(self, name: str) -> Floats:
        """One of `COLUMNS` by hour and campaign."""
        found: Floats = self.hour_CHM[COLUMNS.index(name)]
        return found

    def total(self, name: str) -> float:
        """Sum of one of `COLUMNS`."""
        return float(self.column_HM(name).sum())

    @property
    def overspend(self) -> float:
        """What campaigns spent above their budgets of a day, summed over days and campaigns, currency units."""
        return float(np.maximum(self._spent_DM - self.budget_M, 0.0).sum())
