"""The ads that can be ranked, as they stand in the bundle."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rosa_ray.features import AdTable
from rosa_ray.schema import hash_ids


@dataclass(frozen=True)
class Catalogue:
    """A ads, sorted by key.

    Attributes:
        ad_id: object (A,) of str.
        bid: float64 (A,), default bids, currency units.
        table: keys and prices, in the same order.
        row_of: row by ad id.
    """

    ad_id: np.ndarray
    bid: np.ndarray
    table: AdTable
    row_of: dict[str, int]

    @classmethod
    def of(cls, ads: pa.Table) -> "Catalogue":
        """From rows of the ads contract, one per ad."""
        order = np.argsort(hash_ids(ads["ad_id"]), kind="stable")
        ids = ads["ad_id"].to_numpy()[order]
        rows = {name: row for row, name in enumerate(ids)}
        return cls(ids, ads["bid"].to_numpy()[order], AdTable.from_table(ads), rows)

    def __len__(self) -> int:
        return len(self.ad_id)
