"""Whether the money of a live record fits its ad: bids to the catalogue's, costs to bids, revenue to the price.

Counters of costs are everybody's: one record with an absurd cost would move its ad in all rankings. What does not fit
is refused with its reason, by itself or as the one that is too much for its ad in an hour.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features.catalogue import Ads
from rosa_ray.features.records import RecordKind
from rosa_ray.records.config import RecordsConfig
from rosa_ray.records.record_types import ConversionIn, CountedRecord, ImpressionIn
from rosa_ray.units import HOUR_US

UNSAID = 1.0
"""What bid and price of an ad read where the catalogue says none: it tells nothing of what the ad may cost or bring."""


@dataclass
class HourlyCosts:
    """What each ad has cost and bid in each hour of the records that this process took, in bids of the ad.

    Attributes:
        max_entries: ads times hours that are remembered; those that came first go first.
    """

    max_entries: int = 100_000
    _sums: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict)

    def admit(self, ad_key: int, hour: int, paid: float, offered: float, config: RecordsConfig) -> bool:
        """Add a record, unless its ad has then cost more in the hour than its bids allow.

        Args:
            paid, offered: cost and bid of the record, in bids of the ad.

        >>> costs, config = HourlyCosts(), RecordsConfig(max_hourly_cost_per_bid=2, hourly_grace_bids=5)
        >>> [costs.admit(1, 0, 4.0, 1.0, config) for _ in range(4)]
        [True, True, False, False]
        """
        paid_before, offered_before = self._sums.get((ad_key, hour), (0.0, 0.0))
        paid, offered = paid_before + paid, offered_before + offered
        if paid > paid_before and paid > config.max_hourly_cost_per_bid * offered + config.hourly_grace_bids:
            return False
        self._sums[ad_key, hour] = (paid, offered)
        if len(self._sums) > self.max_entries:
            del self._sums[next(iter(self._sums))]
        return True


@dataclass(frozen=True)
class MoneyGuard:
    """Judges the money of live records.

    Attributes:
        config: by how much money may differ from that of the ad.
        hourly: what ads have cost so far.
    """

    config: RecordsConfig = field(default_factory=RecordsConfig)
    hourly: HourlyCosts = field(default_factory=HourlyCosts)

    def misfits(self, records: Sequence[CountedRecord], columns: Columns, ads: Ads) -> dict[int, str]:
        """Position of a record whose money does not fit, to the reason in one line without its content.

        The others are added to what their ads have cost.

        Args:
            columns: of the records, as from `record_columns`.
        """
        shown = np.flatnonzero(columns["kind"] != RecordKind.EVENT)
        if not len(shown):
            return {}
        own = _Shown([records[at] for at in shown.tolist()], {name: columns[name][shown] for name in _NEEDED}, ads)
        found = dict.fromkeys(shown[own.is_strange_bid(self.config)].tolist(), self._bid)
        found |= dict.fromkeys(shown[own.is_strange_revenue(self.config)].tolist(), self._revenue)
        found |= dict.fromkeys(shown[own.is_strange_cost(self.config)].tolist(), self._cost)
        for at in own.priced.tolist():
            row = int(shown[at])
            if row not in found and not self.hourly.admit(*own.amounts(at), self.config):
                found[row] = self._hour
        return found

    @property
    def _bid(self) -> str:
        return f"bid: is more than {self.config.max_bid_ratio:g} times above or below that of the ad in the catalogue"

    @property
    def _cost(self) -> str:
        return (
            f"cost: exceeds records.max_cost_per_bid ({self.config.max_cost_per_bid:g}) bids of an impression, "
            f"max_click_cost_per_bid ({self.config.max_click_cost_per_bid:g}) of a click, "
            f"or max_cost_per_price ({self.config.max_cost_per_price:g}) prices where no bid is known"
        )

    @property
    def _revenue(self) -> str:
        return f"revenue: exceeds {self.config.max_revenue_per_price:g} times the price of the ad"

    @property
    def _hour(self) -> str:
        return (
            f"cost: the ad has cost more in this hour than {self.config.max_hourly_cost_per_bid:g} times what was bid "
            f"for it, and {self.config.hourly_grace_bids:g} bids"
        )


_NEEDED = ("kind", "ad_key", "shown_us", "time_us", "bid", "cost")


class _Shown:
    """Impressions, clicks and conversions beside what the catalogue says of their ads, each array (n,)."""

    def __init__(self, records: Sequence[CountedRecord], columns: Columns, ads: Ads) -> None:
        row, known = ads.lookup(columns["ad_key"], columns["shown_us"])
        self._columns, self._impression = columns, columns["kind"] == RecordKind.IMPRESSION
        self._ads_bid, self._price = (
            np.where(known & (values != UNSAID) & (values > 0), values, np.nan)
            for values in (ads.bid[row], ads.price[row])
        )
        said = np.array([isinstance(one, ImpressionIn) and one.bid is not None for one in records])
        self._bid = np.where(np.isnan(self._ads_bid) & said, columns["bid"], self._ads_bid)
        self._said_bid = np.where(said, columns["bid"], self._bid)
        revenues = [one.revenue if isinstance(one, ConversionIn) else None for one in records]
        self._revenue = np.array(revenues, np.float64)
        self.priced = np.flatnonzero((self._impression | (columns["cost"] > 0)) & ~np.isnan(self._bid))

    def is_strange_bid(self, config: RecordsConfig) -> np.ndarray:
        """Comparisons with NaN, where nothing is known, are False."""
        ratio = self._said_bid / self._ads_bid
        return (ratio > config.max_bid_ratio) | (ratio < 1 / config.max_bid_ratio)

    def is_strange_cost(self, config: RecordsConfig) -> np.ndarray:
        by_bid = np.where(
            self._impression, config.max_cost_per_bid * self._said_bid, config.max_click_cost_per_bid * self._bid
        )
        allowed = np.where(np.isnan(by_bid), config.max_cost_per_price * self._price, by_bid)
        strange: np.ndarray = self._columns["cost"] > allowed
        return strange

    def is_strange_revenue(self, config: RecordsConfig) -> np.ndarray:
        strange: np.ndarray = self._revenue > config.max_revenue_per_price * self._price
        return strange

    def amounts(self, at: int) -> tuple[int, int, float, float]:
        """Ad, hour, cost and bid of one record, the money in bids of the ad."""
        columns, unit = self._columns, float(self._bid[at])
        offered = float(self._said_bid[at]) / unit if self._impression[at] else 0.0
        return (
            int(columns["ad_key"][at]),
            int(columns["time_us"][at]) // HOUR_US,
            float(columns["cost"][at]) / unit,
            offered,
        )
