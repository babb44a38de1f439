"""Reach who could be reached: a campaign's first places spread over groups of users as its requests do.

Ranking by what an impression brings may hide a campaign from a region or a device, though nobody asked for that (Ali et
al. 2019, Discrimination through Optimization). The step compares two shares of each group: among the requests that a
campaign had a candidate in, and among the first places that it took (variance reduction; Timmaraju et al. 2023, Towards
Fairness in Personalized Ads). So many first places as the group lacks, so much dearer is one there: a price in money is
added to the score. It stands for the dual of the constraint that both shares are the same. Dual ascent sums up what is
lacking, and at the right prices no other way to even out gives up less of the score (Lagrange).

It reads counts with noise, and reads them anew only once so many further requests have come. What noise may explain has
no price. A replica counts what it answered itself.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le

from rosa_ray.arrays import Floats
from rosa_ray.policy.slate import Shown, Slate
from rosa_ray.schema.keys import hash_id
from rosa_ray.settings import section
from rosa_ray.units import DAY_US, MICROS_PER_UNIT

SCORES = ("dual", "profit", "ecpm")
MOST_GROUPS = 256
"""Groups of a day that are counted. Callers name them, so requests of further ones are left alone."""

_COUNTED = ("day", "campaign_key", "group", "requests", "first")
_WORTH = ("worth_day", "worth_first", "worth_micros")


@section("serving.policy.*")
class Config:
    """Whose groups are evened out, and how. It needs a score in money: `dual`, `profit` or `ecpm`."""

    strength: Annotated[float, Gt(0)] = 0.25
    """What is added to the score where a group lacks as many first places as its campaign takes between two readings,
    in mean expected revenues of a first place. The higher, the sooner it is made up for, and the dearer."""
    per: Literal["region", "device"] = "region"
    """What tells groups apart: what the request's context says. Requests that say nothing are left alone."""
    tolerance: Annotated[float, Ge(0), Le(1)] = 0.03
    """A campaign is left alone as long as at most this share of its first places would have to go to other groups. Only
    what is beyond it has a price."""
    campaigns: tuple[str, ...] = ()
    """Campaigns that are evened out, by id. Empty takes all."""
    most: Annotated[float, Gt(0)] = 2.0
    """A score is raised or lowered by so many mean expected revenues of a first place at most."""
    batch: Annotated[int, Ge(1)] = 200
    """Requests of a campaign between two readings of its counts."""
    noise: Annotated[float, Ge(0)] = 1.0
    """Scale of the Laplace noise of each count. It blurs what one request changes. It is drawn from the seed, so it
    hides nothing from who knows that."""
    memory_days: Annotated[int, Ge(1)] = 7
    """Days, by UTC, that count."""
    seed: Annotated[int, Ge(0)] = 0
    """Of the noise."""


