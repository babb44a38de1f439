"""The catalogue of ads as columns, each ad in the versions that held one after another."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import pyarrow as pa

from rosa_ray.schema import MISSING_KEY, hash_ids

ALWAYS_US, NEVER_US = np.iinfo(np.int64).min, np.iinfo(np.int64).max
"""Since when a version of an ad holds, and until when, where the catalogue does not say."""


class Ads(Protocol):
    """Ads as of any time: those of a table, or of a running service. Columns are of all rows."""

    @property
    def ad_key(self) -> np.ndarray: ...
    @property
    def item_key(self) -> np.ndarray: ...
    @property
    def category_key(self) -> np.ndarray: ...
    @property
    def campaign_key(self) -> np.ndarray: ...
    @property
    def price(self) -> np.ndarray: ...
    @property
    def bid(self) -> np.ndarray: ...

    def lookup(self, ad_key: np.ndarray, time_us: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
        """Row of each ad's version at a time and whether the ad is in the catalogue; (n,) and (n,)."""
        ...

    def categories_of(self, item_key: np.ndarray) -> np.ndarray:
        """Category keys of items by the ads that show them, (n,)."""
        ...


@dataclass(frozen=True)
class AdTable:
    """The catalogue as columns, a row per version of an ad, sorted by ad key and since when a version holds.

    Attributes:
        ad_key, item_key, category_key, campaign_key, price, bid: of V versions, each (V,).
        from_us, until_us: when a version begins and ends, microseconds UTC; the least and the largest int64 where the
            catalogue does not say.
    """

    ad_key: np.ndarray
    item_key: np.ndarray
    category_key: np.ndarray
    campaign_key: np.ndarray
    price: np.ndarray
    bid: np.ndarray
    from_us: np.ndarray
    until_us: np.ndarray

    @classmethod
    def from_table(cls, ads: pa.Table) -> "AdTable":
        """From the ads contract. An ad without an item is an item of its own, keyed by its ad id."""
        ad_key = hash_ids(ads["ad_id"])
        item_key = hash_ids(ads["item_id"])
        order = cls.order(ads)
        return cls(
            ad_key=ad_key[order],
            item_key=np.where(item_key == MISSING_KEY, ad_key, item_key)[order],
            category_key=hash_ids(ads["category"])[order],
            campaign_key=hash_ids(ads["campaign_id"])[order],
            price=ads["price"].to_numpy()[order],
            bid=ads["bid"].to_numpy()[order],
            from_us=_moments(ads, "valid_from", ALWAYS_US)[order],
            until_us=_moments(ads, "valid_until", NEVER_US)[order],
        )

    @staticmethod
    def order(ads: pa.Table) -> np.ndarray:
        """Places of the rows of a table of ads in the order of `AdTable`, int64 (V,)."""
        return np.lexsort((_moments(ads, "valid_from", ALWAYS_US), hash_ids(ads["ad_id"])))

    @cached_property
    def first_rows(self) -> np.ndarray:
        """Where the versions of each ad begin, int64 (A,)."""
        return np.flatnonzero(np.r_[True, self.ad_key[1:] != self.ad_key[:-1]][: len(self.ad_key)])

    @cached_property
    def _most_versions(self) -> int:
        return int(np.diff(np.r_[self.first_rows, len(self.ad_key)]).max(initial=0))

    @cached_property
    def _dated(self) -> bool:
        return bool((self.from_us != ALWAYS_US).any() or (self.until_us != NEVER_US).any())

    def lookup(self, ad_key: np.ndarray, time_us: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
        """Row of each ad's version at a time and whether the ad is in the catalogue; (n,) and (n,).

        Before the first version of an ad that one is taken. A version that has ended is taken until the next begins.
        """
        row = np.searchsorted(self.ad_key, ad_key)
        row = np.minimum(row, len(self.ad_key) - 1)
        return self.rows_at(row, time_us), self.ad_key[row] == ad_key

    def rows_at(self, first_row: np.ndarray, time_us: np.ndarray | int) -> np.ndarray:
        """Row of the version at a time, given the first row of each ad, (n,)."""
        row = first_row
        # Steps of halving length go to the last version that has begun: no ad has more than twice the first step.
        step = 1 << self._most_versions.bit_length() >> 1
        while step and self._most_versions > 1:
            ahead = np.minimum(row + step, len(self.ad_key) - 1)
            begun = (self.ad_key[ahead] == self.ad_key[row]) & (ahead > row) & (self.from_us[ahead] <= time_us)
            row, step = np.where(begun, ahead, row), step >> 1
        return row

    def active(self, time_us: int) -> np.ndarray:
        """Rows of the ads that can be shown at a moment: begun and not ended, int64 (n,)."""
        if not self._dated:
            return self.first_rows
        rows = self.rows_at(self.first_rows, time_us)
        return rows[(self.from_us[rows] <= time_us) & (time_us < self.until_us[rows])]

    def categories_of(self, item_key: np.ndarray) -> np.ndarray:
        """Category keys of items by the ads that show them, (n,); `MISSING_KEY` where no ad does or says one.

        Of an item with several categories it is that of the first ad by key.
        """
        items, categories = self._item_categories
        if not len(items):
            return np.full(len(item_key), MISSING_KEY, np.int64)
        place = np.minimum(np.searchsorted(items, item_key), len(items) - 1)
        return np.where(items[place] == item_key, categories[place], MISSING_KEY)

    @cached_property
    def _item_categories(self) -> tuple[np.ndarray, np.ndarray]:
        """Advertised items that have a category, sorted, and their categories."""
        said = np.flatnonzero(self.category_key != MISSING_KEY)
        items, first = np.unique(self.item_key[said], return_index=True)
        return items, self.category_key[said[first]]


def _moments(ads: pa.Table, name: str, unsaid_us: int) -> np.ndarray:
    if name not in ads.column_names:
        return np.full(ads.num_rows, unsaid_us)
    return ads[name].cast(pa.int64()).fill_null(unsaid_us).to_numpy()
