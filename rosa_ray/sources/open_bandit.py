"""Open Bandit (ZOZOTOWN): impressions of one policy with the probability of each choice, for off-policy estimates."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.errors import InputError
from rosa_ray.schema import ADS, CANDIDATES, IMPRESSIONS
from rosa_ray.schema.own_columns import OwnKind
from rosa_ray.sources.named import NamedLog, read_text
from rosa_ray.sources.paths import find_files
from rosa_ray.sources.protocol import RawBatch, SourceFile
from rosa_ray.sources.text_files import TextFile

ITEM_CONTEXT = "item_context"
USER_FEATURES = tuple(f"user_feature_{at}" for at in range(4))
PROFILE = "profile"
CANDIDATE_ROWS = 2_000
_OF_REQUEST = {
    "impression_id": "#row",
    "request_id": "#row",
    "user_id": PROFILE,
    "ad_id": "item_id",
    "request_time": "timestamp",
    "device": "user_feature_0",
    "region": "user_feature_1",
    "bid": "=1",
}
COLUMNS = {
    "impressions": _OF_REQUEST
    | {"propensity": "propensity_score", "cost": "=0", "conversion": "=false", "revenue": "=0"},
    "candidates": _OF_REQUEST,
    "ads": {
        "ad_id": "item_id",
        "campaign_id": "item_feature_1",
        "category": "item_feature_2",
        "bid": "=1",
        "price": "=1",
    },
}
POSITIONS = {"impressions": {"position": {"1": 0, "2": 1, "3": 2}}}


@dataclass(frozen=True)
class OpenBanditSource(NamedLog):
    """Reads the log of one policy (`all.csv`, `random_all.csv.gz`) as impressions, its `*item_context.csv` as ads.

    The log has no user ids, no events and no conversions: rows whose four user features agree count as one user.
    The first two of the features stand in for device and region, the others are columns of the request. Features of
    the item stand in for campaign and category.
    Bids are 1 and costs 0, so that only `ctr` says something. Every item is a candidate of every request. Each row is
    its own request, since the data do not say which rows shared a page.
    """

    tables: ClassVar[tuple[str, ...]] = (IMPRESSIONS.name, CANDIDATES.name, ADS.name)
    features: ClassVar[Mapping[str, OwnKind]] = {f"request.{name}": "category" for name in USER_FEATURES[2:]}

    def files(self) -> list[SourceFile]:
        """List the logs as impressions and as candidates, and the item contexts as ads."""
        paths = find_files(self.config.path, IMPRESSIONS.name)
        logs = [file for file in paths if ITEM_CONTEXT not in os.path.basename(file.path)]
        ads = [replace(file, contract_name=ADS.name) for file in paths if file not in logs]
        if not logs or not ads:
            raise InputError(f"{self.config.path}: a log and its item_context.csv should be there, of one policy")
        return [*logs, *(replace(file, contract_name=CANDIDATES.name) for file in logs), *ads]

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream one file."""
        config = self.known(columns=COLUMNS, values=POSITIONS)
        if file.contract_name == ADS.name:
            yield from read_text(config, file, own=self.own)
            return
        batches = read_text(config, file, derive=_profiles, of=USER_FEATURES, own=self.own)
        yield from batches if file.contract_name == IMPRESSIONS.name else self._candidates(batches)

    def _candidates(self, batches: Iterator[RawBatch]) -> Iterator[RawBatch]:
        """Every item for every request; the one that was shown keeps the id of its impression."""
        items = self._items()
        for batch in batches:
            for start in range(0, batch.table.num_rows, CANDIDATE_ROWS):
                requests = batch.table.slice(start, CANDIDATE_ROWS)
                count = requests.num_rows
                table = requests.take(np.repeat(np.arange(count), len(items)))
                shown = pa.chunked_array([pa.array(np.tile(np.arange(len(items)), count))])
                ads = pc.take(items, shown)
                others = pc.binary_join_element_wise(table["impression_id"], ads, "-")
                ids = pc.if_else(pc.equal(ads, table["ad_id"]), table["impression_id"], others)
                table = table.set_column(table.column_names.index("ad_id"), "ad_id", ads)
                yield RawBatch(table.set_column(table.column_names.index("impression_id"), "impression_id", ids))

    def _items(self) -> pa.Array:
        context = next(file for file in self.files() if file.contract_name == ADS.name)
        batches = TextFile(context.path).stream(["item_id"])
        return pa.concat_tables([batch.table for batch in batches])["item_id"].combine_chunks().unique()


def _profiles(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    """An id for rows whose user features agree."""
    parts = [pc.utf8_slice_codeunits(pc.fill_null(table[name], "none"), 0, 12) for name in USER_FEATURES]
    return {PROFILE: pc.binary_join_element_wise(*parts, "-")}


SOURCES = {"open_bandit": OpenBanditSource}
