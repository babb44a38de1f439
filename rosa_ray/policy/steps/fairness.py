"""Reach who could be reached: a campaign's first places spread over groups of users as its requests do.

Ranking by what an impression brings may hide a campaign from a region or a device, though nobody asked for that (Ali et
al. 2019, Discrimination through Optimization). The step compares two shares of each group: among the requests that a
campaign had a candidate in, and among the first places that it took. It multiplies the expected revenue of the
campaign's ads by the ratio of the first to the second, to a power (Timmaraju et al. 2023, Towards Fairness in
Personalized Ads).

It reads counts with noise, and reads them anew only once so many further requests have come. Ratios that the noise may
explain count for less. A replica counts what it answered itself.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le

from rosa_ray.arrays import Floats
from rosa_ray.policy.slate import Shown, Slate
from rosa_ray.schema.keys import hash_id
from rosa_ray.settings import section
from rosa_ray.units import DAY_US

SCORES = ("dual", "profit", "ecpm")
MOST_GROUPS = 256
"""Groups of a day that are counted. Callers name them, so requests of further ones are left alone."""


_COUNTED = ("day", "campaign_key", "group", "requests", "first")


@section("serving.policy.*")
class Config:
    """Whose groups are evened out, and how. It needs a score in money: `dual`, `profit` or `ecpm`."""

    strength: Annotated[float, Gt(0)] = 2.0
    """Power of the ratio of shares. The higher, the nearer to the audience, and the dearer."""
    per: Literal["region", "device"] = "region"
    """What tells groups apart: what the request's context says. Requests that say nothing are left alone."""
    tolerance: Annotated[float, Ge(0), Le(1)] = 0.04
    """A campaign is left alone as long as at most this share of its first places would have to go to other groups."""
    campaigns: tuple[str, ...] = ()
    """Campaigns that are evened out, by id. Empty takes all."""
    most: Annotated[float, Ge(1)] = 4.0
    """An expected revenue is multiplied or divided by this at most."""
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
    """Scales expected revenue by campaign and group.

    The state is counts by day, group and campaign: requests, and first places.
    """

    def __init__(self, config: Config, name: str = "fairness") -> None:
        self.config, self.name = config, name
        self._named = {hash_id(one) for one in config.campaigns}
        self._days: dict[int, dict[int, dict[int, list[int]]]] = {}
        self._requests: dict[int, int] = {}
        self._factors: dict[int, dict[int, float]] = {}

    def apply(self, slate: Slate) -> Slate:
        """The slate with scores that count whom campaigns have reached so far."""
        group = slate.audience.get(self.config.per)
        factors = None if group is None else self._factors.get(group)
        if factors is None:
            return slate
        factor = np.array([factors.get(campaign, 1.0) for campaign in slate.campaign_key.tolist()])
        scaled = int((factor != 1).sum())
        if not scaled:
            return slate
        score: Floats = slate.score + (factor - 1) * slate.revenue
        return slate.with_score(score, self.name, {"per": self.config.per, "scaled": scaled})

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
        for campaign in campaigns:
            self._count(cells, campaign, 1, int(campaign == reached))
            if self._is_due(campaign):
                self._read(campaign)

    def tell(self, shown: Shown) -> None:
        """Answers are counted, not impressions: these do not say whom they reached."""

    def snapshot(self) -> dict[str, Any]:
        """Counts of the days that are remembered: day, campaign_key, group, requests and first, int64 (n,)."""
        rows = sorted(
            (day, campaign, group, *counts)
            for day, groups in self._days.items()
            for group, cells in groups.items()
            for campaign, counts in cells.items()
        )
        columns = np.array(rows, np.int64).reshape(-1, len(_COUNTED)).T
        return dict(zip(_COUNTED, columns, strict=True))

    def merge(self, snapshot: Mapping[str, Any]) -> None:
        """Add what another process counted, and read all counts anew."""
        rows = np.stack([snapshot[name] for name in _COUNTED], axis=1).tolist()
        for day, campaign, group, requests, first in rows:
            groups = self._day(day)
            if groups is not None:
                self._count(groups.setdefault(group, {}), campaign, requests, first)
        for campaign, requests in self._requests.items():
            if requests >= self.config.batch:
                self._read(campaign)

    def _count(self, cells: dict[int, list[int]], campaign: int, requests: int, first: int) -> None:
        cell = cells.get(campaign)
        if cell is None:
            cell = cells[campaign] = [0, 0]
        cell[0] += requests
        cell[1] += first
        self._requests[campaign] = self._requests.get(campaign, 0) + requests

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
            group: {one: by for one, by in factors.items() if (group, one) in known}
            for group, factors in self._factors.items()
        }
        self._factors = {group: factors for group, factors in kept.items() if factors}
        campaigns = {campaign for _, campaign in known}
        self._requests = {one: requests for one, requests in self._requests.items() if one in campaigns}

    def _is_due(self, campaign: int) -> bool:
        """Whether a batch is full. Campaigns take turns, so that no request reads the counts of all."""
        requests = self._requests[campaign]
        return requests >= self.config.batch and (requests + campaign) % self.config.batch == 0

    def _read(self, campaign: int) -> None:
        """Read a campaign's counts with noise, and set the factors of its groups."""
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
        factors = _factors(np.maximum(asked, 0), first, self.config)
        for group, factor in zip(order, factors.tolist(), strict=True):
            self._factors.setdefault(group, {})[campaign] = factor


def _factors(asked: Floats, first: Floats, config: Config) -> Floats:
    """Factor of each group's expected revenue, 1 where noise may explain all.

    Args:
        asked, first: a campaign's requests and first places by group, with noise, (n,).
    """
    places = first.sum()
    even = np.ones_like(asked)
    if not asked.sum() or places <= 0:
        return even
    expected = places * asked / asked.sum()
    # Luck is no excuse: who was missed by luck was missed. Noise is one, as nobody was missed by it.
    variance = 2 * config.noise**2
    gap = np.abs(first - expected).sum() / 2 / places
    by_noise = np.sqrt(2 / np.pi * variance) * len(first) / 2 / places
    if gap - by_noise <= config.tolerance:
        return even
    log_ratio = np.log(np.maximum(expected, 1)) - np.log(np.maximum(first, 1))
    squared = log_ratio**2
    trust = np.divide(
        squared, squared + variance / np.maximum(expected, 1) ** 2, out=np.zeros_like(squared), where=squared > 0
    )
    factors: Floats = np.clip(np.exp(config.strength * trust * log_ratio), 1 / config.most, config.most)
    return factors