class Rule:
    """Adds a price to the score, by campaign and group.

    The state is counts by day, group and campaign: requests, and first places. By day it is also how many first places
    there were, and the sum of their expected revenue in millionths.
    """

    def __init__(self, config: Config, name: str = "fairness") -> None:
        self.config, self.name = config, name
        self._named = {hash_id(one) for one in config.campaigns}
        self._days: dict[int, dict[int, dict[int, list[int]]]] = {}
        self._requests: dict[int, int] = {}
        self._prices: dict[int, dict[int, float]] = {}
        self._worth: dict[int, list[int]] = {}

    def apply(self, slate: Slate) -> Slate:
        """The slate with scores that count whom campaigns have reached so far."""
        group = slate.audience.get(self.config.per)
        prices = None if group is None else self._prices.get(group)
        if prices is None:
            return slate
        price = np.array([prices.get(campaign, 0.0) for campaign in slate.campaign_key.tolist()])
        moved = int((price != 0).sum())
        if not moved:
            return slate
        score: Floats = slate.score + price * slate.per_revenue * self._mean_revenue()
        return slate.with_score(score, self.name, {"per": self.config.per, "moved": moved})

    def answered(self, slate: Slate, now_us: int) -> None:
        """Count a request: who could have been first, and who was."""
        group = slate.audience.get(self.config.per)
        groups = None if group is None else self._day(now_us // DAY_US)
        if group is None or groups is None:
            return
        campaigns = set(slate.campaign_key.tolist())
        if self._named:
            campaigns &= self._named
        if group not in groups and len(groups) >= MOST_GROUPS:
            return
        cells, first = groups.setdefault(group, {}), slate.order[:1]
        reached = int(slate.campaign_key[first[0]]) if first.size else None
        if first.size and np.isfinite(revenue := float(slate.revenue[first[0]])):
            self._add_worth(now_us // DAY_US, 1, round(revenue * MICROS_PER_UNIT))
        batch, asked = self.config.batch, self._requests
        for campaign in campaigns:
            cell = cells.get(campaign)
            if cell is None:
                cell = cells[campaign] = [0, 0]
            cell[0] += 1
            cell[1] += campaign == reached
            requests = asked[campaign] = asked.get(campaign, 0) + 1
            # Campaigns take turns, so that no request reads the counts of all.
            if requests >= batch and (requests + campaign) % batch == 0:
                self._read(campaign)

    def tell(self, shown: Shown) -> None:
        """Answers are counted, not impressions: these do not say whom they reached."""

    def snapshot(self) -> dict[str, Any]:
        """Counts of the days that are remembered.

        Returns:
            day, campaign_key, group, requests and first, int64 (n,); and worth_day, worth_first and worth_micros, int64
            (d,).
        """
        rows = sorted(
            (day, campaign, group, *counts)
            for day, groups in self._days.items()
            for group, cells in groups.items()
            for campaign, counts in cells.items()
        )
        columns = np.array(rows, np.int64).reshape(-1, len(_COUNTED)).T
        worth = np.array([(day, *sums) for day, sums in sorted(self._worth.items())], np.int64).reshape(-1, 3).T
        return {**dict(zip(_COUNTED, columns, strict=True)), **dict(zip(_WORTH, worth, strict=True))}

    def merge(self, snapshot: Mapping[str, Any]) -> None:
        """Add what another process counted, and read all counts anew."""
        rows = np.stack([snapshot[name] for name in _COUNTED], axis=1).tolist()
        for day, campaign, group, requests, first in rows:
            groups = self._day(day)
            if groups is not None:
                cell = groups.setdefault(group, {}).setdefault(campaign, [0, 0])
                cell[0] += requests
                cell[1] += first
                self._requests[campaign] = self._requests.get(campaign, 0) + requests
        for day, first, micros in np.stack([snapshot[name] for name in _WORTH], axis=1).tolist():
            if self._day(day) is not None:
                self._add_worth(day, first, micros)
        for campaign, requests in self._requests.items():
            if requests >= self.config.batch:
                self._read(campaign)

    def _add_worth(self, day: int, first: int, micros: int) -> None:
        sums = self._worth.setdefault(day, [0, 0])
        sums[0] += first
        sums[1] += micros

    def _mean_revenue(self) -> float:
        """Mean expected revenue of a first place, whose campaign it was, currency units; 0 before there was one."""
        first, micros = (sum(sums[at] for sums in self._worth.values()) for at in (0, 1))
        return micros / MICROS_PER_UNIT / first if first else 0.0

    def _day(self, day: int) -> dict[int, dict[int, list[int]]] | None:
        """Counts of a day; None of one that is forgotten."""
        found = self._days.get(day)
        if found is None:
            newest = max(day, *self._days) if self._days else day
            oldest = newest - self.config.memory_days
            if day <= oldest:
                return None
            self._days = {kept: groups for kept, groups in self._days.items() if kept > oldest}
            found = self._days[day] = {}
            self._forget()
        return found

    def _forget(self) -> None:
        """Let go of what no day that is remembered knows."""
        known = {
            (group, campaign) for groups in self._days.values() for group, cells in groups.items() for campaign in cells
        }
        kept = {
            group: {one: price for one, price in prices.items() if (group, one) in known}
            for group, prices in self._prices.items()
        }
        self._prices = {group: prices for group, prices in kept.items() if prices}
        self._worth = {day: sums for day, sums in self._worth.items() if day in self._days}
        campaigns = {campaign for _, campaign in known}
        self._requests = {one: requests for one, requests in self._requests.items() if one in campaigns}

    def _read(self, campaign: int) -> None:
        """Read a campaign's counts with noise, and set the prices of its groups."""
        sums: dict[int, Floats] = {}
        for groups in self._days.values():
            for group, cells in groups.items():
                if campaign in cells:
                    sums[group] = sums.get(group, 0.0) + np.array(cells[campaign], np.float64)
        order = sorted(sums)
        batches = self._requests[campaign] // self.config.batch
        # A seed takes no number below 0, which keys of campaigns may be.
        rng = np.random.default_rng([self.config.seed, campaign % 2**63, batches])
        told = np.array([sums[group] for group in order])
        asked, first = (told + rng.laplace(0, self.config.noise, told.shape)).T
        prices = _prices(np.maximum(asked, 0), first, self.config)
        for group, price in zip(order, prices.tolist(), strict=True):
            self._prices.setdefault(group, {})[campaign] = price


def _prices(asked: Floats, first: Floats, config: Config) -> Floats:
    """What is added to the score in each group, in mean revenues; 0 where tolerance and noise may explain all.

    Args:
        asked, first: a campaign's requests and first places by group, with noise, (n,).
    """
    places = first.sum()
    if not asked.sum() or places <= 0:
        return np.zeros_like(asked)
    lacking = places * asked / asked.sum() - first
    moved = np.abs(lacking).sum() / 2
    # Luck is no excuse: who was missed by luck was missed. Noise is one, as nobody was missed by it.
    by_noise = 2 * config.noise / np.sqrt(np.pi) * len(first) / 2
    excused = config.tolerance * places + by_noise
    if moved <= excused:
        return np.zeros_like(asked)
    # A step of the size of what a batch moves does not swing from side to side, however many places that is.
    of_batch = max(places * config.batch / asked.sum(), 1.0)
    prices: Floats = np.clip(config.strength / of_batch * (1 - excused / moved) * lacking, -config.most, config.most)
    return prices
