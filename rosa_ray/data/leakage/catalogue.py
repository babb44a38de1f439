"""Whether every impression has the item, campaign, category and price that its ad had at the request."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rosa_ray.data.leakage.findings import LeakFinding
from rosa_ray.features import AdTable, UserRows

_FIELDS = ("item_key", "campaign_key", "category_key", "price")


@dataclass
class CatalogueCheck:
    """Compares impressions with the catalogue as of their request, block by block.

    Attributes:
        wrong, rows: impressions that differ, and all that were compared.
    """

    ads: AdTable
    wrong: int = 0
    rows: int = 0

    def update(self, rows: UserRows) -> None:
        """Add a block."""
        shown = rows.of_known_ads().impressions
        row, known = self.ads.lookup(shown["ad_key"], shown["time_us"])
        same = [_same(shown[name], getattr(self.ads, name)[row]) for name in _FIELDS]
        self.wrong += int((~known | ~np.logical_and.reduce(same)).sum())
        self.rows += len(row)

    def findings(self) -> Iterator[LeakFinding]:
        """What differs in all blocks."""
        if self.wrong:
            yield LeakFinding(
                "point in time",
                "leak",
                "ads",
                f"{self.wrong} of {self.rows} impressions have another campaign, category, item or price than their ad "
                "had at the request",
                "run `rosa preprocess` again, since its files seem to be of several runs",
            )


def _same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where values are equal, or both missing."""
    same: np.ndarray = (one == other) | (np.isnan(one) & np.isnan(other))
    return same
