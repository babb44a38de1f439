"""The ads that can be ranked, as they stand in the bundle."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rosa_ray.bundle import Bundle
from rosa_ray.errors import BundleError, ContractError
from rosa_ray.features import AdTable
from rosa_ray.schema import ADS, hash_ids

ADS_FILE = "ads.parquet"


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
        """From rows of the ads contract."""
        order = np.argsort(hash_ids(ads["ad_id"]), kind="stable")
        ids = ads["ad_id"].to_numpy()[order]
        rows = {name: row for row, name in enumerate(ids)}
        return cls(ids, ads["bid"].to_numpy()[order], AdTable.from_table(ads), rows)

    def __len__(self) -> int:
        return len(self.ad_id)


def load_catalogue(bundle: Bundle) -> Catalogue:
    """Load the ads of a bundle.

    Raises:
        BundleError: the bundle has no ads, or they break the ads contract.
    """
    path = bundle.file(ADS_FILE)
    try:
        ads, violations = ADS.check(pq.read_table(path, page_checksum_verification=True), str(path))
    except (ContractError, OSError, pa.ArrowException) as error:
        raise BundleError(f"bundle {bundle.path}: ads cannot be read: {error}") from error
    if violations or not ads.num_rows:
        raise BundleError(f"bundle {bundle.path}: {violations[0] if violations else f'{ADS_FILE} holds no ads'}")
    catalogue = Catalogue.of(ads)
    if len(catalogue.row_of) != len(catalogue):
        raise BundleError(f"bundle {bundle.path}: {ADS_FILE} names an ad twice; ad_id must be unique")
    return catalogue
